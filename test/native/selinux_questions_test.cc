// Questions to the policy while it is being replaced, from several threads.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "selinux/contexts.h"
#include "selinux/questions.h"
#include "selinux/state.h"
#include "selinux/system.h"
#include "selinux_testing.h"

using namespace vmentry;
using namespace vmentry::selinux;
using namespace selinux_testing;
using Page = StatusWriter::Page;

namespace {

struct Fixture {
  static const FakeHost& Host() {
    static const FakeHost host;
    return host;
  }
  const FakeHost& host = Host();
  Fixture() {
    host.Activate();
    fault::Clear();
  }
};

bool Has(const AvAnswer& answer, const std::string& permission) {
  return (answer.decision.allowed & answer.object_class.BitOf(permission)) != 0;
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "what is no word is no context") {
  CHECK(IsRawContext(kClient));
  for (const char* wrong : {"", " ", "a b", "a\tb", "a\nb", "a\x7f", "\x01"}) CHECK_FALSE(IsRawContext(wrong));
  CHECK_FALSE(IsRawContext(std::string_view("a\0b", 3)));
  // Written to selinuxfs as it is, this would be the question (client, plain, file).
  const auto smuggled = ComputeAv(kClient + " " + kPlain + " 5", kPlain, "file", Form::kRaw);
  REQUIRE_FALSE(smuggled.ok());
  CHECK(smuggled.error().code == "ERR_SELINUX_CONTEXT_INVALID");
}

TEST_CASE_FIXTURE(Fixture, "which of two contexts is unknown is said") {
  const auto source = ComputeAv("a:b:c:s0", kPlain, "file", Form::kRaw);
  CHECK(source.error().message.find("a:b:c:s0") != std::string::npos);
  const auto target = ComputeAv(kClient, "x:y:z:s0", "file", Form::kRaw);
  CHECK(target.error().message.find("x:y:z:s0") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "a class whose name is a path, or only begins as one, is never looked up") {
  fault::Clear();
  for (const char* name : {"", ".", "..", "../class/file", "file/../file", "/etc"}) {
    CAPTURE(name);
    CHECK(FindClass(name).error().code == "ERR_SELINUX_CLASS_UNKNOWN");
  }
  const std::string cut("file\0x", 6);
  CHECK(FindClass(cut).error().code == "ERR_SELINUX_CLASS_UNKNOWN");
  CHECK(ComputeAv(kClient, kPlain, cut, Form::kRaw).error().code == "ERR_SELINUX_CLASS_UNKNOWN");
  for (const fault::Seen& seen : fault::Calls()) CHECK(seen.name != "string_to_security_class");
}

TEST_CASE_FIXTURE(Fixture, "a class without one of its names is not taken for one that has it") {
  for (const int failure : {ENOMEM, ENOENT}) {
    fault::Clear();
    fault::Arm("security_av_perm_to_string", 3, failure);
    const auto failed = FindClass("file");
    REQUIRE_FALSE(failed.ok());
    CHECK(failed.error().errno_value == failure);
  }
  CHECK(FindClass("file").value().permissions.size() == 23);
}

TEST_CASE_FIXTURE(Fixture, "numbers and answers are of one policy while policies come and go") {
  const std::string policies[] = {host.Compile(kUsualPolicy), host.Compile(kRenumberedPolicy)};
  REQUIRE_FALSE(policies[1].empty());
  std::atomic<bool> stop = false;
  std::atomic<unsigned> answered = 0, wrong = 0, changing = 0;
  std::vector<std::thread> askers;
  for (int i = 0; i < 3; ++i) {
    askers.emplace_back([&] {
      while (!stop.load()) {
        const auto answer = ComputeAv(kClient, kVm, "vm", Form::kRaw);
        if (!answer.ok()) {
          ++(answer.error().code == "ERR_SELINUX_POLICY_CHANGED" ? changing : wrong);
          continue;
        }
        ++answered;
        // Allowed and not allowed, with the numbering of either policy.
        if (!Has(answer.value(), "start") || Has(answer.value(), "debug")) ++wrong;
        if (answer.value().object_class.permissions.size() != 18) ++wrong;
      }
    });
  }
  for (int load = 0; load < 100; ++load) {
    CHECK(host.Load(policies[load % 2]));
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  stop = true;
  for (std::thread& thread : askers) thread.join();
  CHECK(wrong == 0);
  CHECK(answered > 0);
  CHECK(host.Load(policies[0]));
}

TEST_CASE_FIXTURE(Fixture, "a policy that never comes to rest is an error that says so") {
  REQUIRE(ReadPolicyState().ok());
  StatusWriter kernel(host / "status");
  std::atomic<bool> stop = false;
  std::thread loader([&] {
    for (uint32_t count = 1000; !stop.load(); ++count) {
      kernel.Begin();
      kernel.Set(&Page::policyload, count);
      kernel.End();
    }
  });
  bool said = false;
  // On a busy machine the loader may have no turn for many questions.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!said && std::chrono::steady_clock::now() < end) {
    const auto answer = ComputeAv(kClient, kPlain, "file", Form::kRaw);
    if (!answer.ok()) {
      CHECK(answer.error().code == "ERR_SELINUX_POLICY_CHANGED");
      said = true;
    }
  }
  stop = true;
  loader.join();
  CHECK(said);
}
