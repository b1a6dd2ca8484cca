// Whether SELinux is there, whether it enforces, and which policy it has: the kernel's status page.
#pragma once

#include <cstdint>

#include "core/result.h"

namespace vmentry::selinux {

// One consistent reading. `sequence` changes with every policy load and every setenforce.
struct PolicyState {
  uint32_t sequence = 0;
  bool enforcing = false;
  uint32_t policyload = 0;
  bool deny_unknown = false;
};

// Ok when SELinux is enabled in the running kernel; ERR_SELINUX_DISABLED (or ERR_SELINUX_LIBRARY)
// with what to do about it otherwise. Cached only when positive.
Status RequireEnabled();

// Maps the status page on first use (process-wide, kept for good).
Result<PolicyState> ReadPolicyState();
// The hot form, only after ReadPolicyState succeeded once: one load of the mapped page. An odd value
// means that the kernel is changing it right now.
uint32_t PolicySequenceNow();

}  // namespace vmentry::selinux
