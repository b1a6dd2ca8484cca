// Fault injection for the test build: every wrapper of native/core/system_calls.h, every libselinux
// call and every step of the child asks here first whether it is to fail. In the shipped build the
// question is a constant and compiles to nothing.
#pragma once

#ifdef VMENTRY_FAULTS
#include <string>
#include <vector>
#endif

namespace vmentry::fault {

#ifdef VMENTRY_FAULTS
// Returns the errno that this call of `name` has to fail with, 0 to go on. Async-signal-safe and
// allocation-free, because the vfork child asks too (it shares the parent's memory).
int Take(const char* name);

// In place of an errno: the process that armed the call dies there by SIGKILL. A vfork child that makes
// the call goes on once it is dead.
inline constexpr int kKillProcess = -1;

// In place of an errno: the call waits there until Release(), and then goes on. Works in the vfork child.
inline constexpr int kPause = -2;
// Whether a call waits now.
bool Paused();
void Release();

// Makes call number `nth` (0 is the next one) of `name` fail with `errno_value`; with kFromThenOn all
// later ones too.
enum class Lasting { kOnce, kFromThenOn };
void Arm(const char* name, unsigned nth, int errno_value, Lasting lasting = Lasting::kOnce);
void Clear();

// The names asked for since Clear(), each with its count: what an exhaustive test iterates over.
struct Seen {
  std::string name;
  unsigned count;
};
std::vector<Seen> Calls();
#else
constexpr int Take(const char*) { return 0; }
#endif

}  // namespace vmentry::fault
