// One image from its path to the VM's descriptor: types, replacement and relabelling in between, leases,
// block devices, and what happens when any system call on the way fails.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <thread>

#include "core/fault_injection.h"
#include "core/system_calls.h"
#include "disk/image.h"
#include "disk_testing.h"
#include "skipping.h"

using namespace disk_testing;
using vmentry::Result;
using vmentry::Status;
using vmentry::UniqueFd;
using vmentry::disk::Format;
using vmentry::disk::ImageChain;
using vmentry::disk::ImageMember;
using vmentry::disk::ImageRequest;
using vmentry::disk::Labels;
using vmentry::disk::OpenChain;
using vmentry::disk::OpenForUse;
using vmentry::disk::Pin;
using vmentry::disk::PinDescriptor;
using vmentry::disk::VerifyLabel;

namespace {

constexpr const char* kLabel = "system_u:object_r:image_t:s0:c1,c2";

bool CanLabel() {
  static const bool can = CanSetAnyLabel();
  return can;
}
doctest::skip WithoutLabels() {
  return skipping::Without(CanLabel(), "labels cannot be set here: needs root, and a kernel without SELinux");
}

bool HasLeases() {
  const TempDirectory directory;
  WriteFile(directory / "probe", "x");
  const UniqueFd file(::open((directory / "probe").c_str(), O_RDWR | O_CLOEXEC));
  return ::fcntl(file.get(), F_SETLEASE, F_WRLCK) == 0;
}

// Empty where it cannot be done.
std::string AttachLoopDevice(const std::string& path) {
  std::FILE* const pipe = ::popen(("losetup --find --show '" + path + "' 2>/dev/null").c_str(), "r");
  std::array<char, 64> line = {};
  const bool attached = std::fgets(line.data(), line.size(), pipe) != nullptr;
  ::pclose(pipe);
  return attached ? std::string(line.data(), std::strcspn(line.data(), "\n")) : std::string();
}
bool DetachLoopDevice(const std::string& device) {
  return ::system(("losetup --detach '" + device + "'").c_str()) == 0;
}
bool HasLoopDevices() {
  const TempDirectory directory;
  WriteFile(directory / "probe", std::string(1 << 20, 'x'));
  const std::string device = AttachLoopDevice(directory / "probe");
  return !device.empty() && DetachLoopDevice(device);
}

std::string Read(int fd) {
  std::array<char, 64> text;
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  return got < 0 ? "error" : std::string(text.data(), static_cast<size_t>(got));
}

Result<ImageChain> OpenRaw(const std::string& path, Labels labels = Labels::kOptional) {
  return OpenChain(Raw(path), labels);
}

std::string PinOutcome(const std::string& path) { return Outcome(Pin(AT_FDCWD, path, Labels::kOptional)); }
std::string PinOutcome(int fd) { return Outcome(PinDescriptor(fd, "", Labels::kOptional)); }

}  // namespace

