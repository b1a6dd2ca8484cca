// Fuzz target: the qcow2 header parser over any bytes.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "disk/qcow2_header.h"

using vmentry::Result;
using vmentry::disk::HasProtocolPrefix;
using vmentry::disk::kMaxHeaderBytes;
using vmentry::disk::kMaxNameLength;
using vmentry::disk::ParseQcow2Header;
using vmentry::disk::Qcow2Header;

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

// What every accepted header promises to the code that opens the names in it.
void CheckName(const std::string& name) {
  Require(name.size() <= kMaxNameLength);
  Require(!HasProtocolPrefix(name));
  Require(std::all_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x20; }));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const uint64_t file_size : {static_cast<uint64_t>(size), std::numeric_limits<uint64_t>::max()}) {
    const Result<Qcow2Header> header = ParseQcow2Header({data, size}, file_size);
    if (!header.ok()) {
      Require(header.error().code.starts_with("ERR_DISK_"));
      Require(!header.error().message.empty());
      continue;
    }
    const Qcow2Header& value = header.value();
    Require(value.version == 2 || value.version == 3);
    Require(value.cluster_bits >= 9 && value.cluster_bits <= 21);
    Require((value.incompatible_features & ~uint64_t{0x1d}) == 0);
    Require(((value.incompatible_features & 4) != 0) == !value.data_file_name.empty());
    CheckName(value.backing_name);
    CheckName(value.data_file_name);
    // What lies beyond the limit must not matter.
    if (size > kMaxHeaderBytes) Require(ParseQcow2Header({data, kMaxHeaderBytes}, file_size).ok());
  }
  return 0;
}
