// Walks an image to every file it needs: the backing chain and the external data files.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/system_calls.h"
#include "disk/image.h"
#include "disk/pin.h"
#include "disk/qcow2_header.h"

namespace vmentry::disk {
namespace {

// A path cut before its last component. `directory` can be opened: "." where there is none.
struct SplitPath {
  std::string directory;
  std::string name;
};
SplitPath Split(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  // A trailing slash means a directory, which Pin then refuses as what it is.
  std::string name = path.substr(slash + 1);
  return {slash == 0 ? "/" : path.substr(0, slash), name.empty() ? "." : std::move(name)};
}

// The directory of one image, where the relative names in its header are looked up. Held open, so that
// renaming a directory meanwhile cannot lead elsewhere.
struct Directory {
  UniqueFd fd;       // O_PATH; opened only when needed where the image came as a descriptor
  std::string path;  // as it was named; empty: the image came as a descriptor without a path
};

Status OpenDirectory(Directory* directory) {
  VMENTRY_TRY(directory->fd, sys::OpenAt(AT_FDCWD, directory->path, O_PATH | O_DIRECTORY));
  return Ok();
}

// For messages only: what a relative name stands for.
std::string PathIn(const Directory& directory, const std::string& name) {
  if (name == ".") return directory.path;
  if (name.starts_with('/') || directory.path == ".") return name;
  return directory.path + (directory.path.ends_with('/') ? "" : "/") + name;
}

struct Placed {
  PinnedFile file;
  Directory directory;
};

// The image that the caller named, and its directory if its header may name others.
Result<Placed> PinTop(const ImageRequest& request, Labels labels) {
  Placed top;
  if (request.fd < 0) {
    if (request.format == Format::kRaw) {
      VMENTRY_TRY(top.file, Pin(AT_FDCWD, request.path, labels));
      return top;
    }
    // Through its directory, so that image and relative names cannot come from different ones.
    const SplitPath split = Split(request.path);
    top.directory.path = split.directory;
    VMENTRY_CHECK(OpenDirectory(&top.directory));
    VMENTRY_TRY(top.file, PinAt(top.directory.fd.get(), split.name, request.path, labels));
    return top;
  }

  // The image is opened anew in its final mode, with the rights of this process. That must not give the VM
  // more than the descriptor gives its holder: somebody who may only name a file (O_PATH), or only read it,
  // could otherwise have us write it for him.
  VMENTRY_TRY(const int flags, sys::StatusFlags(request.fd, request.path));
  const int access = flags & O_ACCMODE;
  const char* too_little = nullptr;
  if ((flags & O_PATH) != 0) {
    too_little = "the descriptor only names the image (O_PATH): open it for what the VM shall do";
  } else if (access == O_WRONLY) {
    too_little = "the descriptor of an image must be open for reading";
  } else if (access == O_RDONLY && !request.read_only) {
    too_little = "the descriptor is open for reading only, but the image was asked for writable";
  } else if ((flags & O_APPEND) != 0 && !request.read_only) {
    too_little = "the descriptor is open for appending only, but the image was asked for writable";
  }
  if (too_little != nullptr) {
    Error error = Error::System("fcntl", EACCES, request.path);
    error.fd = request.fd;
    error.message = too_little;
    return error;
  }
  VMENTRY_TRY(top.file, PinDescriptor(request.fd, request.path, labels));
  // A descriptor's path may be any name for messages: only one with a directory in it is a place.
  if (request.path.find('/') != std::string::npos) top.directory.path = Split(request.path).directory;
  return top;
}

// Says in `error` which image asked for the file, and gives a missing one the code of a broken chain.
Error NamedBy(Error error, const char* what, const std::string& naming_path) {
  const std::string role = std::string("the ") + what + " that '" + naming_path + "' names";
  if (!error.code.empty()) {
    error.message = role + ": " + error.message;
    return error;
  }
  switch (error.errno_value) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
      error.code = "ERR_DISK_BACKING_CHAIN";
      error.message = role + " cannot be found: restore it, or correct the name in the image";
      break;
    case ELOOP:
      error.code = "ERR_DISK_BACKING_CHAIN";
      error.message = role + " lies behind a link that is not followed: name it directly";
      break;
    default:
      error.message = role + " cannot be used";
      break;
  }
  return error;
}

// The file that the header of the image `naming_path` in the directory `from` names. Such a name may have
// been written by somebody else than the owner of the directory: magic links, which lead out of any
// directory, are not followed.
Result<Placed> PinNamed(Directory* from, const std::string& naming_path, const std::string& name, const char* what,
                        Labels labels) {
  if (!name.starts_with('/') && !from->fd.valid()) {
    if (from->path.empty()) {
      return Error::Coded("ERR_DISK_BACKING_CHAIN",
                          std::string("the ") + what + " has the relative name '" + name +
                              "', and the image came as a descriptor without a path: give its path too",
                          naming_path);
    }
    VMENTRY_CHECK(OpenDirectory(from));
  }
  const SplitPath split = Split(name);
  Placed placed;
  placed.directory.path = PathIn(*from, split.directory);
  Result<UniqueFd> directory = sys::OpenAtResolve(from->fd.valid() ? from->fd.get() : AT_FDCWD, split.directory,
                                                  O_PATH | O_DIRECTORY, sys::kResolveNoMagicLinks);
  if (!directory.ok()) {
    Error error = std::move(directory).error();
    error.path = placed.directory.path;
    return NamedBy(std::move(error), what, naming_path);
  }
  placed.directory.fd = std::move(directory).value();
  Result<PinnedFile> file = PinAt(placed.directory.fd.get(), split.name, PathIn(*from, name), labels);
  if (!file.ok()) return NamedBy(std::move(file).error(), what, naming_path);
  placed.file = std::move(file).value();
  return placed;
}

Result<Qcow2Header> ReadHeader(const PinnedFile& file) {
  std::vector<uint8_t> head(kMaxHeaderBytes);
  size_t got = 0;
  // An empty file has no header; and files of /proc and tracefs, where reading has effects, look empty.
  if (S_ISBLK(file.status.st_mode) || file.status.st_size > 0) {
    VMENTRY_TRY(const UniqueFd fd, OpenPinned(file, O_RDONLY));
    VMENTRY_TRY(got, sys::PreadFull(fd.get(), head.data(), head.size(), 0, file.path));
  }
  // What was read counts, not what fstat said: the file may be growing or shrinking.
  uint64_t size = got;
  if (got == head.size()) {
    size = S_ISBLK(file.status.st_mode) ? std::numeric_limits<uint64_t>::max()
                                        : std::max(size, static_cast<uint64_t>(file.status.st_size));
  }
  Result<Qcow2Header> header = ParseQcow2Header({head.data(), got}, size);
  if (!header.ok()) {
    Error error = std::move(header).error();
    error.path = file.path;
    return error;
  }
  return header;
}

// Whether two members are one storage: block devices are compared as devices, because one device may
// have several nodes.
bool SameStorage(const struct stat& a, const struct stat& b) {
  if (S_ISBLK(a.st_mode) || S_ISBLK(b.st_mode)) {
    return S_ISBLK(a.st_mode) && S_ISBLK(b.st_mode) && a.st_rdev == b.st_rdev;
  }
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

Result<int> Append(ImageChain* chain, ImageMember member, const std::string& naming_path) {
  if (chain->members.size() >= kMaxChainLength) {
    return Error::Coded("ERR_DISK_BACKING_CHAIN",
                        "the image needs more than " + std::to_string(kMaxChainLength) +
                            " files: shorten its chain with `qemu-img rebase` or `qemu-img commit`",
                        chain->members[0].file.path);
  }
  for (const ImageMember& other : chain->members) {
    if (SameStorage(other.file.status, member.file.status)) {
      return Error::Coded("ERR_DISK_BACKING_CHAIN",
                          "the image '" + naming_path + "' leads back to a file that is already part of its chain",
                          member.file.path);
    }
  }
  chain->members.push_back(std::move(member));
  return static_cast<int>(chain->members.size() - 1);
}

}  // namespace

Result<ImageChain> OpenChain(const ImageRequest& request, Labels labels) {
  ImageChain chain;
  VMENTRY_TRY(Placed current, PinTop(request, labels));
  const std::string top_path = current.file.path;
  ImageMember top;
  top.file = std::move(current.file);
  top.format = request.format;
  top.read_only = request.read_only;
  VMENTRY_TRY(int index, Append(&chain, std::move(top), top_path));

  // One turn for each image of the backing chain. Indexes, because the vector grows.
  while (chain.members[static_cast<size_t>(index)].format == Format::kQcow2) {
    const size_t here = static_cast<size_t>(index);
    const std::string path = chain.members[here].file.path;
    VMENTRY_TRY(const Qcow2Header header, ReadHeader(chain.members[here].file));

    if (!header.data_file_name.empty()) {
      VMENTRY_TRY(Placed data, PinNamed(&current.directory, path, header.data_file_name, "external data file", labels));
      ImageMember member;
      member.file = std::move(data.file);
      member.read_only = chain.members[here].read_only;
      VMENTRY_TRY(chain.members[here].data_file, Append(&chain, std::move(member), path));
    }
    if (header.backing_name.empty()) break;
    VMENTRY_TRY(Placed backing, PinNamed(&current.directory, path, header.backing_name, "backing file", labels));
    ImageMember member;
    member.file = std::move(backing.file);
    member.format = header.backing_format;
    VMENTRY_TRY(index, Append(&chain, std::move(member), path));
    chain.members[here].backing = index;
    current.directory = std::move(backing.directory);
  }
  return chain;
}

}  // namespace vmentry::disk
