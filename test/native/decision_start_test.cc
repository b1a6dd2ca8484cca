// The decision itself, over a policy in memory: what is asked, how verdicts add up, and that whatever
// goes wrong in between is never a grant.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "decision/audit.h"
#include "decision_testing.h"

using namespace vmentry;
using namespace vmentry::decision;
using namespace vmentry::testing;

namespace {

struct Fixture {
  FakePolicy policy;
  AccessCache cache{policy};
  StartQuestion question = UsualQuestion();

  Fixture() { AllowUsual(&policy); }

  Decision Decide() {
    Result<Decision> decision = DecideStart(cache, question);
    if (!decision.ok()) FAIL(decision.error().code << " " << decision.error().message << decision.error().errno_value);
    return std::move(decision).value();
  }
};

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : " ").append(word);
  return text;
}

// "client_t disk_t file { read }", for each check.
std::vector<std::string> Asked(const Decision& decision) {
  std::vector<std::string> lines;
  const auto type = [](const std::string& context) {
    const size_t start = context.find(':', context.find(':') + 1) + 1;
    return context.substr(start, context.find(':', start) - start);
  };
  for (const Check& check : decision.checks) {
    lines.push_back(type(check.source) + " " + type(check.target) + " " + check.tclass + " { " + Join(check.requested) +
                    " }");
  }
  return lines;
}

const Check& Denied(const Decision& decision) {
  static const Check none;
  for (const Check& check : decision.checks) {
    if (!check.denied.empty() || !check.invalid_context.empty()) return check;
  }
  return none;
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "an allowed start: every question, in order") {
  const Decision decision = Decide();
  CHECK(decision.allowed);
  CHECK(decision.evaluated);
  CHECK(decision.enforcing);
  CHECK(decision.refusal == Refusal::kNone);
  CHECK(decision.vm_context == kVm);
  CHECK(decision.policy_sequence == 2);
  CHECK(Asked(decision) == std::vector<std::string>{
                               "client_t disk_t file { getattr open read write lock }",
                               "client_t disk_t vm { type_transition }",
                               "disk_t vm_t vm { entrypoint }",
                               "client_t vm_t vm { start }",
                               "launcher_t launcher_t process { setexec }",
                               "launcher_t vm_t process { transition }",
                               "launcher_t qemu_exec_t file { execute open read }",
                               "vm_t qemu_exec_t file { entrypoint execute map read }",
                               "vm_t launcher_t fd { use }",
                               "vm_t disk_t file { getattr read write lock }",
                           });
  for (const Check& check : decision.checks) {
    CHECK(check.denied.empty());
    CHECK(check.rule.empty());
  }
  CHECK(VerdictOf(decision) == 0);
}

TEST_CASE_FIXTURE(Fixture, "classes follow the file type, writing follows the request") {
  question.objects[0].writable = false;
  question.objects[0].mode = S_IFBLK;
  policy.Allow(kClient, kDisk, "blk_file", {"getattr", "open", "read"});
  policy.Allow(kVm, kDisk, "blk_file", {"getattr", "read"});
  const Decision decision = Decide();
  CHECK(decision.allowed);
  CHECK(Asked(decision).front() == "client_t disk_t blk_file { getattr open read }");
  CHECK(Asked(decision).back() == "vm_t disk_t blk_file { getattr read }");
}

TEST_CASE_FIXTURE(Fixture, "what else the VM begins with is an entrypoint too, a data disk is not") {
  const std::string kernel = "system_u:object_r:kernel_image_t:s0", data = "system_u:object_r:data_t:s0";
  question.objects.push_back({"vmlinuz", kernel, S_IFREG, false, true});
  question.objects.push_back({"data.raw", data, S_IFREG, false, false});
  policy.Allow(kClient, kernel, "file", {"getattr", "open", "read"});
  policy.Allow(kClient, data, "file", {"getattr", "open", "read"});
  policy.Allow(kVm, kernel, "file", {"getattr", "read"});
  policy.Allow(kVm, data, "file", {"getattr", "read"});
  Decision decision = Decide();
  CHECK_FALSE(decision.allowed);
  CHECK(Denied(decision).rule == "(allow kernel_image_t vm_t (vm (entrypoint)))");
  CHECK(Denied(decision).subject == "vmlinuz");
  policy.Allow(kernel, kVm, "vm", {"entrypoint"});
  policy.Reload();
  decision = Decide();
  CHECK(decision.allowed);
  const std::vector<std::string> asked = Asked(decision);
  CHECK(std::ranges::find(asked, "data_t vm_t vm { entrypoint }") == asked.end());
}

