#include "selinux/policy_events.h"

#include <linux/netlink.h>

#include <array>

#ifdef VMENTRY_FAULTS
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#endif

#include "core/system_calls.h"
#include "selinux/library.h"

namespace vmentry::selinux {
namespace {

constexpr uint32_t kAvcGroup = 1;  // SELNL_GRP_AVC
// A flood must not hold the event loop; what is left makes the descriptor readable again.
constexpr int kNoticesAtOnce = 64;

#ifdef VMENTRY_FAULTS
// A stand-in for the kernel sends its notices to the sockets in its directory `events`, if it has one.
UniqueFd OpenStandInEvents() {
  static std::atomic<unsigned> count{0};
  const Result<const Library*> library = Library::Get();
  if (!library.ok()) return UniqueFd();
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  {
    std::lock_guard lock(library.value()->mutex());
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s/events/%d-%u", library.value()->mount_point().c_str(),
                  ::getpid(), count++);
  }
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) socket.Reset();
  return socket;
}
#endif

}  // namespace

Result<UniqueFd> OpenPolicyEvents() {
#ifdef VMENTRY_FAULTS
  if (Library::IsStandIn()) {
    if (UniqueFd socket = OpenStandInEvents(); socket.valid()) return socket;
  }
#endif
  return sys::NetlinkSocket(NETLINK_SELINUX, kAvcGroup);
}

Status DrainPolicyEvents(int fd) {
  std::array<char, 256> notice;
  for (int i = 0; i < kNoticesAtOnce; ++i) {
    const Result<size_t> got = sys::ReceiveNow(fd, notice.data(), notice.size());
    if (got.ok()) continue;
    if (got.error().errno_value == EAGAIN) return Ok();
    // ENOBUFS: some were lost, which does not matter.
    if (got.error().errno_value != ENOBUFS) return got.error();
  }
  return Ok();
}

}  // namespace vmentry::selinux
