// A virtual disk from its path to its open descriptors: pinned once, never named again.
//
//   Pin            O_PATH|O_NOFOLLOW, fstat, label: nothing is opened yet, nothing can block
//   OpenChain      reads the headers of qcow2 members (read-only, bounded) and pins what they name
//   OpenForUse     after the decision: the final descriptor of each member, in its final mode
//   VerifyLabel    just before the exec: same inode, same label as when the decision was made
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/unique_fd.h"

namespace vmentry::disk {

enum class Format : uint8_t { kRaw, kQcow2 };

// The limits that keep a hostile image from costing more than a refusal.
inline constexpr size_t kMaxChainLength = 64;  // members of one image, the top included

struct ImageRequest {
  std::string path;  // for fd >= 0 only a name for messages, and the base for relative names
  int fd = -1;       // the caller's, to use instead of opening `path`; it is pinned anew and stays the caller's
  Format format = Format::kRaw;  // always declared, never probed
  bool read_only = false;
};

// Whether a security label must exist. `kOptional` only where SELinux enforcement was switched off.
enum class Labels : uint8_t { kRequired, kOptional };

struct PinnedFile {
  UniqueFd fd;       // O_PATH
  std::string path;  // as it was named: for messages and audit, never for opening
  struct stat status = {};
  std::string context;  // raw label; empty only with Labels::kOptional
};

// Pins one regular file or block device. Everything else (directory, FIFO, socket, character device,
// symbolic link as the last component) is refused with ERR_DISK_NOT_REGULAR, without being opened.
Result<PinnedFile> Pin(int dirfd, const std::string& path, Labels labels);
// The same for a descriptor that somebody else opened.
Result<PinnedFile> PinDescriptor(int fd, const std::string& path, Labels labels);

struct ImageMember {
  PinnedFile file;
  Format format = Format::kRaw;
  bool read_only = true;  // only the top of a chain may be writable, and its external data file with it
  int backing = -1;       // index in ImageChain::members, -1: none
  int data_file = -1;     // index of the qcow2 external data file, -1: none
  UniqueFd use;           // the descriptor for the VM, from OpenForUse
};

struct ImageChain {
  std::vector<ImageMember> members;  // [0] is the image itself
};

// Whether a label is one word, as every context is: no white space, no control characters.
bool IsPlainLabel(std::string_view label);

// Opens nothing but headers. What is refused and why is in docs/disk.md. Error codes:
// ERR_DISK_NOT_REGULAR, ERR_DISK_UNLABELED, ERR_DISK_HEADER (damaged, truncated or unknown version),
// ERR_DISK_FORMAT_MISMATCH (declared qcow2, has no such magic), ERR_DISK_BACKING_CHAIN (loop, depth,
// undeclared backing format, URI or json: reference, missing member), ERR_DISK_FEATURE (incompatible
// feature bits we do not know), or a system error with the member's path.
Result<ImageChain> OpenChain(const ImageRequest& request, Labels labels);
// Fills in `use` of every member. Waits for nobody: EWOULDBLOCK where somebody holds a lease.
Status OpenForUse(ImageChain* chain);

// Same device and inode behind `use`, and the label as it was decided about: else ERR_DISK_CHANGED.
Status VerifyLabel(const ImageMember& member, Labels labels);

}  // namespace vmentry::disk
