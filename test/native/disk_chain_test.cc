// Walking chains: against qemu-img as the oracle for well-formed ones, and hostile ones by hand.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/un.h>

#include <array>

#include "core/fault_injection.h"
#include "disk/image.h"
#include "disk_testing.h"
#include "skipping.h"

using namespace disk_testing;
using vmentry::Result;
using vmentry::disk::Format;
using vmentry::disk::ImageChain;
using vmentry::disk::ImageMember;
using vmentry::disk::ImageRequest;
using vmentry::disk::kMaxChainLength;
using vmentry::disk::Labels;
using vmentry::disk::OpenChain;
using vmentry::disk::OpenForUse;

namespace {

Result<ImageChain> Open(const ImageRequest& request) { return OpenChain(request, Labels::kOptional); }

struct Run {
  int status = -1;
  std::string output;
};
Run Shell(const std::string& command) {
  Run run;
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::array<char, 4096> chunk;
  while (const size_t got = std::fread(chunk.data(), 1, chunk.size(), pipe)) run.output.append(chunk.data(), got);
  run.status = ::pclose(pipe);
  return run;
}

bool HaveQemuImg() {
  static const bool have = ::system("qemu-img --version > /dev/null 2>&1") == 0;
  return have;
}

// What follows `"key": ` on each line that has it.
std::vector<std::string> Values(const std::string& json, const std::string& key) {
  std::vector<std::string> values;
  const std::string mark = " \"" + key + "\": \"";
  for (size_t at = json.find(mark); at != json.npos; at = json.find(mark, at)) {
    at += mark.size();
    values.push_back(json.substr(at, json.find('"', at) - at));
  }
  return values;
}

struct stat Stat(const std::string& path) {
  struct stat status = {};
  CHECK(::stat(path.c_str(), &status) == 0);
  return status;
}

// Holds a chain against what qemu-img says about the same image.
void CompareWithQemuImg(const std::string& path, const std::string& data_file = {}) {
  CAPTURE(path);
  const Run info = Shell("qemu-img info --backing-chain --output=json '" + path + "'");
  REQUIRE(info.status == 0);
  const std::vector<std::string> files = Values(info.output, "filename");
  const std::vector<std::string> formats = Values(info.output, "format");
  REQUIRE(files.size() == formats.size());

  const Result<ImageChain> opened = Open(Qcow2(path));
  REQUIRE(Outcome(opened) == "ok");
  const ImageChain& chain = opened.value();
  int index = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    REQUIRE(index >= 0);
    const ImageMember& member = chain.members[static_cast<size_t>(index)];
    const struct stat expected = Stat(files[i]);
    CHECK(member.file.status.st_ino == expected.st_ino);
    CHECK(member.file.status.st_dev == expected.st_dev);
    CHECK((member.format == Format::kQcow2 ? "qcow2" : "raw") == formats[i]);
    CHECK(member.read_only == (i != 0));
    index = member.backing;
  }
  CHECK(index == -1);
  const int data = chain.members[0].data_file;
  CHECK((data >= 0) == !data_file.empty());
  if (data >= 0) {
    const ImageMember& member = chain.members[static_cast<size_t>(data)];
    CHECK(member.file.status.st_ino == Stat(data_file).st_ino);
    CHECK(member.format == Format::kRaw);
    CHECK_FALSE(member.read_only);
  }
  CHECK(chain.members.size() == files.size() + (data_file.empty() ? 0 : 1));
}

// A qcow2 image that is backed by the one before it, `length` files in all; returns the path of the last.
std::string MakeChain(const TempDirectory& directory, size_t length) {
  WriteFile(directory / "0", BuildImage({}));
  for (size_t i = 1; i < length; ++i) {
    WriteFile(directory / std::to_string(i), Build(WithBacking(std::to_string(i - 1), "qcow2")));
    // Sparse: whole clusters without writing them.
    REQUIRE(::truncate((directory / std::to_string(i)).c_str(), 1 << 18) == 0);
  }
  return directory / std::to_string(length - 1);
}

}  // namespace

