// Inside native/disk/ only: pinning under a name that differs from the one in messages.
#pragma once

#include <cstdint>
#include <string>

#include "disk/image.h"

namespace vmentry::disk {

// Pins `name` in the directory `dirfd`, as Pin does. Messages and PinnedFile::path have `path`.
Result<PinnedFile> PinAt(int dirfd, const std::string& name, const std::string& path, Labels labels);

// Reopens a pinned file with `access` (O_RDONLY or O_RDWR) and makes sure that it is the same object. Does
// not wait for anybody, and the result does not either: it has O_NONBLOCK.
Result<UniqueFd> OpenPinned(const PinnedFile& file, int access);

}  // namespace vmentry::disk
