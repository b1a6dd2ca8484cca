#include "launch/procfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>

#include "core/fault_injection.h"
#include "core/system_calls.h"

namespace vmentry::launch {
namespace {

constexpr ino_t kProcRootInode = 1;          // PROC_ROOT_INO of the kernel: a bind mount of a subdirectory has another
constexpr unsigned long kForkNoExec = 0x40;  // PF_FORKNOEXEC of the kernel's include/linux/sched.h
constexpr size_t kStatLimit = 4096;

Error NotTheKernels(std::string_view path) {
  return Error::Coded("ERR_LAUNCH_PROCFS", "Something else is mounted where the kernel's procfs has to be", path);
}

Result<UniqueFd> OpenBelow(int procfs, const std::string& relative, int flags) {
  Result<UniqueFd> file = sys::OpenBeneath(procfs, relative, flags);
  if (file.ok()) return file;
  if (file.error().errno_value == EXDEV) return NotTheKernels("/proc/" + relative);
  file.error().path = "/proc/" + relative;
  return file;
}

}  // namespace

Result<UniqueFd> OpenProcfs() {
  VMENTRY_TRY(UniqueFd root, sys::OpenAt(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW));
  VMENTRY_TRY(const struct statfs file_system, sys::Fstatfs(root.get(), "/proc"));
  VMENTRY_TRY(const struct stat status, sys::Fstat(root.get(), "/proc"));
  if (file_system.f_type != PROC_SUPER_MAGIC || status.st_ino != kProcRootInode) return NotTheKernels("/proc");
  // The procfs of another pid namespace knows this process, and every child, by another number.
  VMENTRY_TRY(const std::string self, sys::ReadLinkAt(root.get(), "self"));
  if (self != std::to_string(::getpid())) {
    return Error::Coded("ERR_LAUNCH_PROCFS", "The procfs at /proc is that of another pid namespace: mount this one's",
                        "/proc");
  }
  return root;
}

Result<ProcessStatus> ReadProcessStatus(int procfs, pid_t pid) {
  const std::string relative = std::to_string(pid) + "/stat";
  VMENTRY_TRY(const UniqueFd file, OpenBelow(procfs, relative, O_RDONLY));
  VMENTRY_TRY(const std::string line, sys::ReadSmallFile(file.get(), kStatLimit, "/proc/" + relative));
  // "pid (comm) state ppid pgrp session tty_nr tpgid flags …": comm may contain anything, so the
  // fields are counted from its last closing parenthesis.
  const size_t end = line.rfind(')');
  if (end == std::string::npos || end + 2 >= line.size()) return Error::System("read", EPROTO, "/proc/" + relative);
  ProcessStatus status;
  status.state = line[end + 2];
  size_t field = end + 2;
  for (int i = 0; i < 6 && field != std::string::npos; ++i) field = line.find(' ', field + 1);
  if (field == std::string::npos) return Error::System("read", EPROTO, "/proc/" + relative);
  status.executed = (std::strtoul(line.c_str() + field, nullptr, 10) & kForkNoExec) == 0;
  return status;
}

Result<std::vector<int>> ListDescriptors(int procfs, pid_t pid) {
  const std::string relative = std::to_string(pid) + "/fd";
  VMENTRY_TRY(UniqueFd directory, OpenBelow(procfs, relative, O_RDONLY | O_DIRECTORY));
  if (const int injected = fault::Take("fdopendir"); injected != 0) {
    return Error::System("fdopendir", injected, "/proc/" + relative);
  }
  DIR* const stream = ::fdopendir(directory.get());
  if (stream == nullptr) return Error::System("fdopendir", errno, "/proc/" + relative);
  (void)directory.Release();  // the stream's now
  std::vector<int> numbers;
  int failed = 0;
  for (;;) {
    errno = 0;
    const struct dirent* const entry = ::readdir(stream);
    if (entry == nullptr) {
      failed = errno;
      break;
    }
    if (entry->d_name[0] != '.') numbers.push_back(std::atoi(entry->d_name));
  }
  ::closedir(stream);
  if (failed != 0) return Error::System("readdir", failed, "/proc/" + relative);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

}  // namespace vmentry::launch
