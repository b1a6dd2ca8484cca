// The system calls this project makes, each as one function that returns a Result, retries EINTR
// where that is right, and can be made to fail by the test build. Code outside this file calls no
// fallible system call directly, with these exceptions:
//
//   clone(2) and what the child does before its exec   native/launch/child.cc: raw calls, and steps that
//                                                      the test build makes fail by names of their own
//   close, munmap, madvise, nanosleep                  nothing else would be done if they failed
//   PR_SET_DUMPABLE                                    child.cc, with a value that is always taken
//   what plays the kernel in the test build            selinux/policy_events.cc, thread_attributes.cc
#pragma once

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/mapped_memory.h"
#include "core/result.h"
#include "core/unique_fd.h"

struct rlimit;

namespace vmentry::sys {

// Every descriptor made here is close-on-exec.
Result<UniqueFd> OpenAt(int dirfd, const std::string& path, int flags, mode_t mode = 0);
// openat2(2); `resolve` limits how the path may be walked. ENOSYS before Linux 5.6, and no fallback: a
// caller that asks for a limit must not go without it.
inline constexpr uint64_t kResolveNoXdev = 0x01, kResolveNoMagicLinks = 0x02;
Result<UniqueFd> OpenAtResolve(int dirfd, const std::string& path, int flags, uint64_t resolve);
// Opens `relative` below `dirfd` without leaving the mount of `dirfd`.
Result<UniqueFd> OpenBeneath(int dirfd, const std::string& relative, int flags);
// Reopens what `fd` (which may be O_PATH) refers to, through /proc/self/fd: same inode, new mode.
Result<UniqueFd> Reopen(int fd, int flags, std::string_view path_for_messages);
Result<struct stat> Fstat(int fd, std::string_view path_for_messages = {});
// fstatat(2); `flags`: AT_SYMLINK_NOFOLLOW or 0.
Result<struct stat> StatAt(int dirfd, const std::string& path, int flags);
Result<struct statfs> Fstatfs(int fd, std::string_view path_for_messages = {});
Result<std::string> ReadLinkAt(int dirfd, const std::string& path);
// The names in a directory, without "." and "..".
Result<std::vector<std::string>> ListDirectory(const std::string& path);
Result<std::vector<std::string>> ListDirectory(UniqueFd directory, std::string_view path_for_messages);
Result<UniqueFd> DupCloexec(int fd);
// fcntl(2) F_GETFL and F_SETFL.
Result<int> StatusFlags(int fd, std::string_view path_for_messages = {});
Status SetStatusFlags(int fd, int flags, std::string_view path_for_messages = {});
// fcntl(2) F_SETSIG and F_SETOWN: which signal a descriptor with O_ASYNC sends, and to whom (0: nobody).
Status SetSignal(int fd, int signal);
Status SetOwner(int fd, pid_t pid);

// One pread(2), repeated until `size` bytes or end of file: returns the bytes read.
Result<size_t> PreadFull(int fd, void* buffer, size_t size, off_t offset, std::string_view path_for_messages = {});
// Reads a small file of /proc or selinuxfs whole; ERANGE above `limit` bytes.
Result<std::string> ReadSmallFile(int fd, size_t limit, std::string_view path_for_messages);
// One pwrite(2) of everything: procfs and selinuxfs take a value in a single write or not at all.
Status PwriteOnce(int fd, std::string_view bytes, off_t offset, std::string_view path_for_messages);

// The value of the security.selinux attribute without its trailing NUL. Works on any descriptor,
// O_PATH included (then through /proc/self/fd). ENODATA where the file has no label.
Result<std::string> SecurityLabel(int fd, std::string_view path_for_messages = {});
// The same of what `path` names now, without opening it and without following a symbolic link.
Result<std::string> SecurityLabelAt(const std::string& path);

struct FdPair {
  UniqueFd first;
  UniqueFd second;
};
Result<FdPair> SocketPair(int domain, int type);
// getsockopt(2) of an integer at level SOL_SOCKET.
Result<int> SocketOption(int fd, int option);
// A non-blocking netlink socket subscribed to the multicast groups of the bit mask `groups`.
Result<UniqueFd> NetlinkSocket(int protocol, uint32_t groups);
// One recv(2) that does not block; what does not fit is cut off. EAGAIN when nothing is waiting.
Result<size_t> ReceiveNow(int fd, void* buffer, size_t size);

// The ids of the active security modules (lsm_list_modules(2)); ENOSYS before Linux 6.8.
Result<std::vector<uint64_t>> LsmListModules();

// A shared, read-only mapping of the first `size` bytes of a file.
Result<MappedMemory> MapShared(int fd, size_t size, std::string_view path_for_messages);
// Fresh private memory for a stack.
Result<MappedMemory> MapStack(size_t size);
Status Mprotect(void* address, size_t size, int protection);

Result<UniqueFd> EpollCreate();
// Adds `fd` to the set, to be told by its number when it can be read.
Status EpollAdd(int epoll, int fd);
// Waits for as long as it takes: the number of a descriptor that can be read.
Result<int> EpollWait(int epoll);

Status PidfdSendSignal(int pidfd, int signal);
struct ExitState {
  bool exited = false;  // false: still running (only with `block` false)
  int exit_code = -1;   // -1 where a signal ended it
  int signal = 0;
};
// Reaps the child behind `pidfd`.
Result<ExitState> WaitPidfd(int pidfd, bool block);
// What has become of the child behind `pidfd`, which is not reaped.
enum class ChildChange : uint8_t { kNone, kStopped, kExited };
Result<ChildChange> PeekPidfd(int pidfd);
Status Prlimit(pid_t pid, int resource, const struct rlimit& limit);

}  // namespace vmentry::sys
