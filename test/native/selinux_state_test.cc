// The kernel's status page, and whether SELinux is there at all.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "core/fault_injection.h"
#include "selinux/state.h"
#include "selinux_testing.h"
#include "skipping.h"

using namespace vmentry;
using namespace vmentry::selinux;
using namespace selinux_testing;
using Page = StatusWriter::Page;

namespace {

const FakeHost& Host() {
  static const FakeHost host;
  return host;
}

}  // namespace

TEST_CASE("before the first reading nothing may be trusted") { CHECK((PolicySequenceNow() & 1) == 1); }

TEST_CASE("a host where it is off") {
  CHECK(InChild([] {
          Write(Host() / "disabled", "");
          Host().Activate();
          const Status enabled = RequireEnabled();
          const auto state = ReadPolicyState();
          ::unlink((Host() / "disabled").c_str());
          return !enabled.ok() && enabled.error().code == "ERR_SELINUX_DISABLED" && !state.ok() &&
                         state.error().code == "ERR_SELINUX_DISABLED"
                     ? 0
                     : 1;
        }) == 0);
}

TEST_CASE("the real library of a host without SELinux" *
          skipping::Where(skipping::SelinuxHost(), "a host with SELinux")) {
  const int outcome = InChild([] {
    const Status enabled = RequireEnabled();
    if (enabled.ok()) return 1;
    return enabled.error().code == "ERR_SELINUX_DISABLED" || enabled.error().code == "ERR_SELINUX_LIBRARY" ? 0 : 2;
  });
  CHECK(outcome == 0);
}

TEST_CASE("a page of a layout that nobody knows is refused, and not remembered") {
  CHECK(InChild([] {
          Host().Activate();
          if (!RequireEnabled().ok()) return 1;  // the fake has written its page
          StatusWriter kernel(Host() / "status");
          kernel.Set(&Page::version, 0);
          const auto refused = ReadPolicyState();
          if (refused.ok() || refused.error().code != "ERR_SELINUX_STATUS") return 2;
          kernel.Set(&Page::version, 2);  // later ones only add members
          return ReadPolicyState().ok() ? 0 : 3;
        }) == 0);
}

TEST_CASE("mapping fails with the system's error, and works the next time") {
  for (const char* call : {"openat", "mmap"}) {
    CAPTURE(call);
    CHECK(InChild([call] {
            Host().Activate();
            if (!RequireEnabled().ok()) return 1;
            fault::Clear();
            fault::Arm(call, 0, ENOMEM);
            const auto failed = ReadPolicyState();
            if (failed.ok() || failed.error().errno_value != ENOMEM || failed.error().syscall != call) return 2;
            return ReadPolicyState().ok() ? 0 : 3;
          }) == 0);
  }
}

TEST_CASE("the members are what the kernel wrote") {
  Host().Activate();
  REQUIRE(ReadPolicyState().ok());
  StatusWriter kernel(Host() / "status");
  kernel.Begin();
  kernel.Set(&Page::enforcing, 0);
  kernel.Set(&Page::policyload, 7);
  kernel.Set(&Page::deny_unknown, 1);
  const auto torn = ReadPolicyState();
  REQUIRE_FALSE(torn.ok());
  CHECK(torn.error().code == "ERR_SELINUX_POLICY_CHANGED");
  CHECK((PolicySequenceNow() & 1) == 1);
  kernel.End();
  const PolicyState state = ReadPolicyState().value();
  CHECK(state.sequence == kernel.Get(&Page::sequence));
  CHECK(state.sequence == PolicySequenceNow());
  CHECK_FALSE(state.enforcing);
  CHECK(state.policyload == 7);
  CHECK(state.deny_unknown);
}

TEST_CASE("no reading mixes two states") {
  Host().Activate();
  REQUIRE(ReadPolicyState().ok());
  StatusWriter kernel(Host() / "status");
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    // In every state the mode is the count's lowest bit.
    for (uint32_t count = 100; !stop.load(); ++count) {
      kernel.Begin();
      kernel.Set(&Page::policyload, count);
      kernel.Set(&Page::enforcing, count & 1);
      kernel.Set(&Page::deny_unknown, (count >> 1) & 1);
      kernel.End();
    }
  });
  while (ReadPolicyState().ok() && ReadPolicyState().value().policyload < 100) std::this_thread::yield();
  unsigned good = 0, mixed = 0;
  for (int i = 0; i < 100'000; ++i) {
    const auto state = ReadPolicyState();
    if (!state.ok()) {
      CHECK(state.error().code == "ERR_SELINUX_POLICY_CHANGED");
      continue;
    }
    ++good;
    mixed += state.value().enforcing != ((state.value().policyload & 1) != 0);
    mixed += state.value().deny_unknown != ((state.value().policyload & 2) != 0);
  }
  stop = true;
  writer.join();
  CHECK(mixed == 0);
  CHECK(good > 0);
}

TEST_CASE("threads that ask at once") {
  Host().Activate();
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&good] {
      for (int j = 0; j < 1000; ++j) good += RequireEnabled().ok() ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 8000);
}
