#include "disk/qcow2_header.h"

#include <algorithm>
#include <string>
#include <utility>

namespace vmentry::disk {
namespace {

// Offsets and values of docs/interop/qcow2.txt in QEMU's sources.
constexpr uint32_t kMagic = 0x514649fb;  // "QFI\xfb"
constexpr size_t kVersion2Length = 72;
constexpr size_t kVersion3Length = 104;

constexpr uint32_t kExtensionEnd = 0;
constexpr uint32_t kExtensionBackingFormat = 0xe2792aca;
constexpr uint32_t kExtensionDataFile = 0x44415441;
constexpr uint32_t kExtensionCrypto = 0x0537be77;

constexpr uint64_t kIncompatibleCorrupt = 1u << 1;
constexpr uint64_t kIncompatibleDataFile = 1u << 2;
constexpr uint64_t kIncompatibleCompression = 1u << 3;
constexpr uint64_t kIncompatibleExtendedL2 = 1u << 4;
// Bit 0 (dirty) only asks for a check of the reference counts, which is QEMU's to do.
constexpr uint64_t kIncompatibleKnown = 0x1f;
constexpr uint64_t kAutoclearDataFileRaw = 1u << 1;

constexpr uint32_t kMinClusterBits = 9;
constexpr uint32_t kMaxClusterBits = 21;
// A cluster is divided into 32 subclusters of at least 512 bytes.
constexpr uint32_t kMinClusterBitsExtendedL2 = 14;
constexpr uint32_t kMaxRefcountOrder = 6;
constexpr uint32_t kCryptNone = 0;
constexpr uint32_t kCryptAes = 1;
constexpr uint32_t kCryptLuks = 2;
constexpr uint8_t kCompressionZlib = 0;
constexpr uint8_t kCompressionZstd = 1;

Error Damaged(std::string_view what) {
  return Error::Coded("ERR_DISK_HEADER", "damaged qcow2 header: " + std::string(what));
}
Error Chain(std::string_view what) { return Error::Coded("ERR_DISK_BACKING_CHAIN", what); }
Error Feature(std::string_view what) { return Error::Coded("ERR_DISK_FEATURE", what); }

// Big-endian reads. Every caller has asked Holds() for the range first; a range that is not there
// reads as zero instead of running over.
class Bytes {
 public:
  explicit Bytes(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  size_t size() const { return bytes_.size(); }
  // Cannot overflow: nothing is added.
  bool Holds(uint64_t offset, uint64_t length) const {
    return offset <= bytes_.size() && length <= bytes_.size() - offset;
  }
  uint8_t U8(size_t offset) const { return Holds(offset, 1) ? bytes_[offset] : uint8_t{0}; }
  uint32_t U32(size_t offset) const { return static_cast<uint32_t>(Number(offset, 4)); }
  uint64_t U64(size_t offset) const { return Number(offset, 8); }
  std::string Text(size_t offset, size_t length) const {
    if (!Holds(offset, length)) return {};
    const auto text = bytes_.subspan(offset, length);
    return std::string(text.begin(), text.end());
  }

 private:
  uint64_t Number(size_t offset, size_t length) const {
    if (!Holds(offset, length)) return 0;
    uint64_t value = 0;
    for (const uint8_t byte : bytes_.subspan(offset, length)) value = value << 8 | byte;
    return value;
  }

  std::span<const uint8_t> bytes_;
};

// The fixed fields that matter here; those of version 3 have the values that version 2 implies.
struct Fields {
  uint32_t version = 0;
  uint64_t backing_offset = 0;
  uint32_t backing_length = 0;
  uint32_t cluster_bits = 0;
  uint64_t virtual_size = 0;
  uint32_t crypt_method = 0;
  uint64_t incompatible = 0;
  uint64_t autoclear = 0;
  uint32_t refcount_order = 4;
  uint32_t header_length = kVersion2Length;
  uint8_t compression = kCompressionZlib;

