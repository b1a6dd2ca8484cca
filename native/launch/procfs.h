// The kernel's own /proc, and what it says about a child that was not reaped yet.
//
// In a container somebody else may decide what is mounted at /proc and below it; a file that is not
// the kernel's would turn "the context was set" and "the process runs in it" into lies
// (CVE-2019-19921, CVE-2025-52881). So the root must be a procfs, and no mount below is crossed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "core/result.h"
#include "core/unique_fd.h"

namespace vmentry::launch {

// O_PATH. ERR_LAUNCH_PROCFS when /proc is something else.
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
