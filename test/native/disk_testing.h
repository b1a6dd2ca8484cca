// What the disk tests share: a directory of their own, a builder for qcow2 headers (also wrong ones), and
// counts of what a test may have left open.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "disk/image.h"

namespace disk_testing {

// A temporary directory, removed with everything in it.
class TempDirectory {
 public:
  TempDirectory() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/vmentry-disk-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~TempDirectory() { RemoveAll(path_); }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  static void RemoveAll(const std::string& path) {
    if (DIR* directory = ::opendir(path.c_str()); directory != nullptr) {
      while (const dirent* entry = ::readdir(directory)) {
        const std::string name = entry->d_name;
        if (name == "." || name == "..") continue;
        const std::string child = path + "/" + name;
        struct stat status;
        if (::lstat(child.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
          RemoveAll(child);
        } else {
          ::unlink(child.c_str());
        }
      }
      ::closedir(directory);
    }
    ::rmdir(path.c_str());
  }

  std::string path_;
};

inline void WriteFile(const std::string& path, std::string_view content) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr || std::fwrite(content.data(), 1, content.size(), file) != content.size() ||
      std::fclose(file) != 0) {
    std::perror(path.c_str());
    std::abort();
  }
}
inline void WriteFile(const std::string& path, const std::vector<uint8_t>& bytes) {
  WriteFile(path, std::string(bytes.begin(), bytes.end()));
}

inline void Put16(std::vector<uint8_t>* bytes, size_t at, uint16_t value) {
  (*bytes)[at] = static_cast<uint8_t>(value >> 8);
  (*bytes)[at + 1] = static_cast<uint8_t>(value);
}
inline void Put32(std::vector<uint8_t>* bytes, size_t at, uint32_t value) {
  Put16(bytes, at, static_cast<uint16_t>(value >> 16));
  Put16(bytes, at + 2, static_cast<uint16_t>(value));
}
inline void Put64(std::vector<uint8_t>* bytes, size_t at, uint64_t value) {
  Put32(bytes, at, static_cast<uint32_t>(value >> 32));
  Put32(bytes, at + 4, static_cast<uint32_t>(value));
}

// Describes a header; the defaults describe a correct one without other files. A test changes one thing
// here, or overwrites one field in the result.
struct Header {
  uint32_t version = 3;
  uint32_t cluster_bits = 16;
  uint32_t crypt_method = 0;
  uint64_t incompatible = 0;
  uint64_t autoclear = 0;
  uint32_t header_length = 112;
  uint8_t compression = 0;
  std::optional<std::string> backing;
  std::optional<std::string> backing_format;
  std::optional<std::string> data_file;
  std::vector<std::pair<uint32_t, std::string>> extensions;  // after the two above
  bool end_marker = true;
};

inline constexpr uint32_t kBackingFormat = 0xe2792aca;
inline constexpr uint32_t kDataFile = 0x44415441;
inline constexpr uint32_t kCrypto = 0x0537be77;
inline constexpr size_t kVersionAt = 4, kBackingOffsetAt = 8, kBackingLengthAt = 16, kClusterBitsAt = 20,
                        kIncompatibleAt = 72, kAutoclearAt = 88, kRefcountOrderAt = 96, kHeaderLengthAt = 100;

// The header alone: it ends with the extensions or the backing file's name.
inline std::vector<uint8_t> Build(const Header& header) {
  const size_t length = header.version >= 3 ? header.header_length : 72;
  std::vector<uint8_t> bytes(length);
  Put32(&bytes, 0, 0x514649fb);
  Put32(&bytes, kVersionAt, header.version);
  Put32(&bytes, kClusterBitsAt, header.cluster_bits);
  Put64(&bytes, 24, 1 << 20);  // virtual size
  Put32(&bytes, 32, header.crypt_method);
  Put32(&bytes, 36, 1);        // L1 entries
  Put64(&bytes, 40, 3 << 16);  // L1 table
  Put64(&bytes, 48, 1 << 16);  // reference count table
  Put32(&bytes, 56, 1);
  if (header.version >= 3) {
    Put64(&bytes, kIncompatibleAt, header.incompatible);
    Put64(&bytes, kAutoclearAt, header.autoclear);
    Put32(&bytes, kRefcountOrderAt, 4);
    Put32(&bytes, kHeaderLengthAt, header.header_length);
    if (header.header_length > 104) bytes[104] = header.compression;
  }
  auto extensions = header.extensions;
  if (header.data_file) extensions.insert(extensions.begin(), {kDataFile, *header.data_file});
  if (header.backing_format) extensions.insert(extensions.begin(), {kBackingFormat, *header.backing_format});
  if (header.end_marker) extensions.emplace_back(0, "");
  for (const auto& [type, content] : extensions) {
    const size_t at = bytes.size();
    bytes.resize(at + 8 + (content.size() + 7) / 8 * 8);
    Put32(&bytes, at, type);
    Put32(&bytes, at + 4, static_cast<uint32_t>(content.size()));
    std::copy(content.begin(), content.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at + 8));
  }
  if (header.backing) {
    Put64(&bytes, kBackingOffsetAt, bytes.size());
    Put32(&bytes, kBackingLengthAt, static_cast<uint32_t>(header.backing->size()));
    bytes.insert(bytes.end(), header.backing->begin(), header.backing->end());
  }
  return bytes;
}

// The same, filled up to whole clusters as an image file is.
inline std::vector<uint8_t> BuildImage(const Header& header) {
  std::vector<uint8_t> bytes = Build(header);
  bytes.resize(std::max<size_t>(bytes.size(), 4u << header.cluster_bits));
  return bytes;
}

inline Header WithBacking(std::string name, std::string format) {
  Header header;
  header.backing = std::move(name);
  header.backing_format = std::move(format);
  return header;
}
inline Header WithDataFile(std::string name) {
  Header header;
  header.incompatible = 1 << 2;
  header.data_file = std::move(name);
  return header;
}

inline vmentry::disk::ImageRequest Qcow2(std::string path, bool read_only = false) {
  vmentry::disk::ImageRequest request;
  request.path = std::move(path);
  request.format = vmentry::disk::Format::kQcow2;
  request.read_only = read_only;
  return request;
}
inline vmentry::disk::ImageRequest Raw(std::string path, bool read_only = false) {
  vmentry::disk::ImageRequest request = Qcow2(std::move(path), read_only);
  request.format = vmentry::disk::Format::kRaw;
  return request;
}

// Open descriptors of this process, without the one that counts them.
inline size_t OpenDescriptors() {
  size_t count = 0;
  DIR* directory = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(directory)) count += entry->d_name[0] != '.';
  ::closedir(directory);
  return count - 1;
}

inline bool SetLabel(const std::string& path, std::string_view label) {
  return ::setxattr(path.c_str(), "security.selinux", label.data(), label.size(), 0) == 0;
}
inline bool RemoveLabel(const std::string& path) { return ::removexattr(path.c_str(), "security.selinux") == 0; }

// Whether any bytes can be made a label here: as root, on a kernel without SELinux.
inline bool CanSetAnyLabel() {
  TempDirectory directory;
  WriteFile(directory / "probe", "x");
  return SetLabel(directory / "probe", "no:such:label") && RemoveLabel(directory / "probe");
}

// What a Result says, in one word: "ok", an ERR_* code, or the number of an errno.
template <typename T>
std::string Outcome(const vmentry::Result<T>& result) {
  if (result.ok()) return "ok";
  return result.error().code.empty() ? "errno " + std::to_string(result.error().errno_value) : result.error().code;
}

}  // namespace disk_testing
