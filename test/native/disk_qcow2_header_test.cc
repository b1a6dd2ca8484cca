// The qcow2 header parser over bytes: correct headers, hostile ones, and every truncation of both.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstring>
#include <memory>

#include "disk/qcow2_header.h"
#include "disk_testing.h"

using namespace disk_testing;
using vmentry::Result;
using vmentry::disk::Format;
using vmentry::disk::HasProtocolPrefix;
using vmentry::disk::kMaxHeaderBytes;
using vmentry::disk::ParseQcow2Header;
using vmentry::disk::Qcow2Header;

namespace {

constexpr uint64_t kLarge = uint64_t{1} << 30;  // a file that is longer than any header

// Copies to a block of exactly the right size, so that a sanitizer sees a read behind the end.
Result<Qcow2Header> Parse(const std::vector<uint8_t>& bytes, uint64_t file_size = kLarge) {
  const auto exact = std::make_unique<uint8_t[]>(bytes.size());
  if (!bytes.empty()) std::memcpy(exact.get(), bytes.data(), bytes.size());
  return ParseQcow2Header({exact.get(), bytes.size()}, file_size);
}

std::string Refusal(const std::vector<uint8_t>& bytes, uint64_t file_size = kLarge) {
  return Outcome(Parse(bytes, file_size));
}
std::string Refusal(const Header& header) { return Refusal(Build(header)); }

Header Changed(void (*change)(Header*)) {
  Header header;
  change(&header);
  return header;
}

}  // namespace

TEST_CASE("a header without other files") {
  const auto header = Parse(Build({}));
  REQUIRE(header.ok());
  CHECK(header.value().version == 3);
  CHECK(header.value().cluster_bits == 16);
  CHECK(header.value().virtual_size == 1 << 20);
  CHECK(header.value().backing_name.empty());
  CHECK(header.value().data_file_name.empty());
}

TEST_CASE("backing file and its format") {
  auto header = Parse(Build(WithBacking("base.img", "raw")));
  REQUIRE(header.ok());
  CHECK(header.value().backing_name == "base.img");
  CHECK(header.value().backing_format == Format::kRaw);

  header = Parse(Build(WithBacking("/srv/base image.qcow2", "qcow2")));
  REQUIRE(header.ok());
  CHECK(header.value().backing_name == "/srv/base image.qcow2");
  CHECK(header.value().backing_format == Format::kQcow2);

  Header version2 = WithBacking("base.img", "raw");
  version2.version = 2;
  header = Parse(Build(version2));
  REQUIRE(header.ok());
  CHECK(header.value().version == 2);
  CHECK(header.value().backing_name == "base.img");
}

TEST_CASE("external data file") {
  Header header = WithDataFile("disk.raw");
  header.autoclear = 1 << 1;  // data-file-raw
  const auto parsed = Parse(Build(header));
  REQUIRE(parsed.ok());
  CHECK(parsed.value().data_file_name == "disk.raw");
}

TEST_CASE("legal features") {
  CHECK(Refusal(Changed([](Header* h) { h->incompatible = 1 << 0; })) == "ok");  // dirty
  CHECK(Refusal(Changed([](Header* h) { h->incompatible = 1 << 4; })) == "ok");  // extended L2
  CHECK(Refusal(Changed([](Header* h) {
          h->incompatible = 1 << 3;
          h->compression = 1;  // zstd
        })) == "ok");
  CHECK(Refusal(Changed([](Header* h) { h->autoclear = ~uint64_t{1 << 1}; })) == "ok");
  CHECK(Refusal(Changed([](Header* h) { h->header_length = 104; })) == "ok");
  CHECK(Refusal(Changed([](Header* h) { h->header_length = 4096; })) == "ok");
  CHECK(Refusal(Changed([](Header* h) { h->extensions = {{0x12345678, std::string(5000, 'x')}}; })) == "ok");
  CHECK(Refusal(Changed([](Header* h) {
          h->crypt_method = 2;
          h->extensions = {{kCrypto, std::string(16, '\0')}};
        })) == "ok");
  CHECK(Refusal(Changed([](Header* h) { h->cluster_bits = 9; })) == "ok");
  CHECK(Refusal(Changed([](Header* h) { h->cluster_bits = 21; })) == "ok");
}

TEST_CASE("without an end marker the extensions end at the backing file's name, or at the end of the cluster") {
  Header header = WithBacking("base", "raw");
  header.end_marker = false;
  CHECK(Refusal(header) == "ok");

  header = {};
  header.cluster_bits = 9;
  header.end_marker = false;
  header.extensions = {{1, std::string(512 - 112 - 8, 'x')}};
  CHECK(Refusal(header) == "ok");
}