TEST_CASE_FIXTURE(Fixture, "any single denial refuses, names its rule, and leaves the other verdicts in place") {
  const Decision granted = Decide();
  for (size_t i = 0; i < granted.checks.size(); ++i) {
    const Check& check = granted.checks[i];
    if (check.question == Question::kVmDomain) continue;
    for (const std::string& permission : check.requested) {
      Fixture fixture;
      std::vector<std::string> others = check.requested;
      std::erase(others, permission);
      fixture.policy.Deny(check.source, check.target, check.tclass);
      fixture.policy.Allow(check.source, check.target, check.tclass, others);
      const Decision decision = fixture.Decide();
      CAPTURE(i);
      CAPTURE(permission);
      CHECK_FALSE(decision.allowed);
      CHECK(decision.refusal == Refusal::kDenied);
      REQUIRE(decision.checks.size() == granted.checks.size());
      for (size_t j = 0; j < decision.checks.size(); ++j) {
        CHECK(decision.checks[j].denied ==
              (i == j ? std::vector<std::string>{permission} : std::vector<std::string>{}));
      }
      CHECK_FALSE(decision.checks[i].permissive);
      CHECK_FALSE(decision.checks[i].constraint);
      CHECK(decision.checks[i].rule.find("(" + permission + ")))") != std::string::npos);
      CHECK(VerdictOf(decision) == VerdictBit(check.question));
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "the action decides what the client needs") {
  policy.Deny(kClient, kVm, "vm");
  SUBCASE("restore") {
    question.action = Action::kRestore;
    policy.Allow(kClient, kVm, "vm", {"restore"});
  }
  SUBCASE("migrate_in") {
    question.action = Action::kMigrateIn;
    policy.Allow(kClient, kVm, "vm", {"migrate_in"});
  }
  CHECK(Decide().allowed);
  question.action = Action::kStart;
  CHECK_FALSE(Decide().allowed);
}

TEST_CASE_FIXTURE(Fixture, "no rule for the pair: refused for that reason, and what can be asked still is") {
  const std::string other = "system_u:object_r:lib_t:s0";
  question.objects[0].context = other;
  policy.Allow(kClient, other, "file", {"getattr", "open", "read", "write", "lock"});
  Decision decision = Decide();
  CHECK_FALSE(decision.allowed);
  CHECK(decision.refusal == Refusal::kNoTransition);
  CHECK(decision.vm_context.empty());
  CHECK(VerdictOf(decision) == kVerdictNoTransition);
  CHECK(Denied(decision).question == Question::kVmDomain);
  CHECK(Denied(decision).rule == "(typetransition client_t lib_t vm DOMAIN)");
  CHECK(Asked(decision) == std::vector<std::string>{
                               "client_t lib_t file { getattr open read write lock }",
                               "client_t lib_t vm { type_transition }",
                               "launcher_t launcher_t process { setexec }",
                               "launcher_t qemu_exec_t file { execute open read }",
                           });

  // In permissive mode there is still no domain to run in.
  policy.SetEnforcing(false);
  decision = Decide();
  CHECK_FALSE(decision.allowed);
  CHECK(decision.refusal == Refusal::kNoTransition);
}

TEST_CASE_FIXTURE(Fixture, "contexts that come out but that no VM may have") {
  std::string result;
  SUBCASE("role object_r, as without defaultrole") { result = "user_u:object_r:vm_t:s0"; }
  SUBCASE("the disk's own type, as without a rule") { result = "user_u:user_r:disk_t:s0"; }
  SUBCASE("one that check_context refuses") {
    result = "user_u:user_r:gone_t:s0";
    policy.Invalidate(result);
  }
  policy.Transition(kClient, kDisk, result);
  for (const std::string& party : {kDisk, kClient}) policy.Allow(party, result, "vm", {"entrypoint", "start"});
  const Decision decision = Decide();
  CHECK_FALSE(decision.allowed);
  CHECK(decision.refusal == Refusal::kNoTransition);
  CHECK(decision.vm_context.empty());
}

TEST_CASE_FIXTURE(Fixture, "a rule to a type that the client's role may not have: the missing roletype is named") {
  const std::string disk = "system_u:object_r:other_t:s0";
  question.objects[0].context = disk;
  policy.Transition("user_u:object_r:client_t:s0-s0:c0.c7", disk, "user_u:object_r:vm_t:s0");
  policy.Invalidate("user_u:user_r:vm_t:s0-s0:c0.c7");
  Decision decision = Decide();
  CHECK(decision.refusal == Refusal::kNoTransition);
  CHECK(Denied(decision).question == Question::kReadDisk);
  CHECK(decision.checks[1].rule == "(roletype user_r vm_t)");
}

TEST_CASE_FIXTURE(Fixture, "ranges that do not meet: no domain, and a rule that is missing too is named") {
  const std::string disk = "system_u:object_r:high_t:s5";
  const std::string disk_in_reach = "system_u:object_r:high_t:s0-s0:c0.c7";
  policy.Disjoin(kClient, disk);
  policy.Disjoin("user_u:object_r:client_t:s0-s0:c0.c7", disk);
  question.objects[0].context = disk;
  policy.Allow(kClient, disk, "file", {"getattr", "open", "read", "write", "lock"});
  Decision decision = Decide();
  CHECK_FALSE(decision.allowed);
  CHECK(decision.refusal == Refusal::kNoTransition);
  CHECK(VerdictOf(decision) == kVerdictNoTransition);
  CHECK(decision.vm_context.empty());
  CHECK(Denied(decision).question == Question::kVmDomain);
  CHECK(Denied(decision).target == disk);
  CHECK(Denied(decision).constraint);
  CHECK(Denied(decision).rule == "(typetransition client_t high_t vm DOMAIN)");

  policy.Transition("user_u:object_r:client_t:s0-s0:c0.c7", disk_in_reach, "user_u:object_r:vm_t:s0-s0:c0.c7");
  policy.Reload();
  decision = Decide();
  CHECK(decision.refusal == Refusal::kNoTransition);
  CHECK(Denied(decision).constraint);
  CHECK(Denied(decision).rule.empty());
  // What could be asked was.
  CHECK(Asked(decision).back() == "launcher_t qemu_exec_t file { execute open read }");

  policy.SetEnforcing(false);
  CHECK_FALSE(Decide().allowed);
}

TEST_CASE_FIXTURE(Fixture, "rule: 'change' asks the other kind of rule") {
  question.rule = Rule::kChange;
  CHECK(Decide().refusal == Refusal::kNoTransition);
  CHECK(Denied(Decide()).rule == "(typechange client_t disk_t vm DOMAIN)");
  policy.Change(kClient, kDisk, kVm);
  policy.Reload();
  const Decision decision = Decide();
  CHECK(decision.allowed);
  CHECK(decision.checks[1].requested == std::vector<std::string>{"type_change"});
}

TEST_CASE_FIXTURE(Fixture, "a context unknown to the policy refuses, whichever it is, enforcing or not") {
  SUBCASE("client") { policy.Invalidate(kClient); }
  SUBCASE("launcher") { policy.Invalidate(kLauncher); }
  SUBCASE("disk") { policy.Invalidate(kDisk); }
  SUBCASE("emulator") { policy.Invalidate(kEmulator); }
  Decision decision = Decide();
  CHECK_FALSE(decision.allowed);
  CHECK(decision.refusal == Refusal::kInvalidContext);
  CHECK((VerdictOf(decision) & kVerdictInvalidContext) != 0);
  policy.SetEnforcing(false);
  decision = Decide();
  CHECK_FALSE(decision.allowed);
  CHECK(decision.refusal == Refusal::kInvalidContext);
}

TEST_CASE_FIXTURE(Fixture, "permissive mode: allowed, and the denials are listed all the same") {
  policy.Deny(kDisk, kVm, "vm");
  policy.SetEnforcing(false);
  for (int i = 0; i < 2; ++i) {
    const Decision decision = Decide();
    CHECK(decision.allowed);
    CHECK_FALSE(decision.enforcing);
    CHECK(decision.refusal == Refusal::kNone);
    CHECK(Denied(decision).denied == std::vector<std::string>{"entrypoint"});
    CHECK(Denied(decision).permissive);
    CHECK(Denied(decision).rule == "(allow disk_t vm_t (vm (entrypoint)))");
  }
  policy.SetEnforcing(true);
  CHECK_FALSE(Decide().allowed);
}

TEST_CASE_FIXTURE(Fixture, "a permissive type is not refused what it asks, and only that") {
  policy.MakePermissive(kClient);
  policy.Deny(kClient, kVm, "vm");
  CHECK(Decide().allowed);
  CHECK(Denied(Decide()).permissive);
  // The source of entrypoint is the disk, so a permissive VM domain changes nothing there.
  policy.MakePermissive(kVm);
  policy.Deny(kDisk, kVm, "vm");
  policy.Reload();
  const Decision decision = Decide();
  CHECK_FALSE(decision.allowed);
  CHECK(VerdictOf(decision) == VerdictBit(Question::kEntrypoint));
}

TEST_CASE_FIXTURE(Fixture, "dontaudit hides a denial from the log, never from the answer") {
  policy.Deny(kDisk, kVm, "vm");
  policy.SetAudit(0, 0);
  const Decision decision = Decide();
  CHECK_FALSE(decision.allowed);
  CHECK_FALSE(Denied(decision).auditable);
  CHECK(AuditRecordsOf(decision).empty());
}

TEST_CASE_FIXTURE(Fixture, "a denial that goes away with equal levels is a constraint's") {
  policy.Deny(kVm, kDisk, "file");
  // Allowed at the VM's own level and user, so the allow rule is there.
  policy.Allow(kVm, "user_u:object_r:disk_t:s0:c1", "file", {"getattr", "read"});
  const Decision decision = Decide();
  const Check& check = Denied(decision);
  CHECK_FALSE(decision.allowed);
  CHECK(check.constraint);
  CHECK(check.denied == std::vector<std::string>{"getattr", "read", "write", "lock"});
  CHECK(check.rule == "(allow vm_t disk_t (file (write lock)))");
}

TEST_CASE_FIXTURE(Fixture, "no_new_privs and nosuid are asked about where they apply") {
  const auto asked = [this](const std::string& line) {
    const std::vector<std::string> all = Asked(Decide());
    return std::ranges::find(all, line) != all.end();
  };
  question.no_new_privileges = true;
  CHECK(asked("launcher_t vm_t process2 { nnp_transition }"));
  CHECK_FALSE(Decide().allowed);
  question.emulator[0].nosuid = true;
  CHECK(asked("launcher_t vm_t process2 { nnp_transition nosuid_transition }"));
  question.no_new_privileges = false;
  CHECK(asked("launcher_t vm_t process2 { nosuid_transition }"));
  policy.Allow(kLauncher, kVm, "process2", {"nosuid_transition"});
  policy.Reload();
  CHECK(Decide().allowed);
}

TEST_CASE_FIXTURE(Fixture, "a VM in the launcher's own context: no transition, but execute_no_trans") {
  question.launcher = kVm;
  question.no_new_privileges = true;
  policy.Allow(kVm, kVm, "process", {"setexec"});
  policy.Allow(kVm, kEmulator, "file", {"open", "execute_no_trans"});
  const Decision decision = Decide();
  CHECK(decision.allowed);
  const std::vector<std::string> asked = Asked(decision);
  CHECK(std::ranges::find(asked, "vm_t qemu_exec_t file { execute open read execute_no_trans }") != asked.end());
  for (const std::string& line : asked) {
    CHECK(line.find("process2") == std::string::npos);
    CHECK(line.find("transition }") ==
          (line.find("type_transition") == std::string::npos ? std::string::npos : line.find("transition }")));
    CHECK(line.find("fd {") == std::string::npos);
  }
}

TEST_CASE_FIXTURE(Fixture, "inherited descriptors are asked about as they are given") {
  question.descriptors.push_back({"stdout", kLauncher, "unix_stream_socket", {"read", "write"}});
  Decision decision = Decide();
  CHECK_FALSE(decision.allowed);
  CHECK(Denied(decision).subject == "stdout");
  CHECK(VerdictOf(decision) == VerdictBit(Question::kInherit));
  policy.Allow(kVm, kLauncher, "unix_stream_socket", {"read", "write"});
  policy.Reload();
  CHECK(Decide().allowed);
}

TEST_CASE_FIXTURE(Fixture, "without the class or a permission nothing is decided, whatever else is allowed") {
  std::string code;
  SUBCASE("no class vm") {
    policy.RemoveClass("vm");
    code = "ERR_SELINUX_CLASS_UNKNOWN";
  }
  SUBCASE("no permission entrypoint") {
    policy.SetClass("vm", {3, {"other", "start"}});
    code = "ERR_SELINUX_PERMISSION_UNKNOWN";
  }
  SUBCASE("no permission for the action") {
    policy.SetClass("vm", {3, {"entrypoint", "stop"}});
    code = "ERR_SELINUX_PERMISSION_UNKNOWN";
  }
  for (const bool enforcing : {true, false}) {
    policy.SetEnforcing(enforcing);
    const Result<Decision> decision = DecideStart(cache, question);
    REQUIRE_FALSE(decision.ok());
    CHECK(decision.error().code == code);
    CHECK(decision.error().message.find("vm-entrypoint policy install") != std::string::npos);
  }
}

TEST_CASE_FIXTURE(Fixture, "a kernel class that the policy lacks is an error too") {
  policy.RemoveClass("fd");
  CHECK(DecideStart(cache, question).error().code == "ERR_SELINUX_CLASS_UNKNOWN");
}

TEST_CASE_FIXTURE(Fixture, "a question without an object to boot from is an error") {
  question.objects.clear();
  CHECK_FALSE(DecideStart(cache, question).ok());
}

TEST_CASE("a reload before any one question: all are asked again, and all answers are the new policy's") {
  // How many questions a cold decision takes.
  Fixture counter;
  counter.Decide();
  const int questions = counter.policy.questions();
  REQUIRE(questions > 10);
  for (int at = 0; at < questions; ++at) {
    for (const bool announced : {true, false}) {
      CAPTURE(at);
      CAPTURE(announced);
      // Before: allowed. After: another domain, without an entrypoint.
      Fixture fixture;
      bool changed = false;
      fixture.policy.before = [&](int number) {
        if (number != at || changed) return;
        changed = true;
        const std::string other = "user_u:user_r:other_vm_t:s0:c1";
        fixture.policy.Transition(kClient, kDisk, other);
        fixture.policy.Deny(kDisk, kVm, "vm");
        fixture.policy.Allow(kClient, other, "vm", {"start"});
        fixture.policy.BeginReload();
        if (announced) fixture.policy.FinishReload();
      };
      const Result<Decision> decision = DecideStart(fixture.cache, fixture.question);
      REQUIRE(decision.ok());
      CHECK(changed);
      CHECK_FALSE(decision.value().allowed);
      if (!announced) continue;  // then the answer may still be wholly the old policy's domain, refused
      CHECK(decision.value().vm_context == "user_u:user_r:other_vm_t:s0:c1");
      CHECK(decision.value().policy_sequence == 4);
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "a policy that never stops changing is an error, after a bounded number of attempts") {
  policy.before = [this](int) { policy.Reload(); };
  const Result<Decision> decision = DecideStart(cache, question);
  REQUIRE_FALSE(decision.ok());
  CHECK(decision.error().code == "ERR_SELINUX_POLICY_CHANGED");
  CHECK(policy.questions() < 1000);
}

TEST_CASE_FIXTURE(Fixture, "the class disappears and comes back during the decision") {
  bool removed = false;
  policy.before = [&](int number) {
    if (number == 3 && !removed) {
      removed = true;
      policy.RemoveClass("vm");
      policy.Reload();
    } else if (removed && number == 4) {
      policy.SetClass("vm", {3, {"entrypoint", "start"}});
      policy.Reload();
    }
  };
  CHECK(Decide().allowed);
}

TEST_CASE("every question that fails is an error, with any errno, and never a grant") {
  Fixture counter;
  int calls = 0;
  counter.policy.fail = [&](const std::string&) {
    ++calls;
    return 0;
  };
  counter.Decide();
  const int total = calls;
  for (const int failure : {EACCES, EPERM, ENOMEM, EIO, EINTR, ENOENT, EMFILE}) {
    for (int at = 0; at < total; ++at) {
      Fixture fixture;
      int number = 0;
      std::string failed;
      fixture.policy.fail = [&](const std::string& name) {
        if (number++ != at) return 0;
        failed = name;
        return failure;
      };
      Result<Decision> decision = DecideStart(fixture.cache, fixture.question);
      CAPTURE(at);
      CAPTURE(failure);
      CAPTURE(failed);
      if (failed == "compute_create" && failure == EACCES) {
        // What the kernel says where no valid context comes out.
        REQUIRE(decision.ok());
        CHECK_FALSE(decision.value().allowed);
        CHECK(decision.value().refusal == Refusal::kNoTransition);
        continue;
      }
      REQUIRE_FALSE(decision.ok());
      CHECK(decision.error().errno_value == failure);
      // And the next one is not spoilt by what the failed one left.
      fixture.policy.fail = nullptr;
      CHECK(fixture.Decide().allowed);
    }
  }
}

TEST_CASE("a hot question left behind by a failed decision is empty") {
  Fixture fixture;
  ResolvedDecision resolved;
  fixture.policy.fail = [](const std::string& name) { return name == "compute_av" ? EIO : 0; };
  CHECK_FALSE(DecideStart(fixture.cache, fixture.question, &resolved).ok());
  CHECK(resolved.epoch.number == 0);
  CHECK(resolved.questions.empty());
  fixture.policy.fail = nullptr;
  REQUIRE(DecideStart(fixture.cache, fixture.question, &resolved).ok());
  CHECK(resolved.epoch.number != 0);
  CHECK(resolved.questions.size() == 9);
}

TEST_CASE_FIXTURE(Fixture, "the second decision asks the policy nothing") {
  Decide();
  const int asked = policy.questions();
  Decide();
  CHECK(policy.questions() == asked);
}

TEST_CASE("a decision with more contexts than the table holds is still right") {
  Fixture fixture;
  AccessCache small(fixture.policy, kMinCacheLimit);
  for (int i = 0; i < 200; ++i) {
    const std::string data = "system_u:object_r:data" + std::to_string(i) + "_t:s0";
    fixture.question.objects.push_back({"data", data, S_IFREG, false, false});
    fixture.policy.Allow(kClient, data, "file", {"getattr", "open", "read"});
    if (i != 150) fixture.policy.Allow(kVm, data, "file", {"getattr", "read"});
  }
  const Result<Decision> decision = DecideStart(small, fixture.question);
  REQUIRE(decision.ok());
  CHECK_FALSE(decision.value().allowed);
  CHECK(Denied(decision.value()).target == "system_u:object_r:data150_t:s0");
  CHECK(small.Statistics().bytes <= kMinCacheLimit);
}

TEST_CASE("a million decisions with fresh contexts take no more memory than the limit") {
  FakePolicy policy;
  AccessCache cache(policy, kMinCacheLimit);
  // A tenth of it here: each is refused after the first questions, and the figures are flat long before.
  size_t after_first_tenth = 0;
  for (int i = 0; i < 100'000; ++i) {
    StartQuestion question = UsualQuestion();
    question.objects[0].context = "system_u:object_r:disk_t:s0:c" + std::to_string(i);
    const Result<Decision> decision = DecideStart(cache, question);
    REQUIRE(decision.ok());
    if (i == 10'000) after_first_tenth = cache.Statistics().bytes;
  }
  CHECK(cache.Statistics().bytes <= kMinCacheLimit);
  CHECK(cache.Statistics().bytes <= after_first_tenth + 1024);
}

TEST_CASE("decisions on several threads while the policy changes: each is one policy's") {
  // Two policies that differ in everything: the domain and each rule. A mixture of both is refused,
  // or names the wrong domain with an allow.
  FakePolicy policy;
  AllowUsual(&policy);
  AccessCache cache(policy);
  const std::string other = "user_u:user_r:other_vm_t:s0:c1";
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0}, allowed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!stop) {
        const Result<Decision> decision = DecideStart(cache, UsualQuestion());
        if (!decision.ok()) {
          if (decision.error().code != "ERR_SELINUX_POLICY_CHANGED") ++wrong;
          continue;
        }
        if (decision.value().allowed) ++allowed;
        if (decision.value().allowed && decision.value().vm_context != kVm) ++wrong;
        if (!decision.value().allowed && decision.value().vm_context != other) ++wrong;
      }
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < 150; ++i) {
      policy.SetSequence(static_cast<uint32_t>(i * 2 + 5));  // odd: there is no state meanwhile
      if (i % 2 == 0) {
        policy.Transition(kClient, kDisk, other);
        policy.Deny(kDisk, kVm, "vm");
      } else {
        policy.Transition(kClient, kDisk, kVm);
        policy.Allow(kDisk, kVm, "vm", {"entrypoint"});
      }
      policy.BeginReload();
      policy.SetSequence(static_cast<uint32_t>(i * 2 + 6));
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    stop = true;
  });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(allowed > 0);
}

TEST_CASE_FIXTURE(Fixture, "audit records are in the kernel's words, and say no more than happened") {
  CHECK(AuditRecordsOf(Decide()).empty());

  policy.Deny(kDisk, kVm, "vm");
  policy.Reload();
  std::vector<AuditRecord> records = AuditRecordsOf(Decide());
  REQUIRE(records.size() == 1);
  CHECK(records[0].type == 1107);
  CHECK(records[0].text == "avc:  denied  { entrypoint } for  name=\"disk.raw\" scontext=" + kDisk +
                               " tcontext=" + kVm + " tclass=vm permissive=0");

  // In permissive mode the exec goes on, and the kernel logs its own part of it.
  policy.Deny(kLauncher, kVm, "process");
  policy.SetEnforcing(false);
  records = AuditRecordsOf(Decide());
  REQUIRE(records.size() == 1);
  CHECK(records[0].text.ends_with("tclass=vm permissive=1"));
  policy.SetEnforcing(true);
  CHECK(AuditRecordsOf(Decide()).size() == 2);

  // auditallow.
  policy.Allow(kLauncher, kVm, "process", {"transition"});
  policy.Allow(kDisk, kVm, "vm", {"entrypoint"});
  policy.SetAudit(1, 0xffffffff);
  policy.Reload();
  records = AuditRecordsOf(Decide());
  const auto granted = std::ranges::find_if(
      records, [](const AuditRecord& record) { return record.text.find("tclass=vm") != std::string::npos; });
  REQUIRE(granted != records.end());
  CHECK(granted->text ==
        "avc:  granted  { entrypoint } for  name=\"disk.raw\" scontext=" + kDisk + " tcontext=" + kVm + " tclass=vm");
}

TEST_CASE_FIXTURE(Fixture, "a name cannot add fields or lines to an audit record") {
  policy.Deny(kDisk, kVm, "vm");
  question.objects[0].name = "a\" scontext=x\nb";
  const std::vector<AuditRecord> records = AuditRecordsOf(Decide());
  REQUIRE(records.size() == 1);
  CHECK(records[0].text.find("name=612220") != std::string::npos);
  CHECK(records[0].text.find('\n') == std::string::npos);
  CHECK(records[0].text.find("scontext=x") == std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "a start without a domain and an unknown context are logged as errors of the policy") {
  policy.Transition(kClient, kDisk, "user_u:object_r:disk_t:s0");
  std::vector<AuditRecord> records = AuditRecordsOf(Decide());
  REQUIRE(records.size() == 1);
  CHECK(records[0].type == 1122);
  CHECK(records[0].text.find("reason=no_transition") != std::string::npos);
  policy.Invalidate(kEmulator);
  policy.Reload();
  records = AuditRecordsOf(Decide());
  CHECK(std::ranges::any_of(records, [](const AuditRecord& record) {
    return record.type == 1122 && record.text.find("invalid_context=\"" + kEmulator + "\"") != std::string::npos;
  }));
}
