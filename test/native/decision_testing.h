// A policy in memory for the tests of the decision: its rules are set by the test, it can change
// between two questions, and each question can be made to fail.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "decision/access_cache.h"
#include "decision/start_decision.h"
#include "policy/policy_source.h"

namespace vmentry::testing {

inline const std::vector<std::string> kFilePermissions = {"getattr", "open", "read",       "write",           "lock",
                                                          "execute", "map",  "entrypoint", "execute_no_trans"};

class FakePolicy final : public policy::PolicySource {
 public:
  FakePolicy() {
    classes_["file"] = {1, kFilePermissions};
    classes_["blk_file"] = {2, kFilePermissions};
    classes_["vm"] = {3, {"entrypoint", "start", "stop", "restore", "migrate_in"}};
    classes_["process"] = {4, {"setexec", "transition"}};
    classes_["process2"] = {5, {"nnp_transition", "nosuid_transition"}};
    classes_["fd"] = {6, {"use"}};
    classes_["unix_stream_socket"] = {7, kFilePermissions};
  }

  // --- What the test says -------------------------------------------------------------------

  void Allow(const std::string& source, const std::string& target, const std::string& tclass,
             const std::vector<std::string>& permissions) {
    std::lock_guard lock(mutex_);
    const policy::SecurityClass& found = classes_.at(tclass);
    for (const std::string& permission : permissions)
      allowed_[{source, target, found.value}] |= found.BitOf(permission);
  }
  void Deny(const std::string& source, const std::string& target, const std::string& tclass) {
    std::lock_guard lock(mutex_);
    allowed_.erase({source, target, classes_.at(tclass).value});
  }
  void Transition(const std::string& source, const std::string& target, const std::string& result) {
    std::lock_guard lock(mutex_);
    transitions_[{source, target}] = result;
  }
  void Change(const std::string& source, const std::string& target, const std::string& result) {
    std::lock_guard lock(mutex_);
    changes_[{source, target}] = result;
  }
  void Invalidate(const std::string& context) {
    std::lock_guard lock(mutex_);
    invalid_.insert(context);
  }
  // No new context comes out of these two: their ranges do not meet.
  void Disjoin(const std::string& source, const std::string& target) {
    std::lock_guard lock(mutex_);
    disjoint_.insert({source, target});
  }
  void MakePermissive(const std::string& source) {
    std::lock_guard lock(mutex_);
    permissive_.insert(source);
  }
  void SetAudit(uint32_t allow, uint32_t deny) {
    audit_allow_ = allow;
    audit_deny_ = deny;
  }
  void SetClass(const std::string& name, policy::SecurityClass tclass) {
    std::lock_guard lock(mutex_);
    classes_[name] = std::move(tclass);
  }
  void RemoveClass(const std::string& name) {
    std::lock_guard lock(mutex_);
    classes_.erase(name);
  }
  void SetEnforcing(bool enforcing) {
    enforcing_ = enforcing;
    sequence_ += 2;
  }
  void Reload() {
    ++policyload_;
    sequence_ += 2;
  }
  // The kernel's order: first the new policy answers, then the status page says so.
  void BeginReload() { ++policyload_; }
  void FinishReload() { sequence_ += 2; }
  void SetSequence(uint32_t sequence) { sequence_ = sequence; }

  // Called before each question (of any kind but State), with its number: may change the policy.
  std::function<void(int question)> before;
  // Called for each question with its name; what it returns instead of 0 is the errno to fail with.
  std::function<int(const std::string& name)> fail;

  int questions() const { return questions_; }
  int access_questions() const { return access_questions_; }

  // --- What the decision sees ----------------------------------------------------------------