  uint64_t cluster_size() const { return uint64_t{1} << cluster_bits; }  // cluster_bits was checked
};

Result<Fields> ReadFields(const Bytes& bytes) {
  if (!bytes.Holds(0, 4) || bytes.U32(0) != kMagic) {
    return Error::Coded("ERR_DISK_FORMAT_MISMATCH",
                        "declared qcow2, but it does not begin with a qcow2 header: declare the format it has");
  }
  if (!bytes.Holds(0, kVersion2Length)) return Damaged("the file ends inside it");
  Fields fields;
  fields.version = bytes.U32(4);
  if (fields.version != 2 && fields.version != 3) {
    return Error::Coded("ERR_DISK_HEADER",
                        "qcow2 version " + std::to_string(fields.version) + " is not supported, only 2 and 3 are");
  }
  fields.backing_offset = bytes.U64(8);
  fields.backing_length = bytes.U32(16);
  fields.cluster_bits = bytes.U32(20);
  fields.virtual_size = bytes.U64(24);
  fields.crypt_method = bytes.U32(32);
  if (fields.version == 2) return fields;

  if (!bytes.Holds(0, kVersion3Length)) return Damaged("the file ends inside it");
  fields.incompatible = bytes.U64(72);
  fields.autoclear = bytes.U64(88);
  fields.refcount_order = bytes.U32(96);
  fields.header_length = bytes.U32(100);
  // Whether the header's length admits this byte is checked with the other lengths.
  if (fields.header_length > kVersion3Length) fields.compression = bytes.U8(kVersion3Length);
  return fields;
}

Status CheckLengths(const Fields& fields, const Bytes& bytes, uint64_t file_size) {
  if (fields.cluster_bits < kMinClusterBits || fields.cluster_bits > kMaxClusterBits) {
    return Damaged("cluster size of 2^" + std::to_string(fields.cluster_bits) + " bytes, possible are 2^9 to 2^21");
  }
  // A whole first cluster is also what lets every later check speak of the cluster only.
  if (file_size < fields.cluster_size()) return Damaged("the file is shorter than its first cluster");
  if (fields.version == 3 && fields.header_length < kVersion3Length) {
    return Damaged("header length " + std::to_string(fields.header_length) + ", version 3 has at least 104 bytes");
  }
  if (fields.header_length > fields.cluster_size()) return Damaged("the header is longer than a cluster");
  if (fields.header_length % 8 != 0) return Damaged("the header length is not a multiple of 8");
  if (!bytes.Holds(0, fields.header_length)) return Damaged("the header is longer than 64 KiB or than the file");
  return Ok();
}

Status CheckFeatures(const Fields& fields) {
  if (const uint64_t unknown = fields.incompatible & ~kIncompatibleKnown; unknown != 0) {
    std::string bits;
    for (int bit = 0; bit < 64; ++bit) {
      if ((unknown >> bit & 1) != 0) bits += (bits.empty() ? "" : ", ") + std::to_string(bit);
    }
    return Feature("the image uses incompatible qcow2 features that are not known here (bits " + bits + ")");
  }
  if ((fields.incompatible & kIncompatibleCorrupt) != 0) {
    return Error::Coded("ERR_DISK_HEADER", "the image is marked corrupt: repair it with `qemu-img check -r all`");
  }
  const bool compression_declared = (fields.incompatible & kIncompatibleCompression) != 0;
  if (compression_declared != (fields.compression != kCompressionZlib)) {
    return Damaged("compression type and feature bit contradict each other");
  }
  if (fields.compression > kCompressionZstd) {
    return Feature("compression type " + std::to_string(fields.compression) + " is not known here");
  }
  if ((fields.incompatible & kIncompatibleExtendedL2) != 0 && fields.cluster_bits < kMinClusterBitsExtendedL2) {
    return Damaged("extended L2 entries need clusters of at least 16 KiB");
  }
  if (fields.refcount_order > kMaxRefcountOrder) return Damaged("reference counts wider than 64 bits");
  switch (fields.crypt_method) {
    case kCryptNone:
    case kCryptLuks:
      return Ok();
    case kCryptAes:
      // QEMU's system emulators refuse it too; only qemu-img converts it.
      return Feature("the image has the old AES encryption, which is not safe: convert it with `qemu-img convert`");
    default:
      return Feature("encryption method " + std::to_string(fields.crypt_method) + " is not known here");
  }
}

// Control characters cannot be part of a name: it goes into messages, audit records and argument lists.
bool IsPlainText(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte != 0x7f;
  });
}

Status CheckName(std::string_view name, const char* what) {
  if (name.find('\0') != name.npos) return Damaged(std::string("NUL byte in the name of the ") + what);
  if (!IsPlainText(name)) return Chain(std::string("control character in the name of the ") + what);
  if (HasProtocolPrefix(name)) {
    return Chain("the " + std::string(what) + " '" + std::string(name) +
                 "' is a URI or a json: description: only file names are followed");
  }
  return Ok();
}

struct Extensions {
  bool has_backing_format = false;
  std::string backing_format;
  bool has_data_file = false;
  std::string data_file;
  bool has_crypto = false;
};

// Walks the extensions between `offset` and `end`, both inside the first cluster.
Result<Extensions> ReadExtensions(const Bytes& bytes, uint64_t offset, uint64_t end) {
  Extensions found;
  while (offset < end) {
    // Offsets stay below `end`, which is at most one cluster: the sums below cannot overflow.
    if (end - offset < 8) return Damaged("an extension runs over the end of the extension area");
    if (!bytes.Holds(offset, 8)) return Damaged("the extensions are longer than 64 KiB or than the file");
    const uint32_t type = bytes.U32(offset);
    const uint32_t length = bytes.U32(offset + 4);
    offset += 8;
    if (type == kExtensionEnd) {
      // Version 2 has its end marker where version 3 has its feature bits: a length means that one
      // was made to look like the other.
      if (length != 0) return Damaged("the end of the extensions has a length");
      return found;
    }
    if (length > end - offset) return Damaged("an extension runs over the end of the extension area");

    bool repeated = false;
    std::string* text = nullptr;
    if (type == kExtensionBackingFormat) {
      repeated = std::exchange(found.has_backing_format, true);
      text = &found.backing_format;
    } else if (type == kExtensionDataFile) {
      repeated = std::exchange(found.has_data_file, true);
      text = &found.data_file;
    } else if (type == kExtensionCrypto) {
      repeated = std::exchange(found.has_crypto, true);
    }
    // QEMU lets the last one win; whoever lets the first one win would see another image.
    if (repeated) return Damaged("an extension occurs twice");
    if (text != nullptr) {
      if (length > kMaxNameLength) return Damaged("a name is longer than 1023 bytes");
      if (!bytes.Holds(offset, length)) return Damaged("the extensions are longer than 64 KiB or than the file");
      *text = bytes.Text(offset, length);
    }
    offset += (uint64_t{length} + 7) / 8 * 8;  // padded to 8 bytes
  }
  return found;
}

Status TakeBackingFile(const Fields& fields, const Bytes& bytes, const Extensions& extensions, Qcow2Header* header) {
  if (fields.backing_length == 0) return Damaged("the backing file's name is empty");
  if (!bytes.Holds(fields.backing_offset, fields.backing_length)) {
    return Damaged("the backing file's name lies beyond 64 KiB or beyond the file");
  }
  std::string name = bytes.Text(fields.backing_offset, fields.backing_length);
  VMENTRY_CHECK(CheckName(name, "backing file"));
  if (!extensions.has_backing_format) {
    return Chain("the format of the backing file '" + name +
                 "' is not declared, and is never probed: declare it with `qemu-img rebase -u -b … -F …`");
  }
  if (extensions.backing_format == "raw") {
    header->backing_format = Format::kRaw;
  } else if (extensions.backing_format == "qcow2") {
    header->backing_format = Format::kQcow2;
  } else {
    const std::string& format = extensions.backing_format;
    return Chain("the backing file '" + name + "' has the format " +
                 (IsPlainText(format) && format.size() < 16 ? "'" + format + "'" : std::string("(unreadable)")) +
                 ": only raw and qcow2 are supported");
  }
  header->backing_name = std::move(name);
  return Ok();
}

}  // namespace

