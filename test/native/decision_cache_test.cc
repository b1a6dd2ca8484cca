// The cache: what it remembers, when it forgets, and that neither readers nor a full table ever get
// an answer that was given to another question.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "decision/access_question.h"
#include "decision_testing.h"

using namespace vmentry;
using namespace vmentry::decision;
using namespace vmentry::testing;

namespace {

std::string ContextNumber(unsigned i) { return "user_u:user_r:t" + std::to_string(i) + "_t:s0"; }

}  // namespace

TEST_CASE("a context has one number, and a number never comes to mean another context") {
  ContextTable table(16 * 1024);
  const ContextId first = table.Intern("a:b:c:s0");
  CHECK(table.Intern("a:b:c:s0") == first);
  CHECK(table.Intern("a:b:d:s0") != first);
  CHECK(table.TextOf(first) == "a:b:c:s0");
  CHECK_FALSE(table.TextOf(kNoContext).has_value());
  // Push it out.
  for (unsigned i = 0; i < 10'000; ++i) table.Intern(ContextNumber(i));
  CHECK_FALSE(table.TextOf(first).has_value());
  const ContextId again = table.Intern("a:b:c:s0");
  CHECK(again != first);
  CHECK_FALSE(table.TextOf(first).has_value());
}

TEST_CASE("a million fresh contexts take no more room than the limit") {
  ContextTable table(64 * 1024);
  for (unsigned i = 0; i < 1'000'000; ++i) table.Intern(ContextNumber(i));
  CHECK(table.bytes() <= 64 * 1024);
  CHECK(table.size() > 100);
  table.SetLimit(8 * 1024);
  CHECK(table.bytes() <= 8 * 1024);
}

TEST_CASE("a context in use survives a flood of fresh ones") {
  ContextTable table(64 * 1024);
  const ContextId used = table.Intern(kClient);
  for (unsigned i = 0; i < 100'000; ++i) {
    table.Intern(ContextNumber(i));
    if (i % 16 == 0) REQUIRE(table.Intern(kClient) == used);
  }
}

TEST_CASE("the second time, policy is not asked") {
  FakePolicy policy;
  policy.Allow(kClient, kVm, "vm", {"start"});
  AccessCache cache(policy);
  const Epoch epoch = cache.Begin().value();
  const Interned client = cache.Intern(kClient), vm = cache.Intern(kVm);
  const uint32_t first = cache.Access(epoch, client, vm, 3).value().allowed;
  const int asked = policy.questions();
  CHECK(cache.Access(epoch, client, vm, 3).value().allowed == first);
  CHECK(first == 2);
  CHECK(policy.questions() == asked);
  // Source, target and class all distinguish.
  CHECK(cache.Access(epoch, vm, client, 3).value().allowed == 0);
  CHECK(cache.Access(epoch, client, vm, 4).value().allowed == 0);
  CHECK(policy.questions() == asked + 2);
}

TEST_CASE("a reload and a setenforce void every answer") {
  FakePolicy policy;
  policy.Allow(kClient, kVm, "vm", {"start"});
  AccessCache cache(policy);
  const Interned client = cache.Intern(kClient), vm = cache.Intern(kVm);
  const Epoch before = cache.Begin().value();
  REQUIRE(cache.Access(before, client, vm, 3).value().allowed == 2);

  policy.Deny(kClient, kVm, "vm");
  AccessAnswer answer;
  Epoch peeked;
  REQUIRE(cache.FindAccess(before.number, client.id, vm.id, 3, &answer));
  SUBCASE("reload") { policy.Reload(); }
  SUBCASE("setenforce") { policy.SetEnforcing(false); }
  SUBCASE("flush") { cache.Flush(); }
  CHECK_FALSE(cache.IsCurrent(before));
  const Epoch after = cache.Begin().value();
  CHECK(after.number != before.number);
  REQUIRE(cache.Peek(&peeked));
  CHECK(peeked.number == after.number);
  CHECK_FALSE(cache.FindAccess(after.number, client.id, vm.id, 3, &answer));
  CHECK(cache.Access(after, client, vm, 3).value().allowed == 0);
}

TEST_CASE("an answer that arrives after the policy changed is neither kept nor used") {
  FakePolicy policy;
  policy.Allow(kClient, kVm, "vm", {"start"});
  AccessCache cache(policy);
  const Interned client = cache.Intern(kClient), vm = cache.Intern(kVm);
  const Epoch epoch = cache.Begin().value();
  policy.before = [&](int) { policy.Reload(); };
  const Result<AccessAnswer> answer = cache.Access(epoch, client, vm, 3);
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().code == "ERR_SELINUX_POLICY_CHANGED");
  policy.before = nullptr;
  AccessAnswer found;
  CHECK_FALSE(cache.FindAccess(epoch.number, client.id, vm.id, 3, &found));
  CHECK_FALSE(cache.FindAccess(cache.Begin().value().number, client.id, vm.id, 3, &found));
}