  Result<policy::AvDecision> ComputeAv(const std::string& source, const std::string& target, uint16_t tclass) override {
    ++access_questions_;
    if (const int failure = Arrive("compute_av"); failure != 0) return Error::System("compute_av", failure);
    std::lock_guard lock(mutex_);
    if (invalid_.contains(source) || invalid_.contains(target)) return Error::System("compute_av", EINVAL);
    policy::AvDecision decision = {};
    const auto rule = allowed_.find({source, target, tclass});
    decision.allowed = rule == allowed_.end() ? 0 : rule->second;
    decision.decided = 0xffffffff;
    decision.auditallow = audit_allow_;
    decision.auditdeny = audit_deny_;
    decision.seqno = policyload_;
    decision.flags = permissive_.contains(source) ? selinux::kAvdFlagsPermissive : 0;
    return decision;
  }
  Result<std::string> ComputeCreate(const std::string& source, const std::string& target, uint16_t) override {
    if (const int failure = Arrive("compute_create"); failure != 0) return Error::System("compute_create", failure);
    return FromRules(transitions_, source, target);
  }
  Result<std::string> ComputeRelabel(const std::string& source, const std::string& target, uint16_t) override {
    if (const int failure = Arrive("compute_relabel"); failure != 0) return Error::System("compute_relabel", failure);
    return FromRules(changes_, source, target);
  }
  Result<bool> CheckContext(const std::string& context) override {
    if (const int failure = Arrive("check_context"); failure != 0) return Error::System("check_context", failure);
    std::lock_guard lock(mutex_);
    return !invalid_.contains(context);
  }
  Result<policy::SecurityClass> LookupClass(std::string_view name) override {
    if (const int failure = Arrive("lookup_class"); failure != 0) return Error::System("lookup_class", failure);
    std::lock_guard lock(mutex_);
    const auto found = classes_.find(std::string(name));
    if (found == classes_.end()) return Error::Coded("ERR_SELINUX_CLASS_UNKNOWN", "no such class");
    return found->second;
  }
  Result<selinux::PolicyState> State() override {
    if (fail) {
      if (const int failure = fail("state"); failure != 0) return Error::System("state", failure);
    }
    // As the status page is read: odd says that a change is under way, and there is no state meanwhile.
    selinux::PolicyState state;
    state.sequence = sequence_;
    state.enforcing = enforcing_;
    state.policyload = policyload_;
    if ((state.sequence & 1) != 0 || sequence_ != state.sequence) {
      return Error::Coded("ERR_SELINUX_POLICY_CHANGED", "changing");
    }
    return state;
  }
  uint32_t SequenceNow() override { return sequence_; }

 private:
  using Pair = std::pair<std::string, std::string>;

  int Arrive(const char* name) {
    const int number = questions_++;
    if (before) before(number);
    return fail ? fail(name) : 0;
  }
  Result<std::string> FromRules(const std::map<Pair, std::string>& rules, const std::string& source,
                                const std::string& target) {
    std::lock_guard lock(mutex_);
    if (invalid_.contains(source) || invalid_.contains(target)) return Error::System("compute_create", EINVAL);
    if (disjoint_.contains({source, target})) return Error::System("compute_create", EINVAL);
    const auto rule = rules.find({source, target});
    if (rule == rules.end()) return Error::System("compute_create", EACCES);
    return rule->second;
  }

  std::mutex mutex_;
  std::map<std::string, policy::SecurityClass> classes_;
  std::map<std::tuple<std::string, std::string, uint16_t>, uint32_t> allowed_;
  std::map<Pair, std::string> transitions_;
  std::map<Pair, std::string> changes_;
  std::set<std::string> invalid_;
  std::set<Pair> disjoint_;
  std::set<std::string> permissive_;
  std::atomic<uint32_t> audit_allow_{0};
  std::atomic<uint32_t> audit_deny_{0xffffffff};
  std::atomic<bool> enforcing_{true};
  std::atomic<uint32_t> sequence_{2};
  std::atomic<uint32_t> policyload_{1};
  std::atomic<int> questions_{0};
  std::atomic<int> access_questions_{0};
};

// The contexts of the usual question, and a policy that allows it.
inline const std::string kClient = "user_u:user_r:client_t:s0-s0:c0.c7";
inline const std::string kLauncher = "system_u:system_r:launcher_t:s0-s0:c0.c7";
inline const std::string kDisk = "system_u:object_r:disk_t:s0:c1";
inline const std::string kVm = "user_u:user_r:vm_t:s0:c1";
inline const std::string kEmulator = "system_u:object_r:qemu_exec_t:s0";

inline decision::StartQuestion UsualQuestion() {
  decision::StartQuestion question;
  question.client = kClient;
  question.launcher = kLauncher;
  question.objects.push_back({"disk.raw", kDisk, S_IFREG, true, true});
  question.emulator.push_back({"/usr/bin/qemu", kEmulator, false});
  return question;
}

inline void AllowUsual(FakePolicy* policy) {
  policy->Transition(kClient, kDisk, kVm);
  policy->Allow(kClient, kDisk, "file", {"getattr", "open", "read", "write", "lock"});
  policy->Allow(kDisk, kVm, "vm", {"entrypoint"});
  policy->Allow(kClient, kVm, "vm", {"start"});
  policy->Allow(kLauncher, kLauncher, "process", {"setexec"});
  policy->Allow(kLauncher, kVm, "process", {"transition"});
  policy->Allow(kLauncher, kEmulator, "file", {"execute", "open", "read"});
  policy->Allow(kVm, kEmulator, "file", {"entrypoint", "execute", "map", "read"});
  policy->Allow(kVm, kLauncher, "fd", {"use"});
  policy->Allow(kVm, kDisk, "file", {"getattr", "read", "write", "lock"});
}

}  // namespace vmentry::testing