bool HasProtocolPrefix(std::string_view name) {
  const size_t mark = name.find_first_of(":/");
  return mark != name.npos && name[mark] == ':';
}

Result<Qcow2Header> ParseQcow2Header(std::span<const uint8_t> head, uint64_t file_size) {
  // More is never looked at, whatever the caller read.
  const Bytes bytes(head.first(std::min(head.size(), kMaxHeaderBytes)));
  VMENTRY_TRY(const Fields fields, ReadFields(bytes));
  VMENTRY_CHECK(CheckLengths(fields, bytes, file_size));
  VMENTRY_CHECK(CheckFeatures(fields));

  const bool has_backing = fields.backing_offset != 0;
  uint64_t extensions_end = fields.cluster_size();
  if (has_backing) {
    // Undefined without a backing file, so only looked at with one.
    if (fields.backing_length > kMaxNameLength) return Damaged("the backing file's name is longer than 1023 bytes");
    if (fields.backing_offset < fields.header_length) return Damaged("the backing file's name lies inside the header");
    if (fields.backing_offset > fields.cluster_size() ||
        fields.backing_length > fields.cluster_size() - fields.backing_offset) {
      return Damaged("the backing file's name lies beyond the first cluster");
    }
    extensions_end = fields.backing_offset;
  }
  VMENTRY_TRY(const Extensions extensions, ReadExtensions(bytes, fields.header_length, extensions_end));

  Qcow2Header header;
  header.version = fields.version;
  header.cluster_bits = fields.cluster_bits;
  header.virtual_size = fields.virtual_size;
  header.incompatible_features = fields.incompatible;

  if (extensions.has_crypto != (fields.crypt_method == kCryptLuks)) {
    return Damaged("encryption method and encryption header contradict each other");
  }
  const bool external_data = (fields.incompatible & kIncompatibleDataFile) != 0;
  if (external_data != extensions.has_data_file) {
    return Error::Coded("ERR_DISK_BACKING_CHAIN",
                        external_data ? "the image has an external data file but does not name it"
                                      : "the image names an external data file that its feature bits do not declare");
  }
  if (external_data) {
    if (extensions.data_file.empty()) return Chain("the image has an external data file but does not name it");
    VMENTRY_CHECK(CheckName(extensions.data_file, "external data file"));
    header.data_file_name = extensions.data_file;
  } else if ((fields.autoclear & kAutoclearDataFileRaw) != 0) {
    return Damaged("a raw external data file is announced, but there is none");
  }
  if (has_backing) VMENTRY_CHECK(TakeBackingFile(fields, bytes, extensions, &header));
  return header;
}

}  // namespace vmentry::disk
