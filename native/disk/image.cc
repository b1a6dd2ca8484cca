#include "disk/image.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "core/system_calls.h"
#include "disk/pin.h"

namespace vmentry::disk {
namespace {

Error Changed(std::string_view what, const std::string& path) {
  return Error::Coded("ERR_DISK_CHANGED",
                      std::string(what) + " after the decision was made: nothing was started, ask again", path);
}

// Takes over a fresh O_PATH descriptor: type first, because only the allowed types are looked at further.
Result<PinnedFile> Finish(UniqueFd fd, const std::string& path, Labels labels) {
  PinnedFile file;
  VMENTRY_TRY(file.status, sys::Fstat(fd.get(), path));
  VMENTRY_CHECK(CheckType(file.status, path));
  VMENTRY_TRY(file.context, UsableLabel(sys::SecurityLabel(fd.get(), path), path, labels));
  file.fd = std::move(fd);
  file.path = path;
  return file;
}

// The same inode, not only the same content or device: the label belongs to the inode.
bool SameInode(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_rdev == b.st_rdev &&
         (a.st_mode & S_IFMT) == (b.st_mode & S_IFMT);
}

Status VerifyDescriptor(int fd, const PinnedFile& file, Labels labels) {
  VMENTRY_TRY(const struct stat status, sys::Fstat(fd, file.path));
  if (!SameInode(status, file.status)) return Changed("the image became another file", file.path);
  Result<std::string> label = sys::SecurityLabel(fd, file.path);
  if (!label.ok()) {
    const int reason = label.error().errno_value;
    if (reason != ENODATA && reason != EOPNOTSUPP) return std::move(label).error();
    if (!file.context.empty()) return Changed("the image lost its SELinux label", file.path);
    if (labels == Labels::kOptional) return Ok();
    return Error::Coded("ERR_DISK_UNLABELED", "the image has no SELinux label", file.path);
  }
  if (label.value() != file.context) return Changed("the SELinux label of the image changed", file.path);
  return Ok();
}

}  // namespace

Status CheckPath(const std::string& path) {
  if (path.find('\0') == std::string::npos) return Ok();
  return Error::Coded("ERR_INVALID_ARG_VALUE", "the path of an image contains a NUL byte");
}

Status CheckType(const struct stat& status, const std::string& path) {
  const char* what = nullptr;
  switch (status.st_mode & S_IFMT) {
    case S_IFREG:
    case S_IFBLK:
      return Ok();
    case S_IFLNK:
      what = "a symbolic link; name the file it points to";
      break;
    case S_IFDIR:
      what = "a directory";
      break;
    case S_IFIFO:
      what = "a FIFO";
      break;
    case S_IFSOCK:
      what = "a socket";
      break;
    case S_IFCHR:
      what = "a character device";
      break;
    default:
      what = "an anonymous kernel object";
      break;
  }
  return Error::Coded("ERR_DISK_NOT_REGULAR",
                      std::string("an image must be a regular file or a block device, this is ") + what, path);
}

Result<std::string> UsableLabel(Result<std::string> label, const std::string& path, Labels labels) {
  if (!label.ok()) {
    Error error = std::move(label).error();
    if (error.errno_value != ENODATA && error.errno_value != EOPNOTSUPP) return error;
    if (labels == Labels::kOptional) return std::string();
    error.code = "ERR_DISK_UNLABELED";
    error.message = "the image has no SELinux label to decide about: label it with chcon or restorecon";
    return error;
  }
  if (!IsPlainLabel(label.value())) {
    return Error::Coded("ERR_DISK_UNLABELED",
                        "the image's SELinux label contains white space or control characters: relabel it", path);
  }
  return label;
}

bool IsPlainLabel(std::string_view label) {
  // Contexts travel as C strings and as words of a line: what follows a NUL would be compared here and ignored by
  // policy, and a new line would begin a statement of its own in whatever the label is printed into. A foreign file
  // system can hold anything.
  return std::none_of(label.begin(), label.end(), [](char byte) {
    const auto value = static_cast<unsigned char>(byte);
    return value <= 0x20 || value == 0x7f;
  });
}

Result<PinnedFile> PinAt(int dirfd, const std::string& name, const std::string& path, Labels labels) {
  VMENTRY_CHECK(CheckPath(path));
  Result<UniqueFd> fd = sys::OpenAt(dirfd, name, O_PATH | O_NOFOLLOW);
  if (!fd.ok()) {
    Error error = std::move(fd).error();
    error.path = path;
    return error;
  }
  return Finish(std::move(fd).value(), path, labels);
}

Result<PinnedFile> Pin(int dirfd, const std::string& path, Labels labels) { return PinAt(dirfd, path, path, labels); }

Result<PinnedFile> PinDescriptor(int fd, const std::string& path, Labels labels) {
  // First without /proc: a closed descriptor is EBADF, and a wrong type is refused as it stands.
  VMENTRY_TRY(const struct stat given, sys::Fstat(fd, path));
  VMENTRY_CHECK(CheckType(given, path));
  VMENTRY_TRY(UniqueFd pinned, sys::Reopen(fd, O_PATH, path));
  VMENTRY_TRY(PinnedFile file, Finish(std::move(pinned), path, labels));
  // A descriptor number that another thread closed and reused in between.
  if (!SameInode(given, file.status)) return Changed("the descriptor became another file", path);
  return file;
}

Result<UniqueFd> OpenPinned(const PinnedFile& file, int access) {
  // O_NONBLOCK: the holder of a lease could keep a plain open waiting for as long as it likes, and some
  // block devices wait for a medium.
  VMENTRY_TRY(UniqueFd fd, sys::Reopen(file.fd.get(), access | O_NONBLOCK | O_NOCTTY, file.path));
  // /proc/self/fd is only as good as the /proc that is mounted.
  VMENTRY_TRY(const struct stat status, sys::Fstat(fd.get(), file.path));
  if (!SameInode(status, file.status)) return Changed("the image became another file", file.path);
  return fd;
}

Status OpenForUse(ImageChain* chain) {
  for (ImageMember& member : chain->members) {
    const std::string& path = member.file.path;
    VMENTRY_TRY(UniqueFd fd, OpenPinned(member.file, member.read_only ? O_RDONLY : O_RDWR));
    // Status flags belong to the open file description, which the VM inherits: it gets clean ones.
    VMENTRY_TRY(const int flags, sys::StatusFlags(fd.get(), path));
    VMENTRY_CHECK(sys::SetStatusFlags(fd.get(), flags & ~O_NONBLOCK, path));
    member.use = std::move(fd);
  }
  return Ok();
}

Status VerifyLabel(const ImageMember& member, Labels labels) {
  // `use` is asked directly, without /proc: it is what the VM gets.
  VMENTRY_CHECK(VerifyDescriptor(member.use.get(), member.file, labels));
  return VerifyDescriptor(member.file.fd.get(), member.file, labels);
}

}  // namespace vmentry::disk
