// The ground everything stands on: results, descriptors, mappings, fault injection, and the system calls.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "core/fault_injection.h"
#include "core/mapped_memory.h"
#include "core/result.h"
#include "core/system_calls.h"
#include "core/unique_fd.h"
#include "skipping.h"

using namespace vmentry;

namespace {

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
bool IsCloseOnExec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

size_t OpenDescriptors() { return sys::ListDirectory("/proc/self/fd").value().size(); }

UniqueFd PidfdOf(pid_t pid) { return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

class TempDirectory {
 public:
  TempDirectory() {
    char name[] = "/tmp/vm-entrypoint-core-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TempDirectory() { (void)!::system(("rm -rf " + path_).c_str()); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

bool MayLabel() {
  const TempDirectory directory;
  const UniqueFd file(::open((directory / "probe").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  return ::fsetxattr(file.get(), "security.selinux", "u:r:t:s0", 8, 0) == 0;
}

Result<int> Halve(int value) {
  if (value % 2 != 0) return Error::Coded("ERR_OUT_OF_RANGE", "odd");
  return value / 2;
}
Result<int> Quarter(int value) {
  VMENTRY_TRY(const int half, Halve(value));
  return Halve(half);
}
Status IsEven(int value) {
  VMENTRY_CHECK(Halve(value));
  return Ok();
}

struct Faults {
  Faults() { fault::Clear(); }
  ~Faults() { fault::Clear(); }
};

}  // namespace

// --- Results ---

TEST_CASE("a result is a value or an error, and hands errors up") {
  CHECK(Quarter(8).value() == 2);
  CHECK(Quarter(6).error().message == "odd");
  CHECK_FALSE(Quarter(7));
  CHECK(IsEven(4).ok());
  CHECK(IsEven(5).error().code == "ERR_OUT_OF_RANGE");
  const Error system = Error::System("openat", ENOENT, "/x");
  CHECK(system.errno_value == ENOENT);
  CHECK(system.code.empty());
  CHECK(system.syscall == "openat");
  CHECK(system.path == "/x");
}

TEST_CASE("a result moves what cannot be copied") {
  Result<std::unique_ptr<int>> made(std::make_unique<int>(5));
  const std::unique_ptr<int> taken = std::move(made).value();
  CHECK(*taken == 5);
}

// --- Descriptors and mappings ---

TEST_CASE("a descriptor has one owner") {
  static_assert(!std::is_copy_constructible_v<UniqueFd>);
  const int raw = ::open("/dev/null", O_RDONLY);
  {
    UniqueFd first(raw);
    UniqueFd second(std::move(first));
    CHECK_FALSE(first.valid());
    CHECK(second.get() == raw);
    UniqueFd third;
    third = std::move(second);
    UniqueFd& alias = third;
    third = std::move(alias);  // to itself
    CHECK(third.get() == raw);
    CHECK(IsOpen(raw));
  }
  CHECK_FALSE(IsOpen(raw));
  UniqueFd released(::open("/dev/null", O_RDONLY));
  const int kept = released.Release();
  released.Reset();
  CHECK(IsOpen(kept));
  ::close(kept);
}

TEST_CASE("a mapping goes with its owner, unless it was given up") {
  const TempDirectory directory;
  const UniqueFd file = sys::OpenAt(AT_FDCWD, directory / "page", O_RDWR | O_CREAT, 0600).value();
  REQUIRE(::ftruncate(file.get(), 4096) == 0);
  unsigned char resident = 0;
  void* address = nullptr;
  {
    MappedMemory mapping = sys::MapShared(file.get(), 4096, "page").value();
    MappedMemory moved(std::move(mapping));
    CHECK(mapping.address() == nullptr);
    address = moved.address();
    CHECK(moved.size() == 4096);
    CHECK(::mincore(address, 4096, &resident) == 0);
    // Shared: what is written to the file is seen.
    REQUIRE(sys::PwriteOnce(file.get(), "x", 0, "page").ok());
    CHECK(*static_cast<const char*>(address) == 'x');
  }
  CHECK(::mincore(address, 4096, &resident) == -1);
  {
    MappedMemory mapping = sys::MapShared(file.get(), 4096, "page").value();
    address = mapping.Leak();
  }
  CHECK(::mincore(address, 4096, &resident) == 0);
  ::munmap(address, 4096);
  const UniqueFd directory_fd = sys::OpenAt(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY).value();
  CHECK(sys::MapShared(directory_fd.get(), 4096, "/").error().syscall == "mmap");
}

// --- Fault injection ---

TEST_CASE_FIXTURE(Faults, "the chosen call fails, and no other") {
  fault::Arm("one", 2, EIO);
  CHECK(fault::Take("one") == 0);
  CHECK(fault::Take("two") == 0);
  CHECK(fault::Take("one") == 0);
  CHECK(fault::Take("one") == EIO);
  CHECK(fault::Take("one") == 0);
  fault::Arm("one", 0, EPERM);
  CHECK(fault::Take("one") == EPERM);
  fault::Arm("one", 1, ENOMEM, fault::Lasting::kFromThenOn);
  CHECK(fault::Take("one") == 0);
  CHECK(fault::Take("one") == ENOMEM);
  CHECK(fault::Take("one") == ENOMEM);
  fault::Clear();
  CHECK(fault::Take("one") == 0);
}

TEST_CASE_FIXTURE(Faults, "calls are counted by name, whoever makes them") {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int j = 0; j < 1000; ++j) (void)fault::Take(j % 2 == 0 ? "even" : "odd");
    });
  }
  for (std::thread& thread : threads) thread.join();
  // Another address, the same name.
  std::string name = "even";
  (void)fault::Take(name.c_str());
  unsigned even = 0, odd = 0;
  for (const fault::Seen& seen : fault::Calls()) {
    if (seen.name == "even") even += seen.count;
    if (seen.name == "odd") odd += seen.count;
  }
  CHECK(even == 2001);
  CHECK(odd == 2000);
  fault::Clear();
  CHECK(fault::Calls().empty());
}

// --- System calls ---

TEST_CASE_FIXTURE(Faults, "every system call reports the error it was given, with its name") {
  const TempDirectory directory;
  const std::string path = directory / "file";
  const UniqueFd file = sys::OpenAt(AT_FDCWD, path, O_RDWR | O_CREAT, 0600).value();
  const UniqueFd root = sys::OpenAt(AT_FDCWD, "/", O_PATH | O_DIRECTORY).value();
  const UniqueFd self = PidfdOf(::getpid());
  const UniqueFd named = sys::OpenAt(AT_FDCWD, path, O_PATH | O_NOFOLLOW).value();
  const UniqueFd epoll = sys::EpollCreate().value();
  const MappedMemory memory = sys::MapStack(4096).value();
  const int fd = file.get();
  char byte = 0;
  struct {
    const char* call;
    const char* name;  // what the error says
    std::function<Error()> run;
  } const calls[] = {
      {"openat", "openat", [&] { return sys::OpenAt(AT_FDCWD, path, O_RDONLY).error(); }},
      {"openat2", "openat2", [&] { return sys::OpenBeneath(root.get(), "tmp", O_RDONLY).error(); }},
      {"reopen", "openat", [&] { return sys::Reopen(fd, O_RDONLY, path).error(); }},
      {"fstat", "fstat", [&] { return sys::Fstat(fd).error(); }},
      {"fstatat", "fstatat", [&] { return sys::StatAt(AT_FDCWD, path, 0).error(); }},
      {"fstatfs", "fstatfs", [&] { return sys::Fstatfs(fd).error(); }},
      {"readlinkat", "readlinkat", [&] { return sys::ReadLinkAt(AT_FDCWD, "/proc/self/exe").error(); }},
      {"fdopendir", "fdopendir", [&] { return sys::ListDirectory("/").error(); }},
      {"readdir", "readdir", [&] { return sys::ListDirectory("/").error(); }},
      {"fcntl", "fcntl", [&] { return sys::DupCloexec(fd).error(); }},
      {"fcntl", "fcntl", [&] { return sys::StatusFlags(fd).error(); }},
      {"fcntl", "fcntl", [&] { return sys::SetStatusFlags(fd, O_RDWR).error(); }},
      {"fcntl", "fcntl", [&] { return sys::SetSignal(fd, SIGIO).error(); }},
      {"fcntl", "fcntl", [&] { return sys::SetOwner(fd, 0).error(); }},
      {"pread", "pread", [&] { return sys::PreadFull(fd, &byte, 1, 0).error(); }},
      {"read", "read", [&] { return sys::ReadSmallFile(fd, 10, path).error(); }},
      {"pwrite", "pwrite", [&] { return sys::PwriteOnce(fd, "x", 0, path).error(); }},
      {"fgetxattr", "fgetxattr", [&] { return sys::SecurityLabel(fd).error(); }},
      {"getxattr", "fgetxattr", [&] { return sys::SecurityLabel(named.get()).error(); }},
      {"lgetxattr", "lgetxattr", [&] { return sys::SecurityLabelAt(path).error(); }},
      {"socketpair", "socketpair", [&] { return sys::SocketPair(AF_UNIX, SOCK_STREAM).error(); }},
      {"getsockopt", "getsockopt", [&] { return sys::SocketOption(fd, SO_TYPE).error(); }},
      {"socket", "socket", [&] { return sys::NetlinkSocket(0, 0).error(); }},
      {"bind", "bind", [&] { return sys::NetlinkSocket(0, 0).error(); }},
      {"recv", "recv", [&] { return sys::ReceiveNow(fd, &byte, 1).error(); }},
      {"lsm_list_modules", "lsm_list_modules", [&] { return sys::LsmListModules().error(); }},
      {"mmap", "mmap", [&] { return sys::MapShared(fd, 1, path).error(); }},
      {"mmap", "mmap", [&] { return sys::MapStack(4096).error(); }},
      {"mprotect", "mprotect", [&] { return sys::Mprotect(memory.address(), 4096, PROT_NONE).error(); }},
      {"epoll_create1", "epoll_create1", [&] { return sys::EpollCreate().error(); }},
      {"epoll_ctl", "epoll_ctl", [&] { return sys::EpollAdd(epoll.get(), self.get()).error(); }},
      {"epoll_wait", "epoll_wait", [&] { return sys::EpollWait(epoll.get()).error(); }},
      {"pidfd_send_signal", "pidfd_send_signal", [&] { return sys::PidfdSendSignal(self.get(), 0).error(); }},
      {"waitid", "waitid", [&] { return sys::WaitPidfd(self.get(), false).error(); }},
      {"waitid", "waitid", [&] { return sys::PeekPidfd(self.get()).error(); }},
      {"prlimit", "prlimit", [&] { return sys::Prlimit(0, RLIMIT_CORE, {}).error(); }},
  };
  const size_t before = OpenDescriptors();
  for (const auto& call : calls) {
    CAPTURE(call.call);
    fault::Clear();
    fault::Arm(call.call, 0, ENOTTY);
    const Error error = call.run();
    CHECK(error.errno_value == ENOTTY);
    CHECK(error.syscall == call.name);
  }
  fault::Clear();
  CHECK(OpenDescriptors() == before);
}

TEST_CASE("every descriptor made here is close-on-exec") {
  const UniqueFd null = sys::OpenAt(AT_FDCWD, "/dev/null", O_RDONLY).value();
  CHECK(IsCloseOnExec(null.get()));
  CHECK(IsCloseOnExec(sys::Reopen(null.get(), O_RDWR, "").value().get()));
  CHECK(IsCloseOnExec(sys::DupCloexec(null.get()).value().get()));
  const sys::FdPair pair = sys::SocketPair(AF_UNIX, SOCK_STREAM).value();
  CHECK((IsCloseOnExec(pair.first.get()) && IsCloseOnExec(pair.second.get())));
  const UniqueFd root = sys::OpenAt(AT_FDCWD, "/", O_PATH | O_DIRECTORY).value();
  CHECK(IsCloseOnExec(sys::OpenBeneath(root.get(), "etc", O_RDONLY | O_DIRECTORY).value().get()));
}

TEST_CASE("no mount is crossed, and no magic link followed, below a directory") {
  const UniqueFd root = sys::OpenAt(AT_FDCWD, "/", O_PATH | O_DIRECTORY).value();
  const auto crossing = sys::OpenBeneath(root.get(), "proc/self/status", O_RDONLY);
  REQUIRE_FALSE(crossing.ok());
  CHECK(crossing.error().errno_value == EXDEV);
  const UniqueFd proc = sys::OpenAt(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY).value();
  CHECK(sys::OpenBeneath(proc.get(), "thread-self/status", O_RDONLY).ok());
  const auto magic = sys::OpenBeneath(proc.get(), "self/cwd/etc", O_RDONLY);
  REQUIRE_FALSE(magic.ok());
  CHECK(magic.error().errno_value == ELOOP);
}

TEST_CASE("reading") {
  const TempDirectory directory;
  const std::string path = directory / "file";
  const UniqueFd file = sys::OpenAt(AT_FDCWD, path, O_RDWR | O_CREAT, 0600).value();
  REQUIRE(sys::PwriteOnce(file.get(), "0123456789", 0, path).ok());
  char buffer[20];
  CHECK(sys::PreadFull(file.get(), buffer, 4, 2).value() == 4);
  CHECK(std::string(buffer, 4) == "2345");
  CHECK(sys::PreadFull(file.get(), buffer, 20, 6).value() == 4);
  CHECK(sys::PreadFull(file.get(), buffer, 20, 100).value() == 0);
  const auto read = [&](size_t limit) {
    const UniqueFd again = sys::OpenAt(AT_FDCWD, path, O_RDONLY).value();
    return sys::ReadSmallFile(again.get(), limit, path);
  };
  CHECK(read(10).value() == "0123456789");
  CHECK(read(9).error().errno_value == ERANGE);
  REQUIRE(sys::PwriteOnce(file.get(), "ab", 3, path).ok());
  CHECK(read(10).value() == "012ab56789");

  std::vector<std::string> names = sys::ListDirectory(directory / "").value();
  CHECK(names == std::vector<std::string>{"file"});
  CHECK(sys::ListDirectory(path).error().errno_value == ENOTDIR);
}

TEST_CASE("a long link is an error, not a short one") {
  const TempDirectory directory;
  REQUIRE(::symlink(std::string(4095, 'x').c_str(), (directory / "longest").c_str()) == 0);
  CHECK(sys::ReadLinkAt(AT_FDCWD, directory / "longest").value().size() == 4095);
  CHECK(sys::ReadLinkAt(AT_FDCWD, directory / "none").error().errno_value == ENOENT);
}

TEST_CASE("labels are read from any descriptor, and without their NUL" *
          skipping::Without(MayLabel(), "labels cannot be set here: needs root, and a kernel without SELinux")) {
  const TempDirectory directory;
  const std::string path = directory / "file";
  const UniqueFd file = sys::OpenAt(AT_FDCWD, path, O_RDWR | O_CREAT, 0600).value();
  const UniqueFd named = sys::OpenAt(AT_FDCWD, path, O_PATH | O_NOFOLLOW).value();
  const auto set = [&](const std::string& bytes) {
    return ::fsetxattr(file.get(), "security.selinux", bytes.data(), bytes.size(), 0) == 0;
  };
  REQUIRE(set(std::string("u:r:t:s0\0", 9)));
  CHECK(sys::SecurityLabel(file.get()).value() == "u:r:t:s0");
  CHECK(sys::SecurityLabel(named.get()).value() == "u:r:t:s0");
  REQUIRE(set("u:r:t:s0"));
  CHECK(sys::SecurityLabel(file.get()).value() == "u:r:t:s0");
  REQUIRE(set(std::string(1, '\0')));
  CHECK(sys::SecurityLabel(file.get()).error().errno_value == ENODATA);
  REQUIRE(::fremovexattr(file.get(), "security.selinux") == 0);
  CHECK(sys::SecurityLabel(file.get()).error().errno_value == ENODATA);
  CHECK(sys::SecurityLabel(named.get()).error().errno_value == ENODATA);
  CHECK(sys::SecurityLabel(1'000'000).error().errno_value == EBADF);
}

TEST_CASE("children by their pidfd") {
  const auto child = [](auto body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      body();
      ::_exit(7);
    }
    return PidfdOf(pid);
  };
  const UniqueFd exits = child([] {});
  const sys::ExitState exited = sys::WaitPidfd(exits.get(), true).value();
  CHECK(exited.exited);
  CHECK(exited.exit_code == 7);
  CHECK(exited.signal == 0);
  CHECK(sys::WaitPidfd(exits.get(), true).error().errno_value == ECHILD);
  CHECK(sys::PeekPidfd(exits.get()).error().errno_value == ECHILD);

