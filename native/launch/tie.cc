#include "launch/tie.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>

#include "core/system_calls.h"

namespace vmentry::launch {

Result<Tie> Tie::Make() {
  VMENTRY_TRY(sys::FdPair pair, sys::SocketPair(AF_UNIX, SOCK_STREAM));
  for (const UniqueFd* socket : {&pair.first, &pair.second}) {
    VMENTRY_CHECK(sys::SetSignal(socket->get(), SIGKILL));
    // No owner yet, so nothing is sent whatever happens to the pair.
    VMENTRY_CHECK(sys::SetStatusFlags(socket->get(), O_RDWR | O_ASYNC));
  }
  Tie tie;
  tie.first_ = std::move(pair.first);
  tie.second_ = std::move(pair.second);
  return tie;
}

Status Tie::Disarm() {
  if (!first_.valid()) return Ok();
  VMENTRY_CHECK(sys::SetOwner(first_.get(), 0));
  VMENTRY_CHECK(sys::SetOwner(second_.get(), 0));
  first_.Reset();
  second_.Reset();
  return Ok();
}

Result<bool> MaySignalUser(bool other_uid, uid_t uid) {
  if (!other_uid || uid == ::geteuid() || uid == ::getuid()) return true;
  if (::geteuid() != 0) return false;
  constexpr const char* kMap = "/proc/self/uid_map";
  VMENTRY_TRY(const UniqueFd file, sys::OpenAt(AT_FDCWD, kMap, O_RDONLY));
  VMENTRY_TRY(const std::string map, sys::ReadSmallFile(file.get(), 64 * 1024, kMap));
  unsigned long inside = 1, outside = 1, count = 0;
  // The initial namespace maps everything onto itself.
  return std::sscanf(map.c_str(), "%lu %lu %lu", &inside, &outside, &count) == 3 && inside == 0 && outside == 0 &&
         count == 4294967295UL;
}

}  // namespace vmentry::launch
