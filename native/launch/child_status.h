// What the kernel's own /proc says about a child that was not reaped yet. ERR_LAUNCH_PROCFS where that is
// not what is mounted there.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "core/result.h"
#include "core/unique_fd.h"

namespace vmentry::launch {

// procfs::Open for what is below.
Result<UniqueFd> OpenProcfs();

struct ProcessStatus {
  char state = '?';       // as in ps(1): R S D T Z …
  bool executed = false;  // an exec has succeeded since the clone
};
// Works for a zombie too. ENOENT: reaped.
Result<ProcessStatus> ReadProcessStatus(int procfs, pid_t pid);

// The numbers of all descriptors of `pid`, in ascending order.
Result<std::vector<int>> ListDescriptors(int procfs, pid_t pid);

}  // namespace vmentry::launch
