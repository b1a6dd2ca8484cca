#include "selinux/thread_attributes.h"

#include <fcntl.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "core/procfs.h"
#include "core/system_calls.h"
#include "selinux/state.h"

namespace vmentry::selinux {
namespace {

// The kernel's own limit for an attribute is one page.
constexpr size_t kAttributeLimit = 4096;

const char* FileNameOf(ThreadAttribute attribute) {
  switch (attribute) {
    case ThreadAttribute::kCurrent:
      return "current";
    case ThreadAttribute::kPrevious:
      return "prev";
    case ThreadAttribute::kExec:
      return "exec";
    case ThreadAttribute::kFsCreate:
      return "fscreate";
    case ThreadAttribute::kSockCreate:
      return "sockcreate";
    case ThreadAttribute::kKeyCreate:
      return "keycreate";
  }
  return "";
}

#ifdef VMENTRY_FAULTS
std::mutex g_directory_mutex;
std::string* g_directory_for_testing = nullptr;  // LOCKED(g_directory_mutex)
#endif

Result<UniqueFd> OpenProcFile(const std::string& relative, int flags) {
  constexpr std::string_view kCode = "ERR_SELINUX_ATTRIBUTE";
  VMENTRY_TRY(const UniqueFd root, procfs::Open(kCode));
  return procfs::OpenFile(root.get(), relative, flags, kCode);
}

Result<UniqueFd> OpenThreadAttribute(ThreadAttribute attribute, int flags) {
#ifdef VMENTRY_FAULTS
  if (const std::string directory = AttributeDirectoryForTesting(); !directory.empty()) {
    return sys::OpenAt(AT_FDCWD, directory + "/" + FileNameOf(attribute), flags);
  }
#endif
  return OpenProcFile(std::string("thread-self/attr/") + FileNameOf(attribute), flags);
}

// An attribute that cannot be reached although SELinux is enabled: another security module owns it,
// or the kernel is not what it says. Never to be taken for "not set".
Error Unusable(const Error& cause, std::string_view what) {
  Error error = cause;
  if (cause.errno_value == ENOENT || cause.errno_value == EINVAL) {
    error.code = "ERR_SELINUX_ATTRIBUTE";
    error.message =
        std::string(what) + " is not answered by SELinux in this kernel: is another security module active?";
  }
  return error;
}

Result<std::string> ReadAttribute(int fd, std::string_view path) {
  std::string value(kAttributeLimit, '\0');
  VMENTRY_TRY(const size_t size, sys::PreadFull(fd, value.data(), value.size(), 0, path));
  value.resize(size);
  while (!value.empty() && (value.back() == '\0' || value.back() == '\n')) value.pop_back();
  return value;
}

std::string PathOf(ThreadAttribute attribute) { return std::string("/proc/thread-self/attr/") + FileNameOf(attribute); }

// One write through an open attribute file. When it fails the kernel has changed nothing.
Status WriteAttribute(ThreadAttribute attribute, int fd, std::string_view context) {
#ifdef VMENTRY_FAULTS
  // A plain file keeps what is longer than the new value. (A device, EINVAL, keeps nothing.)
  if (!AttributeDirectoryForTesting().empty() && ::ftruncate(fd, 0) != 0 && errno != EINVAL)
    return Error::System("ftruncate", errno);
#endif
  // A write of nothing clears, as setexeccon(NULL) of libselinux does it.
  Status written = sys::PwriteOnce(fd, context, 0, PathOf(attribute));
  if (!written.ok() && written.error().errno_value == EINVAL && !context.empty()) {
    written.error().code = "ERR_SELINUX_CONTEXT_INVALID";
    written.error().message = "The loaded policy does not know the context '" + std::string(context) + "'";
  }
  return written;
}

// Some kernels take the write and do nothing. Only "set" and "not set" are compared: the kernel gives
// a context back in its own spelling.
Status VerifyAttribute(ThreadAttribute attribute, int fd, bool expect_set) {
  VMENTRY_TRY(const std::string now, ReadAttribute(fd, PathOf(attribute)));
  if (now.empty() == expect_set) {
    return Error::Coded("ERR_SELINUX_ATTRIBUTE", "The kernel accepted a write to the attribute without effect",
                        PathOf(attribute));
  }
  return Ok();
}

Status ClearThrough(ThreadAttribute attribute, int fd) {
  VMENTRY_CHECK(WriteAttribute(attribute, fd, {}));
  return VerifyAttribute(attribute, fd, false);
}

}  // namespace

#ifdef VMENTRY_FAULTS
void SetAttributeDirectoryForTesting(const std::string& directory) {
  std::lock_guard lock(g_directory_mutex);
  delete g_directory_for_testing;
  g_directory_for_testing = directory.empty() ? nullptr : new std::string(directory);
}

std::string AttributeDirectoryForTesting() {
  std::lock_guard lock(g_directory_mutex);
  return g_directory_for_testing != nullptr ? *g_directory_for_testing : "";
}
#endif

Result<std::string> ReadThreadAttribute(ThreadAttribute attribute) {
  VMENTRY_CHECK(RequireEnabled());
  const std::string name = FileNameOf(attribute);
  Result<UniqueFd> file = OpenThreadAttribute(attribute, O_RDONLY);
  if (!file.ok()) return Unusable(file.error(), "The thread's attribute '" + name + "'");
  Result<std::string> value = ReadAttribute(file.value().get(), PathOf(attribute));
  if (!value.ok()) return Unusable(value.error(), "The thread's attribute '" + name + "'");
  return value;
}

Status WriteThreadAttribute(ThreadAttribute attribute, std::string_view context) {
  VMENTRY_TRY(ScopedThreadAttribute scope, ScopedThreadAttribute::Set(attribute, context));
  scope.Abandon();  // here it is meant to stay
  return Ok();
}

Result<std::string> ReadProcessContext(pid_t pid) {
  VMENTRY_CHECK(RequireEnabled());
  const std::string relative = std::to_string(pid) + "/attr/current";
#ifdef VMENTRY_FAULTS
  const std::string directory = AttributeDirectoryForTesting();
  Result<UniqueFd> file =
      directory.empty() ? OpenProcFile(relative, O_RDONLY) : sys::OpenAt(AT_FDCWD, directory + "/process", O_RDONLY);
#else
  Result<UniqueFd> file = OpenProcFile(relative, O_RDONLY);
#endif
  // ENOENT: the process is gone. Passed on as it is.
  if (!file.ok()) return file.error();
  Result<std::string> context = ReadAttribute(file.value().get(), "/proc/" + relative);
  if (!context.ok()) return Unusable(context.error(), "The context of process " + std::to_string(pid));
  if (context.value().empty()) {
    return Error::Coded("ERR_SELINUX_ATTRIBUTE", "Process " + std::to_string(pid) + " has no context",
                        "/proc/" + relative);
  }
  return context;
}

Result<ScopedThreadAttribute> ScopedThreadAttribute::Set(ThreadAttribute attribute, std::string_view context) {
  if (attribute == ThreadAttribute::kCurrent || attribute == ThreadAttribute::kPrevious) {
    return Error::System("write", EINVAL, PathOf(attribute));
  }
  VMENTRY_CHECK(RequireEnabled());
  Result<UniqueFd> file = OpenThreadAttribute(attribute, O_RDWR);
  if (!file.ok()) return Unusable(file.error(), std::string("The thread's attribute '") + FileNameOf(attribute) + "'");
  VMENTRY_CHECK(WriteAttribute(attribute, file.value().get(), context));
  // From here on it is set, and every way out clears it.
  ScopedThreadAttribute scope(attribute, std::move(file).value());
  const Status verified = VerifyAttribute(attribute, scope.file_.get(), !context.empty());
  if (!verified.ok()) return verified.error();
  return scope;
}

ScopedThreadAttribute::ScopedThreadAttribute(ScopedThreadAttribute&& other) noexcept
    : attribute_(other.attribute_), file_(std::move(other.file_)), set_(std::exchange(other.set_, false)) {}

Status ScopedThreadAttribute::Clear() {
  if (!set_) return Ok();
  if (const Status cleared = ClearThrough(attribute_, file_.get()); !cleared.ok()) {
    // Some stable kernels of 2021 refuse a descriptor opened before the credentials changed, and
    // setting the attribute changes them: a fresh one works there.
    Result<UniqueFd> fresh = OpenThreadAttribute(attribute_, O_RDWR);
    if (!fresh.ok() || !ClearThrough(attribute_, fresh.value().get()).ok()) return cleared.error();
  }
  set_ = false;
  file_.Reset();
  return Ok();
}

ScopedThreadAttribute::~ScopedThreadAttribute() {
  // ENOMEM passes; a refusal by policy does not, and then three tries cost nothing.
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (Clear().ok()) return;
  }
  std::fprintf(stderr,
               "vm-entrypoint: the thread's attribute '%s' could not be cleared; "
               "the process ends, so that nothing else runs in that context\n",
               FileNameOf(attribute_));
  std::abort();
}

}  // namespace vmentry::selinux
