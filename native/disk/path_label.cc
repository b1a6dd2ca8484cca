#include "disk/path_label.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

#include "core/system_calls.h"
#include "disk/pin.h"

namespace vmentry::disk {
namespace {

bool SameFile(const struct stat& a, const struct stat& b) {
  // A rename or a relabel changes ctime, so a file that went away and came back is noticed too.
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_mode == b.st_mode &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

}  // namespace

Result<PathLabel> ReadPathLabel(const std::string& path) {
  VMENTRY_CHECK(CheckPath(path));
  VMENTRY_TRY(const struct stat before, sys::StatAt(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW));
  VMENTRY_CHECK(CheckType(before, path));
  VMENTRY_TRY(std::string label, UsableLabel(sys::SecurityLabelAt(path), path, Labels::kRequired));
  VMENTRY_TRY(const struct stat after, sys::StatAt(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW));
  if (!SameFile(before, after)) {
    return Error::Coded("ERR_DISK_CHANGED", "the path came to name another file while it was looked at: ask again",
                        path);
  }
  return PathLabel{after.st_mode, std::move(label)};
}

}  // namespace vmentry::disk