  const UniqueFd sleeps = child([] { ::pause(); });
  CHECK_FALSE(sys::WaitPidfd(sleeps.get(), false).value().exited);
  CHECK(sys::PeekPidfd(sleeps.get()).value() == sys::ChildChange::kNone);
  const UniqueFd epoll = sys::EpollCreate().value();
  REQUIRE(sys::EpollAdd(epoll.get(), sleeps.get()).ok());
  CHECK(sys::EpollAdd(epoll.get(), sleeps.get()).error().errno_value == EEXIST);
  CHECK(sys::PidfdSendSignal(sleeps.get(), SIGKILL).ok());
  CHECK(sys::EpollWait(epoll.get()).value() == sleeps.get());
  // As often as one likes.
  CHECK(sys::PeekPidfd(sleeps.get()).value() == sys::ChildChange::kExited);
  CHECK(sys::PeekPidfd(sleeps.get()).value() == sys::ChildChange::kExited);
  const sys::ExitState killed = sys::WaitPidfd(sleeps.get(), true).value();
  CHECK(killed.exited);
  CHECK(killed.signal == SIGKILL);
  CHECK(killed.exit_code == -1);
  CHECK(sys::PidfdSendSignal(sleeps.get(), SIGKILL).error().errno_value == ESRCH);
}

