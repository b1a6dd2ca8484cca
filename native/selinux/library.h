// libselinux, loaded at run time from its fixed name, so that the addon also loads where it is not
// installed. One table of function pointers for the process.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/fault_injection.h"
#include "core/result.h"
#include "selinux/library_symbols.h"

struct selabel_handle;

namespace vmentry::selinux {

// The kernel's answer for (source, target, class): same layout as libselinux's `struct av_decision`.
struct AvDecision {
  uint32_t allowed;
  uint32_t decided;
  uint32_t auditallow;
  uint32_t auditdeny;
  uint32_t seqno;
  uint32_t flags;
};
inline constexpr uint32_t kAvdFlagsPermissive = 0x0001;

// libselinux's `struct selinux_opt`. (None of its headers is needed to build this.)
struct LabelOption {
  int type;
  const char* value;
};

// libselinux's SELboolean.
struct BooleanSetting {
  char* name;
  int value;
};

// libselinux's `union selinux_callback`, of which only the log member is used here.
union SelinuxCallback {
  int (*log)(int type, const char* format, ...);
  void (*other)();
};

class Library {
 public:
  // ERR_SELINUX_LIBRARY when it is not installed, ERR_SELINUX_SYMBOL when it is too old. A failure is
  // not remembered: the library may be installed while this process runs.
  static Result<const Library*> Get();

  // LOCKED(mutex): libselinux up to 3.11 has process-wide state without locks (class cache, status
  // page, callbacks), and Workers share it. Every call through this table is made under this lock.
  std::mutex& mutex() const { return mutex_; }

  // LOCKED(mutex): where libselinux found selinuxfs when it was loaded, "/sys/fs/selinux" as a rule; empty when
  // there was none (it does not look again).
  std::string mount_point() const { return *selinux_mnt != nullptr ? *selinux_mnt : ""; }

#ifdef VMENTRY_FAULTS
  // Before the first Get() that succeeds: the file to load instead. Only the test build can do that.
  static void SetPathForTesting(const std::string& path);
  // Whether a stand-in answers: then what only a real SELinux kernel has cannot be asked for.
  static bool IsStandIn();
#else
  static constexpr bool IsStandIn() { return false; }
#endif

  // One member a function, named exactly as in C; library_symbols.h is the list.
#define VMENTRY_SELINUX_MEMBER(type, name, parameters) type(*name) parameters = nullptr;
  VMENTRY_SELINUX_SYMBOLS(VMENTRY_SELINUX_MEMBER, VMENTRY_SELINUX_MEMBER)
#undef VMENTRY_SELINUX_MEMBER
  char** selinux_mnt = nullptr;

 private:
  Library() = default;
  static Result<const Library*> Load();

  mutable std::mutex mutex_;
};

// Calls one function of the table, with `LOCKED(library.mutex())` held by the caller:
// `Call("getcon_raw", library->getcon_raw, &context)`. A function that is missing (ENOSYS), or that
// the test build wants to fail, fails in its own way: -1, 0 or null, with errno set. errno is 0
// before the call, because some functions fail without setting it.
template <typename R, typename... Parameters, typename... Arguments>
R Call(const char* name, R (*function)(Parameters...), Arguments... arguments) {
  int failure = fault::Take(name);
  if (failure == 0 && function == nullptr) failure = ENOSYS;
  if constexpr (std::is_void_v<R>) {
    if (failure == 0) function(arguments...);
  } else {
    if (failure != 0) {
      errno = failure;
      if constexpr (std::is_pointer_v<R>) {
        return nullptr;
      } else {
        return std::is_signed_v<R> ? static_cast<R>(-1) : R{0};
      }
    }
    errno = 0;
    return function(arguments...);
  }
}

// What a call that has just failed reports. `syscall` is the function's name without `_raw` and
// `_flags`: which of its forms was called is in the caller's own request.
inline Error LastError(std::string_view syscall, std::string_view path = {}) {
  return Error::System(syscall, errno != 0 ? errno : EIO, path);
}

// A string that libselinux allocated.
class LibraryString {
 public:
  explicit LibraryString(const Library* library) : library_(library) {}
  LibraryString(const LibraryString&) = delete;
  LibraryString& operator=(const LibraryString&) = delete;
  ~LibraryString() {
    if (text_ != nullptr) library_->freecon(text_);
  }
  char** out() { return &text_; }
  // Null when the function succeeded without a context, which several do where SELinux is off.
  const char* get() const { return text_; }

 private:
  const Library* library_;
  char* text_ = nullptr;
};

}  // namespace vmentry::selinux
