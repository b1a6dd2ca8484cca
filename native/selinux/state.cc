#include "selinux/state.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>

#include "core/system_calls.h"
#include "selinux/library.h"

namespace vmentry::selinux {
namespace {

// The page behind <selinuxfs>/status, as the kernel lays it out. It is only ever extended: a version
// above 0 has at least these members.
struct StatusPage {
  uint32_t version;
  uint32_t sequence;  // a seqlock: odd while the kernel changes the rest
  uint32_t enforcing;
  uint32_t policyload;
  uint32_t deny_unknown;
};

constexpr uint64_t kLsmIdSelinux = 101;
// A change takes the kernel microseconds; a reader that loses this often is being kept out.
constexpr int kReadAttempts = 1000;

std::mutex g_mutex;
bool g_enabled = false;                          // LOCKED(g_mutex), and only ever set
std::atomic<bool> g_enabled_hint{false};         // the same without the lock
std::atomic<const StatusPage*> g_page{nullptr};  // mapped once, for good

uint32_t Load(const uint32_t& word) { return __atomic_load_n(&word, __ATOMIC_ACQUIRE); }

Error Disabled(const std::string& why) {
  return Error::Coded(
      "ERR_SELINUX_DISABLED",
      "SELinux is not enabled in the running kernel (" + why +
          "): boot with security=selinux or lsm=…,selinux and a policy, or allow an exception explicitly");
}

Result<const StatusPage*> Page() {
  if (const StatusPage* page = g_page.load(std::memory_order_acquire); page != nullptr) return page;
  VMENTRY_CHECK(RequireEnabled());
  VMENTRY_TRY(const Library* library, Library::Get());
  std::string path;
  {
    std::lock_guard lock(library->mutex());
    path = library->mount_point() + "/status";
  }
  std::lock_guard lock(g_mutex);
  if (const StatusPage* page = g_page.load(std::memory_order_acquire); page != nullptr) return page;
  VMENTRY_TRY(const UniqueFd file, sys::OpenAt(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW));
  if (!Library::IsStandIn()) {
    VMENTRY_TRY(const struct statfs file_system, sys::Fstatfs(file.get(), path));
    if (static_cast<uint32_t>(file_system.f_type) != SELINUX_MAGIC) {
      return Error::Coded("ERR_SELINUX_STATUS", "The status page is not on a selinuxfs: mount one there", path);
    }
  }
  VMENTRY_TRY(MappedMemory mapping, sys::MapShared(file.get(), sizeof(StatusPage), path));
  const auto* page = static_cast<const StatusPage*>(mapping.address());
  if (page->version == 0) {
    return Error::Coded("ERR_SELINUX_STATUS", "The kernel's status page has a layout that this version does not know",
                        path);
  }
  (void)mapping.Leak();
  g_page.store(page, std::memory_order_release);
  return page;
}

}  // namespace

Status RequireEnabled() {
  if (g_enabled_hint.load(std::memory_order_acquire)) return Ok();
  VMENTRY_TRY(const Library* library, Library::Get());
  std::lock_guard lock(g_mutex);
  if (g_enabled) return Ok();
  {
    std::lock_guard library_lock(library->mutex());
    // libselinux looks for selinuxfs once, when it is loaded.
    if (Call("is_selinux_enabled", library->is_selinux_enabled) != 1) {
      return Disabled("libselinux found no selinuxfs, or no /etc/selinux/config, when this process loaded it");
    }
  }
  if (!Library::IsStandIn()) {
    // A selinuxfs that somebody mounted into a container says nothing about who decides; the kernel
    // can say it since Linux 6.8. Where the call is not there (or a filter forbids it) libselinux's
    // answer stands.
    const Result<std::vector<uint64_t>> modules = sys::LsmListModules();
    if (modules.ok() && std::ranges::find(modules.value(), kLsmIdSelinux) == modules.value().end()) {
      return Disabled("it is not among the kernel's active security modules");
    }
  }
  g_enabled = true;
  g_enabled_hint.store(true, std::memory_order_release);
  return Ok();
}

Result<PolicyState> ReadPolicyState() {
  VMENTRY_TRY(const StatusPage* page, Page());
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    if (attempt > 0) sched_yield();
    const uint32_t before = Load(page->sequence);
    if ((before & 1) != 0) continue;
    PolicyState state;
    state.sequence = before;
    state.enforcing = Load(page->enforcing) != 0;
    state.policyload = Load(page->policyload);
    state.deny_unknown = Load(page->deny_unknown) != 0;
    // Acquire loads stay in order, so this one comes after the members were read.
    if (Load(page->sequence) == before) return state;
  }
  return Error::Coded("ERR_SELINUX_POLICY_CHANGED",
                      "The kernel's policy state kept changing while it was read: try again");
}

uint32_t PolicySequenceNow() {
  const StatusPage* page = g_page.load(std::memory_order_acquire);
  // Odd is what callers take for "changing": nothing may be trusted before the page is there.
  return page == nullptr ? 1 : Load(page->sequence);
}

}  // namespace vmentry::selinux
