#include "decision/path_label.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "core/system_calls.h"

namespace vmentry::decision {
namespace {

bool SameFile(const struct stat& a, const struct stat& b) {
  // A rename or a relabel changes ctime, so a file that went away and came back is noticed too.
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_mode == b.st_mode &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

}  // namespace

Result<PathLabel> ReadPathLabel(const std::string& path) {
  // Where a C string ends early, another file would be looked at than the one in messages.
  if (path.find('\0') != std::string::npos) {
    return Error::Coded("ERR_INVALID_ARG_VALUE", "the path of an image contains a NUL byte");
  }
  VMENTRY_TRY(const struct stat before, sys::StatAt(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW));
  if (!S_ISREG(before.st_mode) && !S_ISBLK(before.st_mode)) {
    return Error::Coded("ERR_DISK_NOT_REGULAR", "an image must be a regular file or a block device", path);
  }
  Result<std::string> label = sys::SecurityLabelAt(path);
  if (!label.ok()) {
    Error error = std::move(label).error();
    if (error.errno_value != ENODATA && error.errno_value != EOPNOTSUPP) return error;
    error.code = "ERR_DISK_UNLABELED";
    error.message = "the image has no SELinux label to decide about: label it with chcon or restorecon";
    return error;
  }
  // Contexts travel as C strings: what follows a NUL would be remembered here and ignored by policy.
  if (label.value().find('\0') != std::string::npos) {
    return Error::Coded("ERR_DISK_UNLABELED", "the image's SELinux label contains a NUL byte: relabel it", path);
  }
  VMENTRY_TRY(const struct stat after, sys::StatAt(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW));
  if (!SameFile(before, after)) {
    return Error::Coded("ERR_DISK_CHANGED", "the path came to name another file while it was looked at: ask again",
                        path);
  }
  return PathLabel{after.st_mode, std::move(label).value()};
}

}  // namespace vmentry::decision