TEST_CASE("a new policy that answers before the status page says so begins a new epoch") {
  FakePolicy policy;
  AccessCache cache(policy);
  const Interned client = cache.Intern(kClient), vm = cache.Intern(kVm);
  const Epoch epoch = cache.Begin().value();
  REQUIRE(cache.Access(epoch, client, vm, 3).ok());
  policy.BeginReload();
  const Result<AccessAnswer> mixed = cache.Access(epoch, vm, client, 3);
  REQUIRE_FALSE(mixed.ok());
  CHECK(mixed.error().code == "ERR_SELINUX_POLICY_CHANGED");
  const Epoch next = cache.Begin().value();
  CHECK(next.sequence == epoch.sequence);
  CHECK(next.number != epoch.number);
  AccessAnswer answer;
  CHECK_FALSE(cache.FindAccess(next.number, client.id, vm.id, 3, &answer));
  CHECK(cache.Access(next, vm, client, 3).ok());
}

TEST_CASE("while the kernel changes the policy nothing is answered from the cache") {
  FakePolicy policy;
  AccessCache cache(policy);
  REQUIRE(cache.Begin().ok());
  policy.SetSequence(3);  // odd
  Epoch epoch;
  CHECK_FALSE(cache.Peek(&epoch));
}

TEST_CASE("a denial in permissive mode stays a denial") {
  FakePolicy policy;
  policy.SetEnforcing(false);
  AccessCache cache(policy);
  const Interned client = cache.Intern(kClient), vm = cache.Intern(kVm);
  const Epoch epoch = cache.Begin().value();
  for (int i = 0; i < 3; ++i) CHECK(cache.Access(epoch, client, vm, 3).value().allowed == 0);
}

TEST_CASE("a context the policy does not know is remembered as unknown") {
  FakePolicy policy;
  policy.Invalidate(kVm);
  AccessCache cache(policy);
  const Interned client = cache.Intern(kClient), vm = cache.Intern(kVm);
  const Epoch epoch = cache.Begin().value();
  for (int i = 0; i < 2; ++i) {
    const AccessAnswer answer = cache.Access(epoch, client, vm, 3).value();
    CHECK(answer.allowed == 0);
    CHECK_FALSE(answer.unknown_source);
    CHECK(answer.unknown_target);
  }
  CHECK(policy.access_questions() == 1);
}

TEST_CASE("EINVAL for two contexts that are known is a failure, not an answer") {
  FakePolicy policy;
  AccessCache cache(policy);
  const Epoch epoch = cache.Begin().value();
  policy.fail = [](const std::string& name) { return name == "compute_av" ? EINVAL : 0; };
  const Result<AccessAnswer> answer = cache.Access(epoch, cache.Intern(kClient), cache.Intern(kVm), 3);
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().errno_value == EINVAL);
}

TEST_CASE("ranges that do not meet give no new context, and are told from a question that failed") {
  for (const Rule rule : {Rule::kTransition, Rule::kChange}) {
    FakePolicy policy;
    AccessCache cache(policy);
    const Interned client = cache.Intern("user_u:user_r:client_t:s0-s3");
    const Interned disk = cache.Intern("system_u:object_r:disk_t:s5");
    policy.Disjoin(client.text, disk.text);
    const Epoch epoch = cache.Begin().value();
    const auto ask = [&] { return cache.NewContext(epoch, rule, client, disk, 3, nullptr); };

    // The control question is not understood either: nothing is known.
    policy.fail = [](const std::string& name) { return name.starts_with("compute") ? EINVAL : 0; };
    CHECK(ask().error().errno_value == EINVAL);
    // It cannot be asked.
    int asked = 0;
    policy.fail = [&](const std::string& name) { return name.starts_with("compute") && asked++ == 1 ? ENOMEM : 0; };
    CHECK(ask().error().errno_value == ENOMEM);
    policy.fail = nullptr;
    for (int i = 0; i < 2; ++i) {
      const NewContextAnswer answer = ask().value();
      CHECK(answer.context == kNoContext);
      CHECK(answer.disjoint_ranges);
      CHECK_FALSE(answer.unknown_source);
      CHECK_FALSE(answer.unknown_target);
    }
    CHECK(cache.Statistics().hits == 1);

    // A range meets itself.
    const Interned same = cache.Intern("system_u:object_r:disk_t:s0-s3");
    policy.Disjoin(client.text, same.text);
    CHECK(cache.NewContext(epoch, rule, client, same, 3, nullptr).error().errno_value == EINVAL);
    // Two that are known in a policy that has just come: it is asked again.
    const Interned other = cache.Intern("system_u:object_r:disk_t:s7");
    policy.Disjoin(client.text, other.text);
    policy.before = [&](int) { policy.SetSequence(4); };
    CHECK(cache.NewContext(epoch, rule, client, other, 3, nullptr).error().code == "ERR_SELINUX_POLICY_CHANGED");
  }
}

