#include "core/procfs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <unistd.h>

#include <cerrno>

#include "core/system_calls.h"

namespace vmentry::procfs {
namespace {

constexpr ino_t kRootInode = 1;  // PROC_ROOT_INO of the kernel: a bind mount of a subdirectory has another

}  // namespace

Result<UniqueFd> Open(std::string_view code) {
  VMENTRY_TRY(UniqueFd root, sys::OpenAt(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW));
  VMENTRY_TRY(const struct statfs file_system, sys::Fstatfs(root.get(), "/proc"));
  VMENTRY_TRY(const struct stat status, sys::Fstat(root.get(), "/proc"));
  if (file_system.f_type != PROC_SUPER_MAGIC || status.st_ino != kRootInode) {
    return Error::Coded(code, "What is mounted at /proc is not the kernel's procfs: mount one there", "/proc");
  }
  // The procfs of another pid namespace knows this process, and every child, by another number.
  const Result<std::string> self = sys::ReadLinkAt(root.get(), "self");
  // ENOENT: by none at all.
  if (!self.ok() && self.error().errno_value != ENOENT) return self.error();
  if (!self.ok() || self.value() != std::to_string(::getpid())) {
    return Error::Coded(code, "The procfs at /proc is that of another pid namespace: mount this one's", "/proc");
  }
  return root;
}

Result<UniqueFd> OpenFile(int root, const std::string& relative, int flags, std::string_view code) {
  Result<UniqueFd> file = sys::OpenBeneath(root, relative, flags);
  if (file.ok()) return file;
  Error error = std::move(file).error();
  error.path = "/proc/" + relative;
  if (error.errno_value == EXDEV) {
    error.code = code;
    error.message = "Something else is mounted over the kernel's file";
  }
  return error;
}

}  // namespace vmentry::procfs
