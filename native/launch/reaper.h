// Reaper: waits for children whose environment is gone (a Worker that ended, a launch that was
// abandoned), so that no zombie is left in a process that lives on.
#pragma once

#include "core/unique_fd.h"
#include "launch/tie.h"

namespace vmentry::launch {

class Reaper {
 public:
  // Takes the process over. THREADS: any. One thread for the whole process, started on first use.
  static void Adopt(UniqueFd pidfd, Tie tie);
};

}  // namespace vmentry::launch
