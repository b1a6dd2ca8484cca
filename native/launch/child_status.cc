#include "launch/child_status.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "core/procfs.h"
#include "core/system_calls.h"

namespace vmentry::launch {
namespace {

constexpr std::string_view kCode = "ERR_LAUNCH_PROCFS";
constexpr unsigned long kForkNoExec = 0x40;  // PF_FORKNOEXEC of the kernel's include/linux/sched.h
constexpr size_t kStatLimit = 4096;

Result<UniqueFd> OpenBelow(int procfs, const std::string& relative, int flags) {
  return procfs::OpenFile(procfs, relative, flags, kCode);
}

}  // namespace

Result<UniqueFd> OpenProcfs() { return procfs::Open(kCode); }

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
  VMENTRY_TRY(const std::vector<std::string> names, sys::ListDirectory(std::move(directory), "/proc/" + relative));
  std::vector<int> numbers;
  numbers.reserve(names.size());
  for (const std::string& name : names) numbers.push_back(std::atoi(name.c_str()));
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

}  // namespace vmentry::launch
