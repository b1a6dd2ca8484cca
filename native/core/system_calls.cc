#include "core/system_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "core/fault_injection.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

namespace vmentry::sys {
namespace {

// The same numbers on every architecture that Node runs on; older headers lack them.
constexpr long kSysOpenat2 = 437;
constexpr long kSysLsmListModules = 461;
constexpr int kSetSignal = 10;  // F_SETSIG, which the C library declares with its extensions only

// Long enough for "/proc/self/fd/" and any int.
using ProcFdPath = std::array<char, 40>;
ProcFdPath ProcPathOf(int fd) {
  ProcFdPath path;
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", fd);
  return path;
}

// Runs `call` until it does not fail with EINTR, unless the test build wants it to fail.
template <typename Call>
auto Retry(const char* name, Call call) -> decltype(call()) {
  if (const int injected = fault::Take(name); injected != 0) {
    errno = injected;
    return -1;
  }
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

Error Failed(std::string_view name, std::string_view path = {}, int fd = -1) {
  Error error = Error::System(name, errno, path);
  if (path.empty()) error.fd = fd;
  return error;
}

}  // namespace

Result<UniqueFd> OpenAt(int dirfd, const std::string& path, int flags, mode_t mode) {
  const int fd = Retry("openat", [&] { return ::openat(dirfd, path.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) return Failed("openat", path);
  return UniqueFd(fd);
}

Result<UniqueFd> OpenAtResolve(int dirfd, const std::string& path, int flags, uint64_t resolve) {
  // linux/openat2.h, which C libraries older than the kernel do not have.
  struct {
    uint64_t flags;
    uint64_t mode;
    uint64_t resolve;
  } how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = resolve;
  const long fd = Retry("openat2", [&] { return ::syscall(kSysOpenat2, dirfd, path.c_str(), &how, sizeof how); });
  if (fd < 0) return Failed("openat2", path);
  return UniqueFd(static_cast<int>(fd));
}

Result<UniqueFd> OpenBeneath(int dirfd, const std::string& relative, int flags) {
  return OpenAtResolve(dirfd, relative, flags, kResolveNoXdev | kResolveNoMagicLinks);
}

Result<UniqueFd> Reopen(int fd, int flags, std::string_view path_for_messages) {
  const ProcFdPath proc_path = ProcPathOf(fd);
  const int reopened = Retry("reopen", [&] { return ::openat(AT_FDCWD, proc_path.data(), flags | O_CLOEXEC); });
  if (reopened < 0) return Failed("openat", path_for_messages, fd);
  return UniqueFd(reopened);
}

Result<struct stat> Fstat(int fd, std::string_view path_for_messages) {
  struct stat status;
  if (Retry("fstat", [&] { return ::fstat(fd, &status); }) < 0) return Failed("fstat", path_for_messages, fd);
  return status;
}

Result<struct stat> StatAt(int dirfd, const std::string& path, int flags) {
  struct stat status;
  if (Retry("fstatat", [&] { return ::fstatat(dirfd, path.c_str(), &status, flags); }) < 0)
    return Failed("fstatat", path);
  return status;
}

Result<struct statfs> Fstatfs(int fd, std::string_view path_for_messages) {
  struct statfs status;
  if (Retry("fstatfs", [&] { return ::fstatfs(fd, &status); }) < 0) return Failed("fstatfs", path_for_messages, fd);
  return status;
}

Result<std::string> ReadLinkAt(int dirfd, const std::string& path) {
  std::array<char, 4096> target;
  const ssize_t length =
      Retry("readlinkat", [&] { return ::readlinkat(dirfd, path.c_str(), target.data(), target.size()); });
  if (length < 0) return Failed("readlinkat", path);
  if (static_cast<size_t>(length) == target.size()) return Error::System("readlinkat", ENAMETOOLONG, path);
  return std::string(target.data(), static_cast<size_t>(length));
}

Result<std::vector<std::string>> ListDirectory(const std::string& path) {
  VMENTRY_TRY(UniqueFd directory, OpenAt(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  return ListDirectory(std::move(directory), path);
}

Result<std::vector<std::string>> ListDirectory(UniqueFd directory, std::string_view path_for_messages) {
  errno = fault::Take("fdopendir");
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(errno != 0 ? nullptr : ::fdopendir(directory.get()), ::closedir);
  if (stream == nullptr) return Failed("fdopendir", path_for_messages);
  (void)directory.Release();  // closedir closes it
  std::vector<std::string> names;
  for (;;) {
    errno = fault::Take("readdir");
    const dirent* entry = errno != 0 ? nullptr : ::readdir(stream.get());
    if (entry == nullptr) {
      if (errno != 0) return Failed("readdir", path_for_messages);
      return names;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
}

Result<UniqueFd> DupCloexec(int fd) {
  const int copy = Retry("fcntl", [&] { return ::fcntl(fd, F_DUPFD_CLOEXEC, 0); });
  if (copy < 0) return Failed("fcntl", {}, fd);
  return UniqueFd(copy);
}

Result<int> StatusFlags(int fd, std::string_view path_for_messages) {
  const int flags = Retry("fcntl", [&] { return ::fcntl(fd, F_GETFL); });
  if (flags < 0) return Failed("fcntl", path_for_messages, fd);
  return flags;
}

Status SetStatusFlags(int fd, int flags, std::string_view path_for_messages) {
  if (Retry("fcntl", [&] { return ::fcntl(fd, F_SETFL, flags); }) < 0) return Failed("fcntl", path_for_messages, fd);
  return Ok();
}

Status SetSignal(int fd, int signal) {
  if (Retry("fcntl", [&] { return ::fcntl(fd, kSetSignal, signal); }) < 0) return Failed("fcntl", {}, fd);
  return Ok();
}

Status SetOwner(int fd, pid_t pid) {
  if (Retry("fcntl", [&] { return ::fcntl(fd, F_SETOWN, pid); }) < 0) return Failed("fcntl", {}, fd);
  return Ok();
}

Result<size_t> PreadFull(int fd, void* buffer, size_t size, off_t offset, std::string_view path_for_messages) {
  size_t done = 0;
  while (done < size) {
    const ssize_t got = Retry("pread", [&] {
      return ::pread(fd, static_cast<char*>(buffer) + done, size - done, offset + static_cast<off_t>(done));
    });
    if (got < 0) return Failed("pread", path_for_messages, fd);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

Result<std::string> ReadSmallFile(int fd, size_t limit, std::string_view path_for_messages) {
  std::string content;
  std::array<char, 4096> chunk;
  for (;;) {
    const ssize_t got = Retry("read", [&] { return ::read(fd, chunk.data(), chunk.size()); });
    if (got < 0) return Failed("read", path_for_messages, fd);
    if (got == 0) return content;
    content.append(chunk.data(), static_cast<size_t>(got));
    if (content.size() > limit) return Error::System("read", ERANGE, path_for_messages);
  }
}

Status PwriteOnce(int fd, std::string_view bytes, off_t offset, std::string_view path_for_messages) {
  const ssize_t written = Retry("pwrite", [&] { return ::pwrite(fd, bytes.data(), bytes.size(), offset); });
  if (written < 0) return Failed("pwrite", path_for_messages, fd);
  if (static_cast<size_t>(written) != bytes.size()) return Error::System("pwrite", EIO, path_for_messages);
  return Ok();
}

namespace {

// The kernel's own limit for a label is one page.
using LabelBuffer = std::array<char, 4096>;

// One of the getxattr(2) functions. The kernel allocates and clears as much as it is offered, so it is
// first offered what every usual label fits into.
template <typename Get>
ssize_t GetLabel(const char* name, LabelBuffer& label, Get get) {
  const ssize_t length = Retry(name, [&] { return get(label.data(), size_t{255}); });
  if (length >= 0 || errno != ERANGE) return length;
  return Retry(name, [&] { return get(label.data(), label.size()); });
}

// Labels are stored with or without their terminator. One that is nothing else is none: empty.
std::string LabelFrom(const LabelBuffer& label, ssize_t length) {
  size_t size = static_cast<size_t>(length);
  if (size > 0 && label[size - 1] == '\0') --size;
  return std::string(label.data(), size);
}

}  // namespace

Result<std::string> SecurityLabel(int fd, std::string_view path_for_messages) {
  LabelBuffer label;
  ssize_t length = GetLabel(
      "fgetxattr", label, [&](char* buffer, size_t size) { return ::fgetxattr(fd, "security.selinux", buffer, size); });
  if (length < 0 && errno == EBADF) {
    // fgetxattr(2) refuses O_PATH descriptors; the magic link reaches the same inode.
    const ProcFdPath path = ProcPathOf(fd);
    length = GetLabel("getxattr", label, [&](char* buffer, size_t size) {
      return ::getxattr(path.data(), "security.selinux", buffer, size);
    });
    // A closed descriptor has no link: report what the caller got wrong, not the missing link.
    if (length < 0 && errno == ENOENT) errno = EBADF;
  }
  if (length < 0) return Failed("fgetxattr", path_for_messages, fd);
  std::string text = LabelFrom(label, length);
  errno = ENODATA;
  if (text.empty()) return Failed("fgetxattr", path_for_messages, fd);
  return text;
}

Result<std::string> SecurityLabelAt(const std::string& path) {
  LabelBuffer label;
  const ssize_t length = GetLabel("lgetxattr", label, [&](char* buffer, size_t size) {
    return ::lgetxattr(path.c_str(), "security.selinux", buffer, size);
  });
  if (length < 0) return Failed("lgetxattr", path);
  std::string text = LabelFrom(label, length);
  if (text.empty()) return Error::System("lgetxattr", ENODATA, path);
  return text;
}

Result<FdPair> SocketPair(int domain, int type) {
  int fds[2];
  if (Retry("socketpair", [&] { return ::socketpair(domain, type | SOCK_CLOEXEC, 0, fds); }) < 0) {
    return Failed("socketpair");
  }
  return FdPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<int> SocketOption(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  if (Retry("getsockopt", [&] { return ::getsockopt(fd, SOL_SOCKET, option, &value, &size); }) < 0) {
    return Failed("getsockopt", {}, fd);
  }
  return value;
}

Result<UniqueFd> NetlinkSocket(int protocol, uint32_t groups) {
  const int fd =
      Retry("socket", [&] { return ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol); });
  if (fd < 0) return Failed("socket");
  UniqueFd owned(fd);
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (Retry("bind", [&] { return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address); }) < 0) {
    return Failed("bind");
  }
  return owned;
}

Result<size_t> ReceiveNow(int fd, void* buffer, size_t size) {
  const ssize_t got = Retry("recv", [&] { return ::recv(fd, buffer, size, MSG_DONTWAIT); });
  if (got < 0) return Failed("recv", {}, fd);
  return static_cast<size_t>(got);
}

Result<std::vector<uint64_t>> LsmListModules() {
  std::vector<uint64_t> ids(64);
  uint32_t size = static_cast<uint32_t>(ids.size() * sizeof(uint64_t));
  const long count = Retry("lsm_list_modules", [&] { return ::syscall(kSysLsmListModules, ids.data(), &size, 0); });
  if (count < 0) return Failed("lsm_list_modules");
  ids.resize(static_cast<size_t>(count));
  return ids;
}

namespace {

Result<MappedMemory> Map(size_t size, int protection, int flags, int fd, std::string_view path_for_messages) {
  errno = fault::Take("mmap");
  void* const address = errno != 0 ? MAP_FAILED : ::mmap(nullptr, size, protection, flags, fd, 0);
  if (address == MAP_FAILED) return Failed("mmap", path_for_messages, fd);
  return MappedMemory(address, size);
}

}  // namespace

Result<MappedMemory> MapShared(int fd, size_t size, std::string_view path_for_messages) {
  return Map(size, PROT_READ, MAP_SHARED, fd, path_for_messages);
}

Result<MappedMemory> MapStack(size_t size) {
  return Map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, {});
}

Status Mprotect(void* address, size_t size, int protection) {
  if (Retry("mprotect", [&] { return ::mprotect(address, size, protection); }) < 0) return Failed("mprotect");
  return Ok();
}

Result<UniqueFd> EpollCreate() {
  const int fd = Retry("epoll_create1", [] { return ::epoll_create1(EPOLL_CLOEXEC); });
  if (fd < 0) return Failed("epoll_create1");
  return UniqueFd(fd);
}

Status EpollAdd(int epoll, int fd) {
  struct epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (Retry("epoll_ctl", [&] { return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event); }) < 0) {
    return Failed("epoll_ctl", {}, fd);
  }
  return Ok();
}

Result<int> EpollWait(int epoll) {
  struct epoll_event event = {};
  if (Retry("epoll_wait", [&] { return ::epoll_wait(epoll, &event, 1, -1); }) < 0) {
    return Failed("epoll_wait", {}, epoll);
  }
  return event.data.fd;
}

Status PidfdSendSignal(int pidfd, int signal) {
  if (Retry("pidfd_send_signal", [&] { return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0); }) < 0) {
    return Failed("pidfd_send_signal", {}, pidfd);
  }
  return Ok();
}

Result<ExitState> WaitPidfd(int pidfd, bool block) {
  siginfo_t info = {};
  const int flags = WEXITED | (block ? 0 : WNOHANG);
  if (Retry("waitid",
            [&] { return ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, flags); }) < 0) {
    return Failed("waitid", {}, pidfd);
  }
  ExitState state;
  if (info.si_pid == 0) return state;
  state.exited = true;
  if (info.si_code == CLD_EXITED) {
    state.exit_code = info.si_status;
  } else {
    state.signal = info.si_status;
  }
  return state;
}

Result<ChildChange> PeekPidfd(int pidfd) {
  siginfo_t info = {};
  constexpr int kOptions = WEXITED | WSTOPPED | WNOWAIT | WNOHANG;
  if (Retry("waitid",
            [&] { return ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, kOptions); }) < 0) {
    return Failed("waitid", {}, pidfd);
  }
  if (info.si_pid == 0) return ChildChange::kNone;
  return info.si_code == CLD_STOPPED ? ChildChange::kStopped : ChildChange::kExited;
}

Status Prlimit(pid_t pid, int resource, const struct rlimit& limit) {
  if (Retry("prlimit", [&] { return ::prlimit(pid, static_cast<__rlimit_resource>(resource), &limit, nullptr); }) < 0) {
    return Failed("prlimit");
  }
  return Ok();
}

}  // namespace vmentry::sys