TEST_CASE("every failure to ask is an error, and leaves nothing behind") {
  for (const int failure : {EPERM, ENOMEM, EIO, EMFILE, ENOENT}) {
    FakePolicy policy;
    policy.Allow(kClient, kVm, "vm", {"start"});
    policy.Transition(kClient, kDisk, kVm);
    AccessCache cache(policy);
    const Interned client = cache.Intern(kClient), vm = cache.Intern(kVm), disk = cache.Intern(kDisk);
    const Epoch epoch = cache.Begin().value();
    policy.fail = [failure](const std::string&) { return failure; };
    CHECK(cache.Access(epoch, client, vm, 3).error().errno_value == failure);
    CHECK(cache.NewContext(epoch, Rule::kTransition, client, disk, 3, nullptr).error().errno_value == failure);
    CHECK(cache.Class(epoch, "vm").error().errno_value == failure);
    policy.SetSequence(8);
    CHECK(cache.Begin().error().errno_value == failure);
    policy.SetSequence(2);
    policy.fail = nullptr;
    AccessAnswer answer;
    CHECK_FALSE(cache.FindAccess(epoch.number, client.id, vm.id, 3, &answer));
    CHECK(cache.Access(cache.Begin().value(), client, vm, 3).value().allowed == 2);
  }
}

TEST_CASE("no rule, and a context that policy refuses, both give no new context") {
  FakePolicy policy;
  AccessCache cache(policy);
  const Interned client = cache.Intern(kClient), disk = cache.Intern(kDisk);
  SUBCASE("no rule") {}
  SUBCASE("permissive mode hands out an invalid context") {
    policy.Transition(kClient, kDisk, "user_u:user_r:disk_t:s0");
    policy.Invalidate("user_u:user_r:disk_t:s0");
  }
  const Epoch epoch = cache.Begin().value();
  for (int i = 0; i < 2; ++i) {
    const NewContextAnswer answer = cache.NewContext(epoch, Rule::kTransition, client, disk, 3, nullptr).value();
    CHECK(answer.context == kNoContext);
    CHECK_FALSE(answer.unknown_source);
  }
}

