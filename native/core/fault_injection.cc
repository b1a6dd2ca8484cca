#include "core/fault_injection.h"

#ifdef VMENTRY_FAULTS

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <set>

namespace vmentry::fault {
namespace {

// A fixed open-addressed table: no allocation and no lock, so that it also works between vfork and
// exec. A name is a string literal; its text is the key, because literals may not be merged.
constexpr unsigned kSlots = 256;
struct Slot {
  std::atomic<const char*> name{nullptr};
  std::atomic<unsigned> count{0};
  std::atomic<unsigned> fail_at{0};  // 1-based call number; 0: never
  std::atomic<int> errno_value{0};
  std::atomic<bool> lasting{false};
};
Slot g_slots[kSlots];
std::atomic<pid_t> g_process{0};  // who armed last
std::atomic<bool> g_paused{false};

Slot* Find(const char* name) {
  unsigned hash = 2166136261u;
  for (const char* p = name; *p != '\0'; ++p) hash = (hash ^ static_cast<unsigned char>(*p)) * 16777619u;
  for (unsigned i = 0; i < kSlots; ++i) {
    Slot& slot = g_slots[(hash + i) % kSlots];
    const char* current = slot.name.load(std::memory_order_acquire);
    if (current == nullptr) {
      if (slot.name.compare_exchange_strong(current, name, std::memory_order_acq_rel)) return &slot;
    }
    if (std::strcmp(current, name) == 0) return &slot;
  }
  return nullptr;
}

}  // namespace

int Take(const char* name) {
  Slot* slot = Find(name);
  if (slot == nullptr) return 0;
  const unsigned call = slot->count.fetch_add(1, std::memory_order_relaxed) + 1;
  const unsigned fail_at = slot->fail_at.load(std::memory_order_relaxed);
  const bool fails =
      call == fail_at || (fail_at != 0 && call > fail_at && slot->lasting.load(std::memory_order_relaxed));
  if (!fails) return 0;
  const int value = slot->errno_value.load(std::memory_order_relaxed);
  if (value == kPause) {
    g_paused.store(true, std::memory_order_release);
    while (g_paused.load(std::memory_order_acquire)) {
      struct timespec millisecond = {0, 1'000'000};
      ::syscall(SYS_nanosleep, &millisecond, nullptr);
    }
    return 0;
  }
  if (value != kKillProcess) return value;
  // Raw calls, as all that the child may make.
  const pid_t process = g_process.load(std::memory_order_relaxed);
  ::kill(process, SIGKILL);
  while (::getpid() == process || ::getppid() == process) ::sched_yield();
  return 0;
}

void Arm(const char* name, unsigned nth, int errno_value, Lasting lasting) {
  // Keys live for the whole process: the caller's string may not.
  static std::mutex mutex;
  static auto& names = *new std::set<std::string>();
  const char* key = nullptr;
  {
    const std::lock_guard lock(mutex);
    key = names.emplace(name).first->c_str();
  }
  Slot* slot = Find(key);
  if (slot == nullptr) return;
  g_process.store(::getpid(), std::memory_order_relaxed);
  slot->errno_value.store(errno_value, std::memory_order_relaxed);
  slot->lasting.store(lasting == Lasting::kFromThenOn, std::memory_order_relaxed);
  slot->fail_at.store(slot->count.load(std::memory_order_relaxed) + nth + 1, std::memory_order_relaxed);
}

bool Paused() { return g_paused.load(std::memory_order_acquire); }

void Release() { g_paused.store(false, std::memory_order_release); }

void Clear() {
  for (Slot& slot : g_slots) {
    slot.count.store(0, std::memory_order_relaxed);
    slot.fail_at.store(0, std::memory_order_relaxed);
  }
}

std::vector<Seen> Calls() {
  std::vector<Seen> seen;
  for (Slot& slot : g_slots) {
    const char* name = slot.name.load(std::memory_order_acquire);
    const unsigned count = slot.count.load(std::memory_order_relaxed);
    if (name != nullptr && count > 0) seen.push_back({name, count});
  }
  return seen;
}

}  // namespace vmentry::fault

#endif  // VMENTRY_FAULTS
