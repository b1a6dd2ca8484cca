// Making the VMM process: clone(CLONE_VM|CLONE_VFORK|CLONE_PIDFD), raw system calls only in the child.
//
// Between the clone and the exec the child runs in the memory of this process, on a stack of its own,
// while only the cloning thread waits. Nothing of it is copied, so a large process launches as fast
// as a small one.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/system_calls.h"
#include "core/unique_fd.h"

namespace vmentry::launch {

struct DescriptorMapping {
  int source = -1;  // in this process
  int target = -1;  // in the child
};

struct ResourceLimit {
  int resource = 0;
  struct rlimit value = {};
};

struct ChildSpec {
  int executable = -1;                         // pinned emulator, run by execveat(AT_EMPTY_PATH)
  std::string executable_path;                 // for messages only
  std::vector<std::string> arguments;          // argv, [0] included
  std::vector<std::string> environment;        // "NAME=value"
  std::string working_directory;               // empty: inherit
  std::string exec_context;                    // empty: only with enforcement switched off
  std::vector<DescriptorMapping> descriptors;  // everything else is closed; no target twice
  std::vector<ResourceLimit> limits;
  int cgroup_procs = -1;  // cgroup v2: cgroup.procs open for writing, or -1
  bool new_session = false;
  bool set_groups = false;
  std::vector<gid_t> groups;
  bool set_gid = false;
  gid_t gid = 0;
  bool set_uid = false;
  uid_t uid = 0;
  // The sockets of a Tie (tie.h), whose owner the child makes itself; -1: none.
  int tie[2] = {-1, -1};
  // Stop the new program before its first instruction; Child::Continue lets it run. Only where this
  // process may send SIGSTOP and SIGCONT to the new domain and user: the kernel asks, and otherwise the
  // program just runs.
  bool hold = false;
};

// A running child that nobody owns yet: destroying it kills it and has it reaped, so that a launch
// which fails half way, or whose caller went away, leaves nothing behind.
class Child {
 public:
  Child() = default;
  Child(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }
  using Change = sys::ChildChange;
  // What has become of it; it is not reaped.
  Result<Change> Peek() const;
  // Lets a held program run.
  Status Continue() const;
  // Kills it and waits until it is reaped. An error: the kernel does not let this process kill it; then
  // nobody waits here, and it is reaped whenever it ends.
  Status KillAndReap();
  // The caller takes over: it has to reap.
  UniqueFd Release();

 private:
  void Abandon();
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

// ERR_LAUNCH_EXEC, or ERR_LAUNCH_CONTEXT where the context could not be set; the system call of the
// child that failed is in Error::syscall. The process is gone and reaped then.
Result<Child> StartChild(const ChildSpec& spec);

}  // namespace vmentry::launch
