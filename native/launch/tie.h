// Tie: ends a process when this one dies, whatever it dies of.
//
// PR_SET_PDEATHSIG follows the cloning thread and is cleared by an exec that changes the domain, so
// it cannot do this. Instead the kernel's own descriptor notification does: two connected sockets,
// both with asynchronous notification by SIGKILL to the VM. Only this process has them. When it dies,
// the kernel closes both; the first to be released notifies the owner of the other. There is no
// helper process, and nothing in the VM that a captured VMM could switch off.
//
// The kernel checks the right to signal when it sends: this process's domain (as it was when the
// owner was set) needs `process sigkill` on the VM's, and its user has to be root or the VM's.
#pragma once

#include <sys/types.h>

#include "core/result.h"
#include "core/unique_fd.h"

namespace vmentry::launch {

class Tie {
 public:
  Tie() = default;
  static Result<Tie> Make();
  Tie(Tie&&) noexcept = default;
  Tie& operator=(Tie&&) noexcept = default;
  // Destroying an armed tie kills, as the death of the process does. (Once the VM is reaped there is
  // nobody left to signal, and its pid is not reused by the owner's reference.)
  ~Tie() = default;

  // The sockets whose owner (F_SETOWN) the child makes itself, before its exec: there is no moment at
  // which it exists untied.
  int first() const { return first_.get(); }
  int second() const { return second_.get(); }
  // From now on the process lives on by itself.
  Status Disarm();

 private:
  UniqueFd first_;
  UniqueFd second_;
};

// Whether the kernel lets this process signal a child that runs as `uid` (same uid: -1), as far as
// users go. In a user namespace root is not the kernel's root.
Result<bool> MaySignalUser(bool other_uid, uid_t uid);

}  // namespace vmentry::launch