TEST_CASE("another format under the name qcow2") {
  CHECK(Refusal(std::vector<uint8_t>{}) == "ERR_DISK_FORMAT_MISMATCH");
  CHECK(Refusal(std::vector<uint8_t>(512)) == "ERR_DISK_FORMAT_MISMATCH");
  CHECK(Refusal(std::vector<uint8_t>{'Q', 'F', 'I'}) == "ERR_DISK_FORMAT_MISMATCH");
  // An ISO image keeps its first 32 KiB free: a qcow2 header fits in, and both formats are right about it.
  // Declared qcow2 it is qcow2; what its header names is still checked.
  std::vector<uint8_t> iso = BuildImage(WithBacking("json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}", "raw"));
  std::memcpy(iso.data() + 0x8000, "\1CD001\1", 7);
  CHECK(Refusal(iso) == "ERR_DISK_BACKING_CHAIN");
}

TEST_CASE("versions") {
  std::vector<uint8_t> bytes = Build({});
  for (const uint32_t version : {0u, 1u, 4u, 0x02000000u, 0xffffffffu}) {
    Put32(&bytes, kVersionAt, version);
    CHECK(Refusal(bytes) == "ERR_DISK_HEADER");
  }
}

TEST_CASE("version 2 with the bits of version 3") {
  // The fields of version 3 are where version 2 has its first extension.
  for (const uint64_t bits : {1u << 0, 1u << 1, 1u << 2, 1u << 3, 1u << 4, 1u << 5}) {
    std::vector<uint8_t> bytes = Build(Changed([](Header* h) { h->incompatible = 0; }));
    Put32(&bytes, kVersionAt, 2);
    Put64(&bytes, kIncompatibleAt, bits);
    CHECK(Refusal(bytes) == "ERR_DISK_HEADER");
  }
  // Its data file extension has no bit that could declare it.
  Header header = WithDataFile("disk.raw");
  header.version = 2;
  CHECK(Refusal(header) == "ERR_DISK_BACKING_CHAIN");
}

TEST_CASE("header length") {
  std::vector<uint8_t> bytes = BuildImage({});
  for (const uint32_t length :
       {0u, 72u, 96u, 103u, 105u, 113u, 0x10008u, 0x7fffffffu, 0x7ffffff8u, 0xfffffff8u, 0xffffffffu}) {
    Put32(&bytes, kHeaderLengthAt, length);
    CAPTURE(length);
    CHECK(Refusal(bytes) == "ERR_DISK_HEADER");
  }
  // A header that is longer than what is read, although the cluster is large enough.
  bytes = BuildImage(Changed([](Header* h) { h->cluster_bits = 20; }));
  Put32(&bytes, kHeaderLengthAt, kMaxHeaderBytes + 8);
  CHECK(Refusal(bytes) == "ERR_DISK_HEADER");
  Put32(&bytes, kHeaderLengthAt, 1 << 20);
  CHECK(Refusal(bytes) == "ERR_DISK_HEADER");
  // One that is longer than the cluster, although all of it is there.
  bytes = BuildImage(Changed([](Header* h) { h->cluster_bits = 9; }));
  Put32(&bytes, kHeaderLengthAt, 520);
  CHECK(Refusal(bytes) == "ERR_DISK_HEADER");
}

TEST_CASE("cluster size") {
  std::vector<uint8_t> bytes = Build({});
  for (const uint32_t bits : {0u, 8u, 22u, 31u, 32u, 63u, 64u, 0xffffffffu}) {
    Put32(&bytes, kClusterBitsAt, bits);
    CAPTURE(bits);
    CHECK(Refusal(bytes) == "ERR_DISK_HEADER");
  }
  CHECK(Refusal(Changed([](Header* h) {
          h->cluster_bits = 13;
          h->incompatible = 1 << 4;
        })) == "ERR_DISK_HEADER");
  CHECK(Refusal(Build({}), (1 << 16) - 1) == "ERR_DISK_HEADER");
}