TEST_CASE("a new context whose text was evicted is computed again") {
  FakePolicy policy;
  policy.Transition(kClient, kDisk, kVm);
  AccessCache cache(policy, kMinCacheLimit);
  const Interned client = cache.Intern(kClient), disk = cache.Intern(kDisk);
  const Epoch epoch = cache.Begin().value();
  Interned vm;
  REQUIRE(cache.NewContext(epoch, Rule::kTransition, client, disk, 3, &vm).ok());
  CHECK(vm.text == kVm);
  for (unsigned i = 0; i < 10'000; ++i) cache.Intern(ContextNumber(i));
  Interned again;
  REQUIRE(cache.NewContext(epoch, Rule::kTransition, client, disk, 3, &again).ok());
  CHECK(again.text == kVm);
  CHECK(again.id != vm.id);
  CHECK(cache.Resolve(vm.id).error().code == "ERR_STALE_HANDLE");
}

TEST_CASE("a full table forgets, and never mixes answers up") {
  FakePolicy policy;
  AccessCache cache(policy, kMinCacheLimit);
  // The answer tells the question: class number, and which of many sources.
  constexpr unsigned kContexts = 40;
  for (unsigned i = 0; i < kContexts; ++i) {
    for (unsigned j = 0; j < kContexts; ++j) {
      if ((i * 7 + j) % 3 == 0) policy.Allow(ContextNumber(i), ContextNumber(j), "vm", {"start"});
      if ((i + j * 5) % 4 == 0) policy.Allow(ContextNumber(i), ContextNumber(j), "file", {"read"});
    }
  }
  const Epoch epoch = cache.Begin().value();
  std::vector<Interned> contexts;
  for (unsigned i = 0; i < kContexts; ++i) contexts.push_back(cache.Intern(ContextNumber(i)));
  for (int round = 0; round < 3; ++round) {
    for (unsigned i = 0; i < kContexts; ++i) {
      for (unsigned j = 0; j < kContexts; ++j) {
        REQUIRE(cache.Access(epoch, contexts[i], contexts[j], 3).value().allowed == ((i * 7 + j) % 3 == 0 ? 2u : 0u));
        REQUIRE(cache.Access(epoch, contexts[i], contexts[j], 1).value().allowed == ((i + j * 5) % 4 == 0 ? 4u : 0u));
      }
    }
  }
  const CacheStatistics statistics = cache.Statistics();
  CHECK(statistics.bytes <= kMinCacheLimit);
  CHECK(statistics.vectors <= kMinCacheLimit / 40);
  CHECK(statistics.misses > 3200);  // it did not all fit
}

TEST_CASE("a smaller limit takes effect at once, a larger one too") {
  FakePolicy policy;
  AccessCache cache(policy);
  const Epoch epoch = cache.Begin().value();
  for (unsigned i = 0; i < 5'000; ++i) {
    REQUIRE(cache.Access(epoch, cache.Intern(ContextNumber(i)), cache.Intern(kVm), 3).ok());
  }
  CHECK(cache.Statistics().vectors > 4'000);
  cache.SetLimit(kMinCacheLimit);
  CHECK(cache.Statistics().bytes <= kMinCacheLimit);
  CHECK(cache.Access(epoch, cache.Intern(kClient), cache.Intern(kVm), 3).ok());
  cache.SetLimit(kMaxCacheLimit);
  CHECK(cache.Access(epoch, cache.Intern(kClient), cache.Intern(kVm), 3).ok());
  cache.SetLimit(0);
  CHECK(cache.Statistics().bytes <= kMinCacheLimit);
}

TEST_CASE("a class is looked up once in an epoch, and anew in the next") {
  FakePolicy policy;
  AccessCache cache(policy);
  const Epoch epoch = cache.Begin().value();
  CHECK(cache.Class(epoch, "vm").value()->value == 3);
  const int asked = policy.questions();
  CHECK(cache.Class(epoch, "vm").value()->value == 3);
  CHECK(policy.questions() == asked);
  policy.SetClass("vm", {9, {"start", "entrypoint"}});
  policy.Reload();
  CHECK(cache.Class(epoch, "vm").error().code == "ERR_SELINUX_POLICY_CHANGED");
  CHECK(cache.Class(cache.Begin().value(), "vm").value()->value == 9);
  policy.RemoveClass("vm");
  policy.Reload();
  CHECK(cache.Class(cache.Begin().value(), "vm").error().code == "ERR_SELINUX_CLASS_UNKNOWN");
}

TEST_CASE("an access question means the same after classes and permissions were numbered anew") {
  FakePolicy policy;
  policy.Allow(kClient, kVm, "vm", {"stop"});
  AccessCache cache(policy);
  AccessQuestion question("vm", {"start", "stop"});
  const ContextId client = cache.Intern(kClient).id, vm = cache.Intern(kVm).id;
  uint32_t denied;
  CHECK_FALSE(question.FromCache(cache, client, vm, &denied));
  CHECK(question.Ask(cache, client, vm).value() == 1);
  REQUIRE(question.FromCache(cache, client, vm, &denied));
  CHECK(denied == 1);

  // `start` gets the bit that `stop` had.
  policy.Deny(kClient, kVm, "vm");
  policy.SetClass("vm", {11, {"stop", "entrypoint", "start"}});
  policy.Allow(kClient, kVm, "vm", {"stop"});
  policy.Reload();
  CHECK_FALSE(question.FromCache(cache, client, vm, &denied));
  CHECK(question.Ask(cache, client, vm).value() == 1);

  policy.SetClass("vm", {11, {"stop"}});
  policy.Reload();
  CHECK(question.Ask(cache, client, vm).error().code == "ERR_SELINUX_PERMISSION_UNKNOWN");
  CHECK_FALSE(question.FromCache(cache, client, vm, &denied));
  policy.RemoveClass("vm");
  policy.Reload();
  CHECK(question.Ask(cache, client, vm).error().code == "ERR_SELINUX_CLASS_UNKNOWN");
  CHECK(question.Ask(cache, kNoContext, vm).error().code == "ERR_STALE_HANDLE");
}

// A policy whose status page the test can turn over between any two looks at it.
class WatchedPolicy final : public policy::PolicySource {
 public:
  explicit WatchedPolicy(FakePolicy& policy) : policy_(policy) {}

  std::function<void()> on_look;  // called for each look, before it

  Result<policy::AvDecision> ComputeAv(const std::string& source, const std::string& target, uint16_t tclass) override {
    return policy_.ComputeAv(source, target, tclass);
  }
  Result<std::string> ComputeCreate(const std::string& source, const std::string& target, uint16_t tclass) override {
    return policy_.ComputeCreate(source, target, tclass);
  }
  Result<std::string> ComputeRelabel(const std::string& source, const std::string& target, uint16_t tclass) override {
    return policy_.ComputeRelabel(source, target, tclass);
  }
  Result<bool> CheckContext(const std::string& context) override { return policy_.CheckContext(context); }
  Result<policy::SecurityClass> LookupClass(std::string_view name) override { return policy_.LookupClass(name); }
  Result<selinux::PolicyState> State() override { return policy_.State(); }
  uint32_t SequenceNow() override {
    if (on_look) on_look();
    return policy_.SequenceNow();
  }

 private:
  FakePolicy& policy_;
};

TEST_CASE("a permission that the policy lacks is never granted, at whatever moment the policy is reloaded") {
  for (int moment = 0; moment < 20; ++moment) {
    CAPTURE(moment);
    FakePolicy policy;
    WatchedPolicy watched(policy);
    AccessCache cache(watched);
    policy.Allow(kClient, kVm, "vm", {"start"});
    const ContextId client = cache.Intern(kClient).id, vm = cache.Intern(kVm).id;
    // The vector is in the cache, so the epoch's end alone does not make the question fail.
    REQUIRE(AccessQuestion("vm", {"start"}).Ask(cache, client, vm).value() == 0);

    AccessQuestion question("vm", {"start", "control"});
    int look = 0;
    watched.on_look = [&] {
      if (look++ == moment) policy.Reload();
    };
    const Result<uint32_t> denied = question.Ask(cache, client, vm);
    REQUIRE_FALSE(denied.ok());
    CHECK(denied.error().code == "ERR_SELINUX_PERMISSION_UNKNOWN");
  }
}

// Run under ThreadSanitizer too.
TEST_CASE("threads that read while others write, reload and resize see only true answers") {
  FakePolicy policy;
  constexpr unsigned kContexts = 64;
  const auto allowed = [](unsigned i, unsigned j) { return (i * 31 + j * 17) % 5 < 2; };
  for (unsigned i = 0; i < kContexts; ++i) {
    for (unsigned j = 0; j < kContexts; ++j) {
      if (allowed(i, j)) policy.Allow(ContextNumber(i), ContextNumber(j), "vm", {"start"});
    }
  }
  AccessCache cache(policy, kMinCacheLimit);
  std::atomic<bool> stop{false};
  std::atomic<unsigned> wrong{0};
  std::atomic<uint64_t> answered{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(t + 1);
      AccessQuestion question("vm", {"start"});
      while (!stop.load(std::memory_order_relaxed)) {
        const unsigned i = static_cast<unsigned>(random()) % kContexts, j = static_cast<unsigned>(random()) % kContexts;
        const Interned source = cache.Intern(ContextNumber(i)), target = cache.Intern(ContextNumber(j));
        uint32_t denied;
        if (!question.FromCache(cache, source.id, target.id, &denied)) {
          const Result<uint32_t> asked = question.Ask(cache, source.id, target.id);
          // Two contexts of a table for some sixty may be evicted before they are used.
          if (!asked.ok()) continue;
          denied = asked.value();
        }
        if ((denied == 0) != allowed(i, j)) ++wrong;
        answered.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      policy.Reload();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      cache.Flush();
    }
  });
  threads.emplace_back([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      cache.SetLimit(kMinCacheLimit);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      cache.SetLimit(kMaxCacheLimit);
      cache.Statistics();
    }
  });
  std::this_thread::sleep_for(std::chrono::seconds(1));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(answered > 1000);
}
