// Inside native/disk/ only: pinning under a name that differs from the one in messages, and what may be an
// image at all.
#pragma once

#include <cstdint>
#include <string>

#include "disk/image.h"

namespace vmentry::disk {

// Refuses a path with a NUL in it: where a C string ends early, another file would be looked at than the one
// in messages.
Status CheckPath(const std::string& path);
// Refuses everything but regular files and block devices (ERR_DISK_NOT_REGULAR).
Status CheckType(const struct stat& status, const std::string& path);
// What was read of a label, as one to decide about: empty where there is none and none is needed, else
// ERR_DISK_UNLABELED.
Result<std::string> UsableLabel(Result<std::string> label, const std::string& path, Labels labels);

// Pins `name` in the directory `dirfd`, as Pin does. Messages and PinnedFile::path have `path`.
Result<PinnedFile> PinAt(int dirfd, const std::string& name, const std::string& path, Labels labels);

// Reopens a pinned file with `access` (O_RDONLY or O_RDWR) and makes sure that it is the same object. Does
// not wait for anybody, and the result does not either: it has O_NONBLOCK.
Result<UniqueFd> OpenPinned(const PinnedFile& file, int access);

}  // namespace vmentry::disk