TEST_CASE("incompatible features") {
  for (int bit = 5; bit < 64; ++bit) {
    Header header;
    header.incompatible = uint64_t{1} << bit;
    CAPTURE(bit);
    const auto parsed = Parse(Build(header));
    CHECK(Outcome(parsed) == "ERR_DISK_FEATURE");
    if (!parsed.ok()) CHECK(parsed.error().message.find(std::to_string(bit)) != std::string::npos);
  }
  CHECK(Refusal(Changed([](Header* h) { h->incompatible = 1 << 1; })) == "ERR_DISK_HEADER");  // corrupt
  // Compression: the bit, the type and the length of the header have to agree.
  CHECK(Refusal(Changed([](Header* h) { h->incompatible = 1 << 3; })) == "ERR_DISK_HEADER");
  CHECK(Refusal(Changed([](Header* h) { h->compression = 1; })) == "ERR_DISK_HEADER");
  CHECK(Refusal(Changed([](Header* h) {
          h->incompatible = 1 << 3;
          h->header_length = 104;
        })) == "ERR_DISK_HEADER");
  CHECK(Refusal(Changed([](Header* h) {
          h->incompatible = 1 << 3;
          h->compression = 2;
        })) == "ERR_DISK_FEATURE");
  std::vector<uint8_t> bytes = Build({});
  Put32(&bytes, kRefcountOrderAt, 7);
  CHECK(Refusal(bytes) == "ERR_DISK_HEADER");
}

TEST_CASE("encryption") {
  CHECK(Refusal(Changed([](Header* h) { h->crypt_method = 1; })) == "ERR_DISK_FEATURE");
  CHECK(Refusal(Changed([](Header* h) { h->crypt_method = 3; })) == "ERR_DISK_FEATURE");
  CHECK(Refusal(Changed([](Header* h) { h->crypt_method = 2; })) == "ERR_DISK_HEADER");
  CHECK(Refusal(Changed([](Header* h) { h->extensions = {{kCrypto, std::string(16, '\0')}}; })) == "ERR_DISK_HEADER");
}

TEST_CASE("external data file: bit and name have to agree") {
  CHECK(Refusal(Changed([](Header* h) { h->incompatible = 1 << 2; })) == "ERR_DISK_BACKING_CHAIN");
  CHECK(Refusal(Changed([](Header* h) { h->data_file = "disk.raw"; })) == "ERR_DISK_BACKING_CHAIN");
  CHECK(Refusal(WithDataFile("")) == "ERR_DISK_BACKING_CHAIN");
  CHECK(Refusal(WithDataFile("json:{}")) == "ERR_DISK_BACKING_CHAIN");
  CHECK(Refusal(WithDataFile("nbd://host/x")) == "ERR_DISK_BACKING_CHAIN");
  CHECK(Refusal(WithDataFile(std::string("a\0b", 3))) == "ERR_DISK_HEADER");
  CHECK(Refusal(WithDataFile(std::string(1023, 'n'))) == "ok");
  CHECK(Refusal(WithDataFile(std::string(1024, 'n'))) == "ERR_DISK_HEADER");
  CHECK(Refusal(Changed([](Header* h) { h->autoclear = 1 << 1; })) == "ERR_DISK_HEADER");
  Header twice = WithDataFile("good.raw");
  twice.extensions = {{kDataFile, "/etc/shadow"}};
  CHECK(Refusal(twice) == "ERR_DISK_HEADER");
}

TEST_CASE("backing file: format must be declared, once, as raw or qcow2") {
  Header header = WithBacking("base.img", "raw");
  header.backing_format.reset();
  const auto undeclared = Parse(Build(header));
  CHECK(Outcome(undeclared) == "ERR_DISK_BACKING_CHAIN");
  CHECK(undeclared.error().message.find("not declared") != std::string::npos);
  for (const char* format : {"", "RAW", "qcow", "vmdk", "file", "host_device", "luks", "nbd", "raw "}) {
    CAPTURE(format);
    CHECK(Refusal(WithBacking("base.img", format)) == "ERR_DISK_BACKING_CHAIN");
  }
  CHECK(Refusal(WithBacking("base.img", std::string("raw\0", 4))) == "ERR_DISK_BACKING_CHAIN");
  CHECK(Refusal(WithBacking("base.img", std::string(1024, 'f'))) == "ERR_DISK_HEADER");
  header = WithBacking("base.img", "raw");
  header.extensions = {{kBackingFormat, "qcow2"}};
  CHECK(Refusal(header) == "ERR_DISK_HEADER");
  // The format of a backing file that is not there means nothing.
  CHECK(Refusal(Changed([](Header* h) { h->backing_format = "vmdk"; })) == "ok");
}

