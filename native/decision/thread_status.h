// What the kernel says about the calling thread in /proc/thread-self/status.
#pragma once

#include <cstdint>

#include "core/result.h"

namespace vmentry::decision {

struct ThreadStatus {
  bool no_new_privileges = false;
  uint64_t effective_capabilities = 0;  // bit 1 << CAP_…
};

Result<ThreadStatus> ReadThreadStatus();

}  // namespace vmentry::decision