TEST_CASE("chains that qemu-img made" * skipping::Without(HaveQemuImg(), "qemu-img is not installed")) {
  REQUIRE(HaveQemuImg());
  const TempDirectory directory;
  const std::string cd = "set -e; cd '" + directory.path() + "'; mkdir -p sub; qemu-img create -q ";
  const auto create = [&](const std::string& arguments) { REQUIRE(Shell(cd + arguments).output == ""); };

  create("-f raw base.raw 1M");
  create("-f qcow2 plain.qcow2 1M");
  CompareWithQemuImg(directory / "plain.qcow2");
  create("-f qcow2 -o compat=0.10 -F raw -b base.raw v2.qcow2");
  CompareWithQemuImg(directory / "v2.qcow2");
  create("-f qcow2 -F qcow2 -b ../v2.qcow2 -o extended_l2=on,compression_type=zstd sub/zstd.qcow2");
  CompareWithQemuImg(directory / "sub/zstd.qcow2");
  create("-f qcow2 -F qcow2 -b '" + (directory / "sub/zstd.qcow2") + "' -o cluster_size=2M absolute.qcow2");
  CompareWithQemuImg(directory / "absolute.qcow2");
  create("-f qcow2 -F qcow2 -b sub/../sub/zstd.qcow2 -o cluster_size=512,refcount_bits=1 small.qcow2");
  CompareWithQemuImg(directory / "small.qcow2");
  create("-f qcow2 -o lazy_refcounts=on,preallocation=metadata lazy.qcow2 64M");
  CompareWithQemuImg(directory / "lazy.qcow2");
  create("-f qcow2 -o data_file=data.raw data.qcow2 1M");
  CompareWithQemuImg(directory / "data.qcow2", directory / "data.raw");
  create("-f qcow2 -o data_file=data2.raw,data_file_raw=on dataraw.qcow2 1M");
  CompareWithQemuImg(directory / "dataraw.qcow2", directory / "data2.raw");
  create("-f qcow2 -F qcow2 -b small.qcow2 -o data_file='" + (directory / "data3.raw") + "' databack.qcow2");
  CompareWithQemuImg(directory / "databack.qcow2", directory / "data3.raw");
  // It measures the processor's speed first, and gives up where that is not steady.
  if (Shell(cd + "-f qcow2 --object secret,id=s,data=abc -o encrypt.format=luks,encrypt.key-secret=s," +
            "encrypt.iter-time=10 luks.qcow2 1M")
          .status == 0) {
    CHECK(Outcome(Open(Qcow2(directory / "luks.qcow2"))) == "ok");
  } else {
    MESSAGE("qemu-img could not make an encrypted image: left out");
  }
  create("-f qcow2 --object secret,id=s,data=abc -o encrypt.format=aes,encrypt.key-secret=s aes.qcow2 1M");
  CHECK(Outcome(Open(Qcow2(directory / "aes.qcow2"))) == "ERR_DISK_FEATURE");

  // A snapshot, a bitmap and a rewritten header are nothing special.
  REQUIRE(Shell("cd '" + directory.path() + "' && qemu-img snapshot -c one plain.qcow2 && qemu-img bitmap --add " +
                "plain.qcow2 map && qemu-img rebase -u -F raw -b base.raw plain.qcow2")
              .output == "");
  CompareWithQemuImg(directory / "plain.qcow2");
  REQUIRE(Shell("cd '" + directory.path() + "' && qemu-img rebase -u -b '' plain.qcow2").output == "");
  CompareWithQemuImg(directory / "plain.qcow2");

  // qemu-img does not write a backing file without a format any more; an older one did.
  create("-f qcow2 -F vmdk -u -b base.raw vmdk.qcow2 1M");
  CHECK(Outcome(Open(Qcow2(directory / "vmdk.qcow2"))) == "ERR_DISK_BACKING_CHAIN");
}

TEST_CASE("a raw image is never read: a qcow2 header in it changes nothing") {
  const TempDirectory directory;
  // What a guest may write to its own raw disk to reach a file of the host.
  WriteFile(directory / "disk.raw", BuildImage(WithBacking("/etc/shadow", "raw")));
  const auto chain = Open(Raw(directory / "disk.raw"));
  REQUIRE(Outcome(chain) == "ok");
  CHECK(chain.value().members.size() == 1);
  CHECK(chain.value().members[0].format == Format::kRaw);

  // The same one level deeper: the chain says raw.
  WriteFile(directory / "top.qcow2", BuildImage(WithBacking("disk.raw", "raw")));
  const auto deeper = Open(Qcow2(directory / "top.qcow2"));
  REQUIRE(Outcome(deeper) == "ok");
  CHECK(deeper.value().members.size() == 2);
}