TEST_CASE("backing file: where the name may be") {
  CHECK(Refusal(WithBacking(std::string(1023, 'n'), "raw")) == "ok");
  CHECK(Refusal(WithBacking(std::string(1024, 'n'), "raw")) == "ERR_DISK_HEADER");
  CHECK(Refusal(WithBacking("", "raw")) == "ERR_DISK_HEADER");
  CHECK(Refusal(WithBacking(std::string("base\0.img", 9), "raw")) == "ERR_DISK_HEADER");

  const std::vector<uint8_t> good = BuildImage(WithBacking("base.img", "raw"));
  const auto patched = [&](uint64_t offset, uint32_t length, uint64_t file_size = kLarge) {
    std::vector<uint8_t> bytes = good;
    Put64(&bytes, kBackingOffsetAt, offset);
    Put32(&bytes, kBackingLengthAt, length);
    CAPTURE(offset);
    return Refusal(bytes, file_size);
  };
  CHECK(patched(1, 8) == "ERR_DISK_HEADER");              // over the magic
  CHECK(patched(104, 8) == "ERR_DISK_HEADER");            // inside the header
  CHECK(patched(1 << 16, 8) == "ERR_DISK_HEADER");        // in the second cluster
  CHECK(patched((1 << 16) - 4, 8) == "ERR_DISK_HEADER");  // across the end of the first
  CHECK(patched(kLarge, 8) == "ERR_DISK_HEADER");         // beyond the file
  CHECK(patched(uint64_t{1} << 63, 8) == "ERR_DISK_HEADER");
  CHECK(patched(~uint64_t{0}, 8) == "ERR_DISK_HEADER");
  CHECK(patched(~uint64_t{0} - 7, 1023) == "ERR_DISK_HEADER");
  CHECK(patched(112, 0xffffffff) == "ERR_DISK_HEADER");
  // The format extension now runs into the name.
  CHECK(patched(112 + 8, 8) == "ERR_DISK_HEADER");
  CHECK(patched(112 + 4, 8) == "ERR_DISK_HEADER");
  CHECK(patched(112 + 10, 8) == "ERR_DISK_HEADER");
  // Too little room for another extension before the name, which is a name all the same.
  std::vector<uint8_t> tight = BuildImage(Changed([](Header* h) { h->extensions = {{kBackingFormat, "raw"}}; }));
  const std::string_view name = "AAAAbase.img";
  std::copy(name.begin(), name.end(), tight.begin() + 128);
  Put32(&tight, kBackingLengthAt, 8);
  Put64(&tight, kBackingOffsetAt, 132);
  CHECK(Refusal(tight) == "ERR_DISK_HEADER");
  Put64(&tight, kBackingOffsetAt, 128);
  CHECK(Refusal(tight) == "ok");
  // All of the name is in the file, but half of it in the second cluster.
  Header small = WithBacking(std::string(400, 'n'), "raw");
  small.cluster_bits = 9;
  CHECK(Refusal(BuildImage(small)) == "ERR_DISK_HEADER");
  // A length without an offset is undefined by the format, and QEMU ignores it.
  std::vector<uint8_t> none = Build({});
  Put32(&none, kBackingLengthAt, 0xffffffff);
  CHECK(Refusal(none) == "ok");
  // Within the cluster, but not within what is read.
  Header large = WithBacking("base.img", "raw");
  large.cluster_bits = 21;
  std::vector<uint8_t> far = BuildImage(large);
  Put64(&far, kBackingOffsetAt, kMaxHeaderBytes);
  CHECK(Refusal(far) == "ERR_DISK_HEADER");
}

TEST_CASE("backing file: names that are not file names") {
  for (const char* name :
       {"json:{\"driver\":\"raw\"}", "nbd://10.0.0.1/x", "nbd:unix:/run/x", "file:/etc/shadow", "file:///etc/shadow",
        "fat:/etc", "http://host/x", "ssh://host/x", "rbd:pool/x", "host_device:/dev/sda", "unknown:x", ":x"}) {
    CAPTURE(name);
    CHECK(Refusal(WithBacking(name, "raw")) == "ERR_DISK_BACKING_CHAIN");
  }
  for (const char* name : {"./nbd:x", "/srv/a:b", "dir/a:b", "a b"}) {
    CAPTURE(name);
    CHECK(Refusal(WithBacking(name, "raw")) == "ok");
  }
  CHECK(Refusal(WithBacking("a\nb", "raw")) == "ERR_DISK_BACKING_CHAIN");
  CHECK(Refusal(WithBacking("\x1b[31m", "raw")) == "ERR_DISK_BACKING_CHAIN");
}