TEST_CASE("interrupted calls go on") {
  static volatile sig_atomic_t interrupts = 0;
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupts = interrupts + 1; };
  struct sigaction old;
  ::sigaction(SIGUSR1, &action, &old);  // without SA_RESTART
  int pipe[2];
  REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
  const UniqueFd source(pipe[0]);
  UniqueFd sink(pipe[1]);
  const pthread_t reader = ::pthread_self();
  std::thread other([&] {
    for (int i = 0; i < 5; ++i) {
      ::usleep(5'000);
      ::pthread_kill(reader, SIGUSR1);
    }
    ::usleep(5'000);
    (void)!::write(sink.get(), "done", 4);
    sink.Reset();
  });
  CHECK(sys::ReadSmallFile(source.get(), 100, "pipe").value() == "done");
  other.join();
  ::sigaction(SIGUSR1, &old, nullptr);
  CHECK(interrupts == 5);
}

TEST_CASE("a descriptor sends the signal it was told to, to its owner") {
  static volatile sig_atomic_t told = 0;
  struct sigaction action = {};
  action.sa_handler = [](int) { told = told + 1; };
  struct sigaction old;
  ::sigaction(SIGUSR1, &action, &old);
  sys::FdPair pair = sys::SocketPair(AF_UNIX, SOCK_STREAM).value();
  REQUIRE(sys::SetSignal(pair.first.get(), SIGUSR1).ok());
  REQUIRE(sys::SetStatusFlags(pair.first.get(), O_RDWR | O_ASYNC).ok());
  REQUIRE(::write(pair.second.get(), "x", 1) == 1);
  CHECK(told == 0);
  REQUIRE(sys::SetOwner(pair.first.get(), ::getpid()).ok());
  REQUIRE(::write(pair.second.get(), "x", 1) == 1);
  CHECK(told == 1);
  REQUIRE(sys::SetOwner(pair.first.get(), 0).ok());
  pair.second.Reset();
  CHECK(told == 1);
  ::sigaction(SIGUSR1, &old, nullptr);
  CHECK(sys::SocketOption(pair.first.get(), SO_TYPE).value() == SOCK_STREAM);
  const UniqueFd null = sys::OpenAt(AT_FDCWD, "/dev/null", O_RDONLY).value();
  CHECK(sys::SocketOption(null.get(), SO_TYPE).error().errno_value == ENOTSOCK);
}

TEST_CASE("a socket with nothing waiting does not block") {
  const sys::FdPair pair = sys::SocketPair(AF_UNIX, SOCK_DGRAM).value();
  char buffer[4];
  CHECK(sys::ReceiveNow(pair.first.get(), buffer, sizeof buffer).error().errno_value == EAGAIN);
  REQUIRE(::write(pair.second.get(), "longer than that", 16) == 16);
  CHECK(sys::ReceiveNow(pair.first.get(), buffer, sizeof buffer).value() == 4);
  CHECK(sys::ReceiveNow(pair.first.get(), buffer, sizeof buffer).error().errno_value == EAGAIN);
}