TEST_CASE("a raw file under the name qcow2") {
  const TempDirectory directory;
  WriteFile(directory / "base", std::string(65536, 'x'));
  CHECK(Outcome(Open(Qcow2(directory / "base"))) == "ERR_DISK_FORMAT_MISMATCH");
  WriteFile(directory / "top", BuildImage(WithBacking("base", "qcow2")));
  const auto opened = Open(Qcow2(directory / "top"));
  CHECK(Outcome(opened) == "ERR_DISK_FORMAT_MISMATCH");
  CHECK(opened.error().path == directory / "base");
  WriteFile(directory / "empty", "");
  CHECK(Outcome(Open(Qcow2(directory / "empty"))) == "ERR_DISK_FORMAT_MISMATCH");
}

TEST_CASE("only the top of a chain and its own data file are writable") {
  const TempDirectory directory;
  WriteFile(directory / "base.data", "x");
  WriteFile(directory / "base", BuildImage(WithDataFile("base.data")));
  WriteFile(directory / "top.data", "x");
  Header header = WithBacking("base", "qcow2");
  header.incompatible = 1 << 2;
  header.data_file = "top.data";
  WriteFile(directory / "top", BuildImage(header));

  for (const bool read_only : {false, true}) {
    auto chain = Open(Qcow2(directory / "top", read_only));
    REQUIRE(Outcome(chain) == "ok");
    REQUIRE(chain.value().members.size() == 4);
    REQUIRE(Outcome(OpenForUse(&chain.value())) == "ok");
    for (const ImageMember& member : chain.value().members) {
      const bool own = member.file.path == directory / "top" || member.file.path == directory / "top.data";
      CHECK(member.read_only == (read_only || !own));
      CHECK((::fcntl(member.use.get(), F_GETFL) & O_ACCMODE) == (member.read_only ? O_RDONLY : O_RDWR));
    }
    const ImageMember& top = chain.value().members[0];
    CHECK(chain.value().members[static_cast<size_t>(top.data_file)].file.path == directory / "top.data");
    const ImageMember& base = chain.value().members[static_cast<size_t>(top.backing)];
    CHECK(base.file.path == directory / "base");
    CHECK(base.format == Format::kQcow2);
    CHECK(chain.value().members[static_cast<size_t>(base.data_file)].file.path == directory / "base.data");
  }
}

TEST_CASE("relative names resolve against the directory of the image that names them") {
  const TempDirectory directory;
  REQUIRE(::mkdir((directory / "a").c_str(), 0700) == 0);
  REQUIRE(::mkdir((directory / "a/b").c_str(), 0700) == 0);
  REQUIRE(::symlink("a/b", (directory / "link").c_str()) == 0);
  WriteFile(directory / "a/base", "right");
  WriteFile(directory / "base", "wrong");
  WriteFile(directory / "a/b/mid", BuildImage(WithBacking("../base", "raw")));
  WriteFile(directory / "top", BuildImage(WithBacking("./a/b/mid", "qcow2")));
  WriteFile(directory / "linked", BuildImage(WithBacking("link/mid", "qcow2")));
  for (const char* name : {"top", "linked"}) {
    const auto chain = Open(Qcow2(directory / name));
    REQUIRE(Outcome(chain) == "ok");
    REQUIRE(chain.value().members.size() == 3);
    CHECK(chain.value().members[2].file.status.st_ino == Stat(directory / "a/base").st_ino);
  }
  // From the working directory, without any directory in the path.
  const int here = ::open(".", O_RDONLY | O_DIRECTORY);
  REQUIRE(::chdir(directory.path().c_str()) == 0);
  const auto chain = Open(Qcow2("top"));
  REQUIRE(::fchdir(here) == 0);
  ::close(here);
  REQUIRE(Outcome(chain) == "ok");
  CHECK(chain.value().members[2].file.path == "./a/b/../base");
}