TEST_CASE("protocol prefixes are QEMU's") {
  CHECK(HasProtocolPrefix("a:b"));
  CHECK(HasProtocolPrefix(":"));
  CHECK_FALSE(HasProtocolPrefix("a/b:c"));
  CHECK_FALSE(HasProtocolPrefix("/a:b"));
  CHECK_FALSE(HasProtocolPrefix("a"));
  CHECK_FALSE(HasProtocolPrefix(""));
}

TEST_CASE("extensions that run over") {
  std::vector<uint8_t> bytes = BuildImage(Changed([](Header* h) { h->extensions = {{0x12345678, "12345678"}}; }));
  for (const uint32_t length : {0xffffu, 0x10000u, 0x7fffffffu, 0xfffffff8u, 0xfffffff9u, 0xffffffffu}) {
    Put32(&bytes, 112 + 4, length);
    CAPTURE(length);
    CHECK(Refusal(bytes) == "ERR_DISK_HEADER");
  }
  // Exactly to the end of the cluster is within it.
  Put32(&bytes, 112 + 4, (1 << 16) - 112 - 8);
  CHECK(Refusal(bytes) == "ok");
  Put32(&bytes, 112 + 4, (1 << 16) - 112 - 8 + 1);
  CHECK(Refusal(bytes) == "ERR_DISK_HEADER");
  // No room for one more extension header, and no end marker.
  Put32(&bytes, 112 + 4, (1 << 16) - 112 - 16);
  Put32(&bytes, (1 << 16) - 8, 7);
  Put32(&bytes, (1 << 16) - 4, 1);
  CHECK(Refusal(bytes) == "ERR_DISK_HEADER");
  // A huge unknown extension in a huge cluster leads out of what is read.
  bytes = BuildImage(Changed([](Header* h) {
    h->cluster_bits = 21;
    h->extensions = {{0x12345678, std::string(1 << 20, 'x')}};
  }));
  CHECK(Refusal(bytes) == "ERR_DISK_HEADER");
  // Thousands of empty ones end in bounded time.
  bytes.assign(bytes.size(), 0xee);
  const std::vector<uint8_t> start = Build(Changed([](Header* h) {
    h->cluster_bits = 21;
    h->end_marker = false;
  }));
  std::copy(start.begin(), start.end(), bytes.begin());
  for (size_t at = start.size(); at + 8 <= bytes.size(); at += 8) {
    Put32(&bytes, at, 0x12345678);
    Put32(&bytes, at + 4, 0);
  }
  CHECK(Refusal(bytes) == "ERR_DISK_HEADER");
}

TEST_CASE("every truncation is refused") {
  Header full = WithBacking("../images/base.qcow2", "qcow2");
  full.incompatible = 1 << 2;
  full.data_file = "disk.raw";
  full.extensions = {{0x6803f857, std::string(384, 'f')}};
  Header old = WithBacking("base.img", "raw");
  old.version = 2;
  for (const Header& header : {full, old, Header{}}) {
    const std::vector<uint8_t> bytes = Build(header);
    REQUIRE(Refusal(bytes) == "ok");
    for (size_t length = 0; length < bytes.size(); ++length) {
      CAPTURE(length);
      const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
      const char* expected = length < 4 ? "ERR_DISK_FORMAT_MISMATCH" : "ERR_DISK_HEADER";
      // The file is as short as what was read; or it says that it is longer, and is not.
      CHECK(Refusal(cut, length) == expected);
      CHECK(Refusal(cut) == expected);
    }
  }
}

TEST_CASE("every byte of a header, set to every value: only known outcomes") {
  Header full = WithBacking("base.qcow2", "qcow2");
  full.incompatible = 1 << 2;
  full.data_file = "disk.raw";
  const std::vector<uint8_t> good = Build(full);
  size_t accepted = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::vector<uint8_t> bytes = good;
      bytes[at] = static_cast<uint8_t>(value);
      const auto parsed = Parse(bytes);
      if (!parsed.ok()) {
        CHECK(parsed.error().code.starts_with("ERR_DISK_"));
        CHECK_FALSE(parsed.error().message.empty());
        continue;
      }
      ++accepted;
      CHECK(parsed.value().backing_name.size() <= 10);
      CHECK_FALSE(HasProtocolPrefix(parsed.value().backing_name));
      CHECK(parsed.value().data_file_name.size() <= 8);
    }
  }
  CHECK(accepted > good.size());
}
