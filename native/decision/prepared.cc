#include "decision/prepared.h"

#include <sys/stat.h>

#include <utility>

#include "decision/path_label.h"

namespace vmentry::decision {

Result<PreparedDecision> PreparedDecision::Make(const StartRequest& request) {
  if (request.boot_object >= request.objects.size()) {
    return Error::Coded("ERR_INVALID_ARG_VALUE", "A start needs an object to boot from");
  }
  VMENTRY_TRY(Gathered gathered, Gather(request));
  // Only the contexts are needed from here on.
  for (GatheredObject& object : gathered.objects) object.chain.members.clear();
  gathered.emulator.fd.Reset();
  PreparedDecision prepared(std::move(gathered));
  prepared.boot_object_ = request.boot_object;
  const ObjectRequest& boot = request.objects[request.boot_object];
  prepared.boot_format_ = boot.format;
  prepared.boot_read_only_ = boot.read_only;
  if (prepared.gathered_.evaluate) {
    VMENTRY_TRY(prepared.cache_, KernelAccessCache());
  }
  return prepared;
}

bool PreparedDecision::FromCache(const AccessCache& cache, const ResolvedDecision& resolved, uint32_t* verdict) {
  Epoch epoch;
  if (!cache.Peek(&epoch) || epoch.number != resolved.epoch.number) return false;
  NewContextAnswer domain;
  if (!cache.FindNewContext(epoch.number, resolved.rule, resolved.client, resolved.boot, resolved.vm_class, &domain) ||
      domain.context != resolved.new_context) {
    return false;
  }
  uint32_t bits = resolved.domain_verdict;
  for (const ResolvedQuestion& asked : resolved.questions) {
    AccessAnswer answer;
    if (!cache.FindAccess(epoch.number, asked.source, asked.target, asked.tclass, &answer)) return false;
    if ((asked.requested & ~answer.allowed) == 0) continue;
    if (answer.unknown_source || answer.unknown_target) {
      bits |= kVerdictInvalidContext;
    } else if (epoch.enforcing && !answer.permissive) {
      bits |= VerdictBit(asked.question);
    }
  }
  cache.CountHits(resolved.questions.size() + 1);
  *verdict = bits;
  return true;
}

Result<uint32_t> PreparedDecision::Ask(const StartQuestion& question, ResolvedDecision* resolved) {
  VMENTRY_TRY(const Decision decision, DecideStart(*cache_, question, resolved));
  return decision::VerdictOf(decision);
}

Result<uint32_t> PreparedDecision::Verdict() {
  if (cache_ == nullptr) return 0u;
  uint32_t verdict;
  if (FromCache(*cache_, resolved_, &verdict)) return verdict;
  return Ask(gathered_.question, &resolved_);
}

Result<uint32_t> PreparedDecision::VerdictOn(const std::string& path) {
  if (cache_ == nullptr) return 0u;
  if (boot_format_ != disk::Format::kRaw) {
    // A chain: its members are named by headers that have to be read.
    VMENTRY_TRY(const disk::ImageChain chain,
                disk::OpenChain({path, -1, boot_format_, boot_read_only_}, gathered_.labels));
    ResolvedDecision unused;
    return Ask(WithBootChain(gathered_, boot_object_, chain), &unused);
  }
  VMENTRY_TRY(const PathLabel label, ReadPathLabel(path));
  // Two classes, so one bit beside the number.
  const uint64_t key = cache_->contexts().Intern(label.context) << 1 | uint64_t{S_ISBLK(label.mode)};
  if (const auto known = by_boot_context_.find(key); known != by_boot_context_.end()) {
    uint32_t verdict;
    if (FromCache(*cache_, known->second, &verdict)) return verdict;
  }
  if (by_boot_context_.size() >= kMaxBootContexts) by_boot_context_.clear();
  return Ask(WithBootImage(gathered_, boot_object_, path, label.context, label.mode, boot_read_only_),
             &by_boot_context_[key]);
}

Result<Decision> PreparedDecision::Decide() const { return decision::Decide(gathered_); }

}  // namespace vmentry::decision