TEST_CASE("an image as a descriptor") {
  const TempDirectory directory;
  WriteFile(directory / "base", "x");
  WriteFile(directory / "relative", BuildImage(WithBacking("base", "raw")));
  WriteFile(directory / "absolute", BuildImage(WithBacking(directory / "base", "raw")));
  const auto open = [&](const char* file, int flags, const std::string& path, bool read_only, Format format) {
    const int fd = ::open((directory / file).c_str(), flags | O_CLOEXEC);
    REQUIRE(fd >= 0);
    ImageRequest request;
    request.fd = fd;
    request.path = path;
    request.format = format;
    request.read_only = read_only;
    const auto chain = Open(request);
    ::close(fd);
    if (!chain.ok() && chain.error().errno_value != 0 && !chain.error().code.empty()) return std::string("not found");
    return Outcome(chain) + (chain.ok() ? " " + std::to_string(chain.value().members.size()) : "");
  };
  CHECK(open("absolute", O_RDWR, "", false, Format::kQcow2) == "ok 2");
  CHECK(open("relative", O_RDWR, directory / "relative", false, Format::kQcow2) == "ok 2");
  CHECK(open("relative", O_RDWR, "", false, Format::kQcow2) == "ERR_DISK_BACKING_CHAIN");
  CHECK(open("relative", O_RDWR, "disk 1", false, Format::kQcow2) == "ERR_DISK_BACKING_CHAIN");
  CHECK(open("relative", O_RDWR, "/nowhere/relative", false, Format::kQcow2) == "errno 2");
  CHECK(open("absolute", O_RDWR, "/nowhere/absolute", false, Format::kQcow2) == "ok 2");
  CHECK(open("base", O_RDWR, "", false, Format::kRaw) == "ok 1");
  CHECK(open("base", O_RDONLY, "", true, Format::kRaw) == "ok 1");
  // The VM must not get more than the descriptor's holder has.
  CHECK(open("base", O_PATH, "", false, Format::kRaw) == "errno 13");
  CHECK(open("base", O_PATH, "", true, Format::kRaw) == "errno 13");
  CHECK(open("absolute", O_PATH, "", true, Format::kQcow2) == "errno 13");
  CHECK(open("base", O_RDONLY, "", false, Format::kRaw) == "errno 13");
  CHECK(open("base", O_WRONLY, "", false, Format::kRaw) == "errno 13");
  CHECK(open("base", O_WRONLY, "", true, Format::kRaw) == "errno 13");
  CHECK(open("base", O_RDWR | O_APPEND, "", false, Format::kRaw) == "errno 13");
  CHECK(open("base", O_RDWR | O_APPEND, "", true, Format::kRaw) == "ok 1");
  ImageRequest closed;
  closed.fd = 1000000;
  CHECK(Outcome(Open(closed)) == "errno 9");
}

TEST_CASE("loops") {
  const TempDirectory directory;
  WriteFile(directory / "self", BuildImage(WithBacking("self", "qcow2")));
  CHECK(Outcome(Open(Qcow2(directory / "self"))) == "ERR_DISK_BACKING_CHAIN");
  WriteFile(directory / "selfdata", BuildImage(WithDataFile("selfdata")));
  CHECK(Outcome(Open(Qcow2(directory / "selfdata"))) == "ERR_DISK_BACKING_CHAIN");

  WriteFile(directory / "a", BuildImage(WithBacking("b", "qcow2")));
  WriteFile(directory / "b", BuildImage(WithBacking("c", "qcow2")));
  WriteFile(directory / "c", BuildImage(WithBacking("./a", "qcow2")));
  CHECK(Outcome(Open(Qcow2(directory / "a"))) == "ERR_DISK_BACKING_CHAIN");
  // A hard link is the same file under another name.
  REQUIRE(::link((directory / "a").c_str(), (directory / "again").c_str()) == 0);
  WriteFile(directory / "c", BuildImage(WithBacking("again", "raw")));
  CHECK(Outcome(Open(Qcow2(directory / "a"))) == "ERR_DISK_BACKING_CHAIN");
  // Backing file and data file must not be one.
  WriteFile(directory / "shared", "x");
  Header header = WithBacking("shared", "raw");
  header.incompatible = 1 << 2;
  header.data_file = "shared";
  WriteFile(directory / "both", BuildImage(header));
  CHECK(Outcome(Open(Qcow2(directory / "both"))) == "ERR_DISK_BACKING_CHAIN");
}

TEST_CASE("the length of a chain is limited") {
  const TempDirectory longest;
  const auto chain = Open(Qcow2(MakeChain(longest, kMaxChainLength)));
  REQUIRE(Outcome(chain) == "ok");
  CHECK(chain.value().members.size() == kMaxChainLength);
  const TempDirectory longer;
  CHECK(Outcome(Open(Qcow2(MakeChain(longer, kMaxChainLength + 1)))) == "ERR_DISK_BACKING_CHAIN");
  const TempDirectory hundred;
  const auto refused = Open(Qcow2(MakeChain(hundred, 100)));
  CHECK(Outcome(refused) == "ERR_DISK_BACKING_CHAIN");
  CHECK(refused.error().path == hundred / "99");
}

