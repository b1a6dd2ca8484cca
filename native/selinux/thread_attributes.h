// The calling thread's /proc/thread-self/attr/*: exec, fscreate, sockcreate, keycreate, current.
//
// Written and read directly, never through libselinux: its setters remember the last value per thread
// and skip an equal one, so one write behind its back (by us, by a vfork child) makes the next call a
// silent no-op, and a VM would start unlabelled.
//
// Everything here fails closed: without SELinux in the running kernel it is ERR_SELINUX_DISABLED, and
// the file that is written must be the kernel's own (core/procfs.h), else it is ERR_SELINUX_ATTRIBUTE.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "core/result.h"
#include "core/unique_fd.h"

namespace vmentry::selinux {

enum class ThreadAttribute { kCurrent, kPrevious, kExec, kFsCreate, kSockCreate, kKeyCreate };

// Empty string: not set.
Result<std::string> ReadThreadAttribute(ThreadAttribute attribute);
// An empty context clears. kCurrent and kPrevious are refused with EINVAL: this project never makes
// a dynamic transition. ERR_SELINUX_CONTEXT_INVALID when the policy does not know the context. Read
// back afterwards: a kernel that takes the write and does nothing is an error (ERR_SELINUX_ATTRIBUTE).
Status WriteThreadAttribute(ThreadAttribute attribute, std::string_view context);

// The context of process `pid` from /proc/PID/attr/current. Racy for anybody but an unreaped child.
Result<std::string> ReadProcessContext(pid_t pid);

// Clears the attribute on every way out of a scope. Must be set, cleared and destroyed on one thread,
// and the scope must not start anything that may run other code on it in between (an event loop).
//
// The descriptor that Set opens is kept for the clearing, so that it cannot fail for want of
// descriptors or memory. The kernel can still refuse it: clearing needs `process setexec` (…create)
// like setting, and the policy may have been reloaded meanwhile. A thread that keeps the attribute
// would put its next, unrelated child into the VM's domain, so the destructor ends the process when
// it cannot clear (std::abort, after a line on stderr). A thread that is about to end can Abandon
// instead: the attribute dies with it.
class ScopedThreadAttribute {
 public:
  static Result<ScopedThreadAttribute> Set(ThreadAttribute attribute, std::string_view context);
  ScopedThreadAttribute(ScopedThreadAttribute&& other) noexcept;
  ScopedThreadAttribute& operator=(ScopedThreadAttribute&&) = delete;
  ~ScopedThreadAttribute();
  // Clears now and reports failure, which the destructor cannot. After a failure the attribute still
  // counts as set: the destructor tries again, and aborts.
  Status Clear();
  // Only on a thread that makes no child and no file any more and ends.
  void Abandon() { set_ = false; }

 private:
  ScopedThreadAttribute(ThreadAttribute attribute, UniqueFd file)
      : attribute_(attribute), file_(std::move(file)), set_(true) {}
  ThreadAttribute attribute_;
  UniqueFd file_;
  bool set_;
};

#ifdef VMENTRY_FAULTS
// Files of `directory` named current, prev, exec, … stand in for the calling thread's attributes,
// and its file `process` for every other process's context; empty goes back to the kernel's. For
// tests of the logic on hosts without SELinux. A launched child writes its context to `thread-self/attr/exec`
// below it.
void SetAttributeDirectoryForTesting(const std::string& directory);
std::string AttributeDirectoryForTesting();
#endif

}  // namespace vmentry::selinux
