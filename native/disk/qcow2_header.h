// What a qcow2 header says about other files: a bounded reader over bytes, without any I/O. It reads
// only what decides which files make up the image, and refuses what QEMU would read differently.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"
#include "disk/image.h"

namespace vmentry::disk {

// The header, its extensions and the backing file's name must lie within this many bytes. QEMU allows
// a whole cluster (up to 2 MiB) but writes less than 4 KiB.
inline constexpr size_t kMaxHeaderBytes = 64 * 1024;
// The format's limit for a backing file's name; applied to the external data file's name too.
inline constexpr size_t kMaxNameLength = 1023;

struct Qcow2Header {
  uint32_t version = 0;
  uint32_t cluster_bits = 0;
  uint64_t virtual_size = 0;
  uint64_t incompatible_features = 0;
  std::string backing_name;              // empty: no backing file
  Format backing_format = Format::kRaw;  // meaningful only with a backing file
  std::string data_file_name;            // empty: the guest's data is in the image itself
};

// `head` is the beginning of the image: all of it, or kMaxHeaderBytes. `file_size` is the size of the
// whole image, UINT64_MAX where it is unknown but larger than `head`. Errors carry no path.
Result<Qcow2Header> ParseQcow2Header(std::span<const uint8_t> head, uint64_t file_size);

// Whether QEMU would take `name` for "protocol:rest" instead of for a file name.
bool HasProtocolPrefix(std::string_view name);

}  // namespace vmentry::disk
