#include "decision/thread_status.h"

#include <fcntl.h>

#include <charconv>
#include <string>
#include <string_view>
#include <system_error>

#include "core/system_calls.h"

namespace vmentry::decision {
namespace {

constexpr const char* kPath = "/proc/thread-self/status";
// About 1.5 KiB; its longest line (the list of CPUs) grows with the machine.
constexpr size_t kLimit = 256 * 1024;

// The hexadecimal (or 0 and 1) value of one line. Every kernel since 4.10 has the lines asked for here;
// where one is missing the answer is unknown, not "no".
Result<uint64_t> Field(std::string_view status, std::string_view key) {
  const size_t at = status.find(key);
  if (at == std::string_view::npos) return Error::System("read", EPROTO, kPath);
  const char* const begin = status.data() + at + key.size();
  const char* const end = status.data() + status.size();
  uint64_t value = 0;
  if (std::from_chars(begin, end, value, 16).ec != std::errc()) return Error::System("read", EPROTO, kPath);
  return value;
}

}  // namespace

Result<ThreadStatus> ReadThreadStatus() {
  VMENTRY_TRY(const UniqueFd file, sys::OpenAt(AT_FDCWD, kPath, O_RDONLY));
  VMENTRY_TRY(const std::string text, sys::ReadSmallFile(file.get(), kLimit, kPath));
  ThreadStatus status;
  VMENTRY_TRY(const uint64_t no_new_privileges, Field(text, "\nNoNewPrivs:\t"));
  VMENTRY_TRY(status.effective_capabilities, Field(text, "\nCapEff:\t"));
  status.no_new_privileges = no_new_privileges != 0;
  return status;
}

}  // namespace vmentry::decision