TEST_CASE("only regular files and block devices are pinned, and nothing waits") {
  const TempDirectory directory;
  WriteFile(directory / "file", "content");
  REQUIRE(::symlink("file", (directory / "symlink").c_str()) == 0);
  REQUIRE(::mkdir((directory / "dir").c_str(), 0700) == 0);
  // Without a writer, a plain open for reading would wait for ever.
  REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", (directory / "socket").c_str());
  REQUIRE(::bind(socket.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address) == 0);

  CHECK(PinOutcome(directory / "file") == "ok");
  for (const char* name : {"symlink", "dir", "fifo", "socket"}) {
    CAPTURE(name);
    const auto pinned = Pin(AT_FDCWD, directory / name, Labels::kOptional);
    CHECK(Outcome(pinned) == "ERR_DISK_NOT_REGULAR");
    CHECK(pinned.error().path == directory / name);
    CHECK(Outcome(OpenRaw(directory / name)) == "ERR_DISK_NOT_REGULAR");
    CHECK(Outcome(OpenChain(Qcow2(directory / name), Labels::kOptional)) == "ERR_DISK_NOT_REGULAR");
  }
  CHECK(PinOutcome("/dev/null") == "ERR_DISK_NOT_REGULAR");
  CHECK(PinOutcome("/dev/tty") == "ERR_DISK_NOT_REGULAR");
  CHECK(PinOutcome("/proc/self/fd/" + std::to_string(socket.get())) == "ERR_DISK_NOT_REGULAR");
  CHECK(PinOutcome(directory / "missing") == "errno 2");
  CHECK(PinOutcome(directory / "file/") == "errno 20");
  CHECK(PinOutcome("") == "errno 2");
  CHECK(PinOutcome(std::string((directory / "file") + std::string("\0.img", 5))) == "ERR_INVALID_ARG_VALUE");
  CHECK(Outcome(OpenChain(Qcow2(std::string("/tmp\0/x", 7)), Labels::kOptional)) == "ERR_INVALID_ARG_VALUE");

  const UniqueFd dir(::open(directory.path().c_str(), O_PATH | O_CLOEXEC));
  const auto relative = Pin(dir.get(), "file", Labels::kOptional);
  REQUIRE(relative.ok());
  CHECK((::fcntl(relative.value().fd.get(), F_GETFL) & O_PATH) != 0);
  CHECK((::fcntl(relative.value().fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("the same for descriptors that somebody else opened") {
  const TempDirectory directory;
  WriteFile(directory / "file", "content");
  REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
  int pipe[2];
  REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
  const UniqueFd read_end(pipe[0]), write_end(pipe[1]);
  const UniqueFd file(::open((directory / "file").c_str(), O_RDWR | O_CLOEXEC));
  const UniqueFd fifo(::open((directory / "fifo").c_str(), O_PATH | O_CLOEXEC));
  const UniqueFd dir(::open(directory.path().c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const UniqueFd anonymous(::eventfd(0, EFD_CLOEXEC));
  const UniqueFd memory(::memfd_create("image", MFD_CLOEXEC));

  CHECK(PinOutcome(file.get()) == "ok");
  CHECK(PinOutcome(memory.get()) == "ok");
  for (const int fd :
       {read_end.get(), write_end.get(), fifo.get(), dir.get(), null.get(), socket.get(), anonymous.get()}) {
    CHECK(PinOutcome(fd) == "ERR_DISK_NOT_REGULAR");
  }
  CHECK(PinOutcome(-1) == "errno 9");
  CHECK(PinOutcome(1000000) == "errno 9");

  // A deleted file is still the file that was given.
  REQUIRE(::unlink((directory / "file").c_str()) == 0);
  ImageRequest request = Raw("");
  request.fd = file.get();
  auto chain = OpenChain(request, Labels::kOptional);
  REQUIRE(Outcome(chain) == "ok");
  REQUIRE(Outcome(OpenForUse(&chain.value())) == "ok");
  CHECK(Read(chain.value().members[0].use.get()) == "content");
}

TEST_CASE("the VM's descriptor has exactly the mode that was asked for") {
  const TempDirectory directory;
  for (const bool read_only : {false, true}) {
    WriteFile(directory / "disk", "content");
    auto chain = OpenChain(Raw(directory / "disk", read_only), Labels::kOptional);
    REQUIRE(Outcome(chain) == "ok");
    CHECK_FALSE(chain.value().members[0].use.valid());
    REQUIRE(Outcome(OpenForUse(&chain.value())) == "ok");
    const int fd = chain.value().members[0].use.get();
    const int flags = ::fcntl(fd, F_GETFL);
    CHECK((flags & O_ACCMODE) == (read_only ? O_RDONLY : O_RDWR));
    CHECK((flags & (O_NONBLOCK | O_APPEND | O_DIRECT | O_PATH | O_SYNC)) == 0);
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(Read(fd) == "content");
    CHECK(::pwrite(fd, "C", 1, 0) == (read_only ? -1 : 1));
    CHECK(Outcome(VerifyLabel(chain.value().members[0], Labels::kOptional)) == "ok");
  }
}

TEST_CASE("a file put in the place of a pinned one is never used") {
  const TempDirectory directory;
  const auto replaced = [&](auto replace) {
    WriteFile(directory / "disk", "decided");
    WriteFile(directory / "other", "other");
    auto chain = OpenRaw(directory / "disk");
    REQUIRE(Outcome(chain) == "ok");
    replace();
    REQUIRE(Outcome(OpenForUse(&chain.value())) == "ok");
    CHECK(Outcome(VerifyLabel(chain.value().members[0], Labels::kOptional)) == "ok");
    const std::string content = Read(chain.value().members[0].use.get());
    ::unlink((directory / "disk").c_str());
    ::unlink((directory / "other").c_str());
    return content;
  };
  CHECK(replaced([&] { ::rename((directory / "other").c_str(), (directory / "disk").c_str()); }) == "decided");
  CHECK(replaced([&] { ::unlink((directory / "disk").c_str()); }) == "decided");
  CHECK(replaced([&] {
          ::unlink((directory / "disk").c_str());
          REQUIRE(::symlink("other", (directory / "disk").c_str()) == 0);
        }) == "decided");
  CHECK(replaced([&] {
          REQUIRE(::syscall(SYS_renameat2, AT_FDCWD, (directory / "disk").c_str(), AT_FDCWD,
                            (directory / "other").c_str(), 2 /* RENAME_EXCHANGE */) == 0);
        }) == "decided");
}

TEST_CASE("a member whose descriptor does not lead to the pinned file is refused") {
  const TempDirectory directory;
  WriteFile(directory / "disk", "decided");
  WriteFile(directory / "other", "other");
  auto chain = OpenRaw(directory / "disk");
  REQUIRE(Outcome(chain) == "ok");
  ImageMember& member = chain.value().members[0];
  CHECK(Outcome(VerifyLabel(member, Labels::kOptional)) == "errno 9");  // not opened yet
  REQUIRE(Outcome(OpenForUse(&chain.value())) == "ok");

  UniqueFd right = std::move(member.use);
  member.use = UniqueFd(::open((directory / "other").c_str(), O_RDONLY | O_CLOEXEC));
  CHECK(Outcome(VerifyLabel(member, Labels::kOptional)) == "ERR_DISK_CHANGED");
  member.use = std::move(right);
  // As with a /proc that lies: the number of the pinned descriptor now means another file.
  const UniqueFd other(::open((directory / "other").c_str(), O_PATH | O_CLOEXEC));
  REQUIRE(::dup3(other.get(), member.file.fd.get(), O_CLOEXEC) >= 0);
  CHECK(Outcome(OpenForUse(&chain.value())) == "ERR_DISK_CHANGED");
  member.use = UniqueFd(::open((directory / "disk").c_str(), O_RDONLY | O_CLOEXEC));
  CHECK(Outcome(VerifyLabel(member, Labels::kOptional)) == "ERR_DISK_CHANGED");
}

TEST_CASE("labels: read when pinned, read again before the exec" * WithoutLabels()) {
  REQUIRE(CanLabel());
  const TempDirectory directory;
  WriteFile(directory / "disk", "content");
  const auto unlabelled = OpenRaw(directory / "disk", Labels::kRequired);
  CHECK(Outcome(unlabelled) == "ERR_DISK_UNLABELED");
  CHECK(unlabelled.error().path == directory / "disk");

  REQUIRE(SetLabel(directory / "disk", std::string(kLabel) + '\0'));
  auto chain = OpenRaw(directory / "disk", Labels::kRequired);
  REQUIRE(Outcome(chain) == "ok");
  REQUIRE(Outcome(OpenForUse(&chain.value())) == "ok");
  const ImageMember& member = chain.value().members[0];
  CHECK(member.file.context == kLabel);
  CHECK(Outcome(VerifyLabel(member, Labels::kRequired)) == "ok");

  REQUIRE(SetLabel(directory / "disk", "system_u:object_r:lib_t:s0"));
  CHECK(Outcome(VerifyLabel(member, Labels::kRequired)) == "ERR_DISK_CHANGED");
  CHECK(Outcome(VerifyLabel(member, Labels::kOptional)) == "ERR_DISK_CHANGED");
  REQUIRE(RemoveLabel(directory / "disk"));
  CHECK(Outcome(VerifyLabel(member, Labels::kRequired)) == "ERR_DISK_CHANGED");
  CHECK(Outcome(VerifyLabel(member, Labels::kOptional)) == "ERR_DISK_CHANGED");
  REQUIRE(SetLabel(directory / "disk", kLabel));
  CHECK(Outcome(VerifyLabel(member, Labels::kRequired)) == "ok");

  // The label of the file that took its place does not count.
  WriteFile(directory / "other", "content");
  REQUIRE(SetLabel(directory / "other", "system_u:object_r:lib_t:s0"));
  REQUIRE(::rename((directory / "other").c_str(), (directory / "disk").c_str()) == 0);
  CHECK(Outcome(VerifyLabel(member, Labels::kRequired)) == "ok");

  // What follows a NUL would not reach policy.
  REQUIRE(SetLabel(directory / "disk", std::string_view("u:r:t:s0\0:c1", 12)));
  CHECK(Outcome(OpenRaw(directory / "disk", Labels::kRequired)) == "ERR_DISK_UNLABELED");
  REQUIRE(SetLabel(directory / "disk", std::string_view("\0", 1)));
  CHECK(Outcome(OpenRaw(directory / "disk", Labels::kRequired)) == "ERR_DISK_UNLABELED");
}

TEST_CASE("labels: optional where enforcement is off, and appearing ones are a change" * WithoutLabels()) {
  REQUIRE(CanLabel());
  const TempDirectory directory;
  WriteFile(directory / "disk", "content");
  auto chain = OpenRaw(directory / "disk", Labels::kOptional);
  REQUIRE(Outcome(chain) == "ok");
  REQUIRE(Outcome(OpenForUse(&chain.value())) == "ok");
  const ImageMember& member = chain.value().members[0];
  CHECK(member.file.context.empty());
  CHECK(Outcome(VerifyLabel(member, Labels::kOptional)) == "ok");
  CHECK(Outcome(VerifyLabel(member, Labels::kRequired)) == "ERR_DISK_UNLABELED");
  REQUIRE(SetLabel(directory / "disk", kLabel));
  CHECK(Outcome(VerifyLabel(member, Labels::kOptional)) == "ERR_DISK_CHANGED");
}

TEST_CASE("labels: what is not one word is none" * WithoutLabels()) {
  REQUIRE(CanLabel());
  const TempDirectory directory;
  WriteFile(directory / "disk", "x");
  for (const std::string_view label :
       {"user_u:object_r:disk_t:s0\n(allow user_t shadow_t (file (read)))", "a b", "a\tb", "\x1b[2J", "a\x7f"}) {
    REQUIRE(SetLabel(directory / "disk", label));
    CHECK(Outcome(OpenRaw(directory / "disk", Labels::kRequired)) == "ERR_DISK_UNLABELED");
    CHECK(Outcome(OpenRaw(directory / "disk", Labels::kOptional)) == "ERR_DISK_UNLABELED");
  }
}

TEST_CASE("labels: every member of a chain needs one" * WithoutLabels()) {
  REQUIRE(CanLabel());
  const TempDirectory directory;
  WriteFile(directory / "data", "x");
  WriteFile(directory / "base", "x");
  Header header = WithBacking("base", "raw");
  header.incompatible = 1 << 2;
  header.data_file = "data";
  WriteFile(directory / "top", BuildImage(header));
  for (const char* unlabelled : {"top", "data", "base"}) {
    for (const char* name : {"top", "data", "base"}) REQUIRE(SetLabel(directory / name, kLabel));
    CHECK(Outcome(OpenChain(Qcow2(directory / "top"), Labels::kRequired)) == "ok");
    REQUIRE(RemoveLabel(directory / unlabelled));
    const auto chain = OpenChain(Qcow2(directory / "top"), Labels::kRequired);
    CHECK(Outcome(chain) == "ERR_DISK_UNLABELED");
    CHECK(chain.error().path == directory / unlabelled);
  }
}

TEST_CASE("the holder of a lease cannot keep us waiting" *
          skipping::Without(HasLeases(), "this file system has no leases")) {
  const TempDirectory directory;
  WriteFile(directory / "disk", BuildImage({}));
  int ready[2];
  REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
  const pid_t holder = ::fork();
  if (holder == 0) {
    // The kernel sends SIGIO when somebody opens the file, and makes that open wait for up to
    // /proc/sys/fs/lease-break-time seconds. This holder does not give the lease back.
    ::signal(SIGIO, SIG_IGN);
    const int fd = ::open((directory / "disk").c_str(), O_RDWR);
    const bool held = ::fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
    (void)!::write(ready[1], held ? "y" : "n", 1);
    for (;;) ::pause();
  }
  char held = 0;
  REQUIRE(::read(ready[0], &held, 1) == 1);
  ::close(ready[0]);
  ::close(ready[1]);
  CHECK(held == 'y');
  const auto start = std::chrono::steady_clock::now();
  auto chain = OpenRaw(directory / "disk");
  CHECK(Outcome(chain) == "ok");
  if (chain.ok()) CHECK(Outcome(OpenForUse(&chain.value())) == "errno " + std::to_string(EWOULDBLOCK));
  CHECK(Outcome(OpenChain(Qcow2(directory / "disk"), Labels::kOptional)) == "errno " + std::to_string(EWOULDBLOCK));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
}

TEST_CASE("block devices" * skipping::Without(HasLoopDevices(), "no loop device can be attached here")) {
  const TempDirectory directory;
  std::vector<uint8_t> image = BuildImage({});
  image.resize(1 << 20);
  WriteFile(directory / "backing", image);
  const std::string device = AttachLoopDevice(directory / "backing");
  REQUIRE(!device.empty());
  for (const Format format : {Format::kRaw, Format::kQcow2}) {
    ImageRequest request = Raw(device);
    request.format = format;
    auto chain = OpenChain(request, Labels::kOptional);
    CHECK(Outcome(chain) == "ok");
    if (!chain.ok()) continue;
    CHECK(S_ISBLK(chain.value().members[0].file.status.st_mode));
    CHECK(Outcome(OpenForUse(&chain.value())) == "ok");
    CHECK((::fcntl(chain.value().members[0].use.get(), F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_RDWR);
    CHECK(Outcome(VerifyLabel(chain.value().members[0], Labels::kOptional)) == "ok");
    CHECK(Read(chain.value().members[0].use.get()).starts_with("QFI\xfb"));
  }
  // One device under two nodes is one storage.
  struct stat status;
  REQUIRE(::stat(device.c_str(), &status) == 0);
  CHECK(::mknod((directory / "node").c_str(), S_IFBLK | 0600, status.st_rdev) == 0);
  {
    const UniqueFd write(::open(device.c_str(), O_RDWR | O_CLOEXEC));
    const std::vector<uint8_t> loop = Build(WithBacking(directory / "node", "raw"));
    CHECK(::pwrite(write.get(), loop.data(), loop.size(), 0) == static_cast<ssize_t>(loop.size()));
    ImageRequest request = Qcow2(device);
    CHECK(Outcome(OpenChain(request, Labels::kOptional)) == "ERR_DISK_BACKING_CHAIN");
  }
  CHECK(DetachLoopDevice(device));
}

TEST_CASE("every system call of a whole start, made to fail") {
  const TempDirectory directory;
  WriteFile(directory / "base", "x");
  WriteFile(directory / "data", "x");
  Header header = WithBacking("base", "raw");
  header.incompatible = 1 << 2;
  header.data_file = "data";
  WriteFile(directory / "mid", BuildImage(header));
  WriteFile(directory / "top", BuildImage(WithBacking("mid", "qcow2")));
  const Labels labels = CanLabel() ? Labels::kRequired : Labels::kOptional;
  if (labels == Labels::kRequired) {
    for (const char* name : {"base", "data", "mid", "top"}) REQUIRE(SetLabel(directory / name, kLabel));
  }
  const UniqueFd given(::open((directory / "top").c_str(), O_RDWR | O_CLOEXEC));
  ImageRequest by_descriptor = Qcow2(directory / "top");
  by_descriptor.fd = given.get();

  for (const ImageRequest& request : {Qcow2(directory / "top"), by_descriptor}) {
    const auto start = [&]() -> Status {
      VMENTRY_TRY(ImageChain chain, OpenChain(request, labels));
      VMENTRY_CHECK(OpenForUse(&chain));
      for (const ImageMember& member : chain.members) VMENTRY_CHECK(VerifyLabel(member, labels));
      return vmentry::Ok();
    };
    vmentry::fault::Clear();
    REQUIRE(Outcome(start()) == "ok");
    const auto calls = vmentry::fault::Calls();
    REQUIRE(calls.size() >= 6);
    // What a wrapper is called by fault injection, and what by its errors.
    const std::map<std::string, std::string> reported = {{"reopen", "openat"}, {"getxattr", "fgetxattr"}};
    const size_t before = OpenDescriptors();
    size_t failures = 0;
    for (const auto& call : calls) {
      const std::string name = call.name;
      for (unsigned nth = 0; nth < call.count; ++nth) {
        CAPTURE(name);
        CAPTURE(nth);
        vmentry::fault::Clear();
        vmentry::fault::Arm(name.c_str(), nth, EIO);
        const Status status = start();
        vmentry::fault::Clear();
        REQUIRE_FALSE(status.ok());
        CHECK(status.error().errno_value == EIO);
        CHECK(status.error().code.empty());
        CHECK(status.error().syscall == (reported.contains(name) ? reported.at(name) : name));
        CHECK_FALSE((status.error().path.empty() && status.error().fd < 0));
        CHECK(OpenDescriptors() == before);
        ++failures;
      }
    }
    CHECK(failures > 50);
    // The injection is gone: the same start works again.
    CHECK(Outcome(start()) == "ok");
  }
}

TEST_CASE("out of descriptors at any point: an error, and nothing is leaked") {
  const TempDirectory directory;
  WriteFile(directory / "base", "x");
  WriteFile(directory / "top", BuildImage(WithBacking("base", "raw")));
  for (const int reason : {EMFILE, ENFILE, EACCES, EPERM, EROFS, ENOMEM}) {
    for (const char* name : {"openat", "openat2", "reopen"}) {
      vmentry::fault::Clear();
      vmentry::fault::Arm(name, 0, reason);
      const size_t before = OpenDescriptors();
      const auto chain = OpenChain(Qcow2(directory / "top"), Labels::kOptional);
      vmentry::fault::Clear();
      CHECK(Outcome(chain) == "errno " + std::to_string(reason));
      CHECK(OpenDescriptors() == before);
    }
  }
}

TEST_CASE("many threads walk and open the same chain") {
  const TempDirectory directory;
  WriteFile(directory / "base", "x");
  WriteFile(directory / "top", BuildImage(WithBacking("base", "raw")));
  const size_t before = OpenDescriptors();
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 200; ++turn) {
        auto chain = OpenChain(Qcow2(directory / "top", true), Labels::kOptional);
        if (chain.ok() && OpenForUse(&chain.value()).ok()) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 800);
  CHECK(OpenDescriptors() == before);
}