TEST_CASE("members that cannot be used") {
  const TempDirectory directory;
  REQUIRE(::mkdir((directory / "dir").c_str(), 0700) == 0);
  REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
  WriteFile(directory / "file", "x");
  REQUIRE(::symlink("file", (directory / "symlink").c_str()) == 0);
  REQUIRE(::symlink("loop", (directory / "loop").c_str()) == 0);
  const int held = ::open((directory / "file").c_str(), O_RDONLY);
  const std::string magic = "/proc/self/fd/" + std::to_string(held);

  const std::pair<std::string, std::string> cases[] = {
      {"missing", "ERR_DISK_BACKING_CHAIN"},
      {"missing/file", "ERR_DISK_BACKING_CHAIN"},
      {"file/file", "ERR_DISK_BACKING_CHAIN"},
      {"loop/file", "ERR_DISK_BACKING_CHAIN"},
      {std::string(300, 'n'), "ERR_DISK_BACKING_CHAIN"},
      {"dir", "ERR_DISK_NOT_REGULAR"},
      {"dir/", "ERR_DISK_NOT_REGULAR"},
      {"dir/..", "ERR_DISK_NOT_REGULAR"},
      {".", "ERR_DISK_NOT_REGULAR"},
      {"/", "ERR_DISK_NOT_REGULAR"},
      {"fifo", "ERR_DISK_NOT_REGULAR"},
      {"symlink", "ERR_DISK_NOT_REGULAR"},
      {"/dev/null", "ERR_DISK_NOT_REGULAR"},
      {"/dev/tty", "ERR_DISK_NOT_REGULAR"},
      {magic, "ERR_DISK_NOT_REGULAR"},                           // the link itself
      {"/proc/self/root/etc/passwd", "ERR_DISK_BACKING_CHAIN"},  // through a magic link
      {"/proc/self/cwd/file", "ERR_DISK_BACKING_CHAIN"},
  };
  for (const auto& [name, expected] : cases) {
    CAPTURE(name);
    WriteFile(directory / "backed", BuildImage(WithBacking(name, "raw")));
    const auto backed = Open(Qcow2(directory / "backed"));
    CHECK(Outcome(backed) == expected);
    // Who names it has to be found from the message.
    if (!backed.ok()) CHECK(backed.error().message.find(directory / "backed") != std::string::npos);
    WriteFile(directory / "data", BuildImage(WithDataFile(name)));
    CHECK(Outcome(Open(Qcow2(directory / "data"))) == expected);
  }
  ::close(held);
}

TEST_CASE("files of /proc are not read in search of a header") {
  const TempDirectory directory;
  // Reading this one takes messages out of the kernel's log, or waits for one.
  WriteFile(directory / "top", BuildImage(WithBacking("/proc/kmsg", "qcow2")));
  vmentry::fault::Clear();
  CHECK(Outcome(Open(Qcow2(directory / "top"))) == "ERR_DISK_FORMAT_MISMATCH");
  for (const auto& call : vmentry::fault::Calls()) {
    if (call.name == "reopen") CHECK(call.count == 1);  // the top
  }
}

TEST_CASE("a refused chain leaves no descriptor open") {
  const TempDirectory directory;
  WriteFile(directory / "c", BuildImage(WithBacking("missing", "qcow2")));
  WriteFile(directory / "b", BuildImage(WithBacking("c", "qcow2")));
  WriteFile(directory / "a", BuildImage(WithBacking("b", "qcow2")));
  const size_t before = OpenDescriptors();
  CHECK(Outcome(Open(Qcow2(directory / "a"))) == "ERR_DISK_BACKING_CHAIN");
  CHECK(OpenDescriptors() == before);
  {
    WriteFile(directory / "missing", BuildImage({}));
    const auto chain = Open(Qcow2(directory / "a"));
    REQUIRE(Outcome(chain) == "ok");
    // One O_PATH descriptor a member: directories and headers are closed again.
    CHECK(OpenDescriptors() == before + 4);
  }
  CHECK(OpenDescriptors() == before);
}

TEST_CASE("an image that shrinks while it is read is a truncated image") {
  const TempDirectory directory;
  const std::vector<uint8_t> bytes = Build(WithBacking("base", "raw"));
  WriteFile(directory / "base", "x");
  for (size_t length = 0; length < bytes.size(); ++length) {
    WriteFile(directory / "short",
              std::vector<uint8_t>(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)));
    const std::string outcome = Outcome(Open(Qcow2(directory / "short")));
    CHECK((outcome == "ERR_DISK_HEADER" || outcome == "ERR_DISK_FORMAT_MISMATCH"));
  }
}
