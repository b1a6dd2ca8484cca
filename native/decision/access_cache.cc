#include "decision/access_cache.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <utility>

#include "decision/context_fields.h"

namespace vmentry::decision {
namespace {

// Of the byte limit, one quarter is for the texts of contexts.
constexpr size_t kContextShare = 4;
constexpr uint32_t kLastEpoch = 0x7fffffff;

enum Kind : uint64_t { kAccess = 1, kTransition = 2, kChange = 3 };
constexpr uint64_t kPermissiveFlag = 1;
constexpr uint64_t kUnknownSourceFlag = 2;
constexpr uint64_t kUnknownTargetFlag = 4;
constexpr uint64_t kDisjointRangesFlag = 8;

template <typename T>
T Load(T& word, std::memory_order order = std::memory_order_acquire) {
  return std::atomic_ref<T>(word).load(order);
}
// Release, so that whoever sees the word also sees the odd version that was written before it.
template <typename T>
void Put(T& word, T value) {
  std::atomic_ref<T>(word).store(value, std::memory_order_release);
}

uint64_t Pack(const Epoch& epoch) {
  return uint64_t{epoch.sequence} << 32 | uint64_t{epoch.number} << 1 | uint64_t{epoch.enforcing};
}
Epoch Unpack(uint64_t packed) {
  return {static_cast<uint32_t>(packed >> 1) & kLastEpoch, static_cast<uint32_t>(packed >> 32), (packed & 1) != 0};
}

Error Changed() {
  return Error::Coded("ERR_SELINUX_POLICY_CHANGED", "The policy changed while it was asked: try again");
}

AccessAnswer AccessFrom(uint64_t first, uint64_t second) {
  AccessAnswer answer;
  answer.allowed = static_cast<uint32_t>(first);
  answer.audit_denied = static_cast<uint32_t>(first >> 32);
  answer.audit_granted = static_cast<uint32_t>(second);
  const uint64_t flags = second >> 32;
  answer.permissive = (flags & kPermissiveFlag) != 0;
  answer.unknown_source = (flags & kUnknownSourceFlag) != 0;
  answer.unknown_target = (flags & kUnknownTargetFlag) != 0;
  return answer;
}

NewContextAnswer NewContextFrom(uint64_t first, uint64_t second) {
  return {first, (second & kUnknownSourceFlag) != 0, (second & kUnknownTargetFlag) != 0,
          (second & kDisjointRangesFlag) != 0};
}

}  // namespace

AccessCache::AccessCache(policy::PolicySource& source, size_t limit_bytes)
    : source_(source),
      contexts_(std::clamp(limit_bytes, kMinCacheLimit, kMaxCacheLimit) / kContextShare),
      // Zeroed pages come from the kernel on first touch, so the unused rest costs address space
      // only. Null (no memory): everything is asked, nothing remembered.
      sets_(static_cast<Set*>(std::calloc(SetsFor(kMaxCacheLimit), sizeof(Set)))),
      set_mask_(SetsFor(std::clamp(limit_bytes, kMinCacheLimit, kMaxCacheLimit)) - 1) {}

AccessCache::~AccessCache() { std::free(sets_); }

size_t AccessCache::SetsFor(size_t limit_bytes) {
  return std::bit_floor((limit_bytes - limit_bytes / kContextShare) / sizeof(Set));
}

AccessCache::Key AccessCache::AccessKey(ContextId source, ContextId target, uint16_t tclass) {
  return {source << 16 | tclass, target << 8 | kAccess};
}

AccessCache::Key AccessCache::NewContextKey(Rule rule, ContextId source, ContextId target, uint16_t tclass) {
  return {source << 16 | tclass, target << 8 | (rule == Rule::kChange ? kChange : kTransition)};
}

size_t AccessCache::HashOf(const Key& key) {
  // Ids are small and consecutive: multiply each word by an odd constant, fold the high bits down.
  uint64_t hash = key.first * 0x9e3779b97f4a7c15u ^ key.second * 0xc2b2ae3d27d4eb4fu;
  hash ^= hash >> 32;
  return hash * 0x9e3779b97f4a7c15u >> 24;
}

bool AccessCache::Find(uint32_t epoch, const Key& key, Value* value) const {
  if (sets_ == nullptr) return false;
  Set& set = sets_[HashOf(key) & set_mask_.load(std::memory_order_relaxed)];
  for (Entry& entry : set.ways) {
    const uint32_t version = Load(entry.version);
    if (Load(entry.key.first) != key.first || Load(entry.key.second) != key.second || Load(entry.epoch) != epoch) {
      continue;
    }
    value->first = Load(entry.value.first);
    value->second = Load(entry.value.second);
    // Acquire loads stay in order: this one comes after everything above was read.
    return (version & 1) == 0 && Load(entry.version) == version;
  }
  return false;
}

void AccessCache::Write(Entry* entry, uint32_t epoch, const Key& key, const Value& value) {
  // mutex_ keeps other writers away.
  const uint32_t version = Load(entry->version, std::memory_order_relaxed);
  Put(entry->version, version + 1);
  Put(entry->epoch, epoch);
  Put(entry->key.first, key.first);
  Put(entry->key.second, key.second);
  Put(entry->value.first, value.first);
  Put(entry->value.second, value.second);
  Put(entry->version, version + 2);
}

bool AccessCache::IsCurrentLocked(const Epoch& epoch) const {
  return epoch_.load(std::memory_order_relaxed) == Pack(epoch) && source_.SequenceNow() == epoch.sequence;
}

bool AccessCache::Store(const Epoch& epoch, const Key& key, const Value& value, uint32_t policy_seqno) {
  std::lock_guard lock(mutex_);
  if (!IsCurrentLocked(epoch)) return false;
  if (policy_seqno != 0 && policy_seqno != policy_seqno_) {
    // The kernel puts a new policy into force, waits for all readers of the old one, and only then
    // says so on the status page. In between, its answers carry a number that tells.
    const bool newer = policy_seqno_ != 0 && static_cast<int32_t>(policy_seqno - policy_seqno_) > 0;
    if (policy_seqno_ != 0) {
      if (newer) StartEpoch(state_);
      if (newer) policy_seqno_ = policy_seqno;
      return false;
    }
    policy_seqno_ = policy_seqno;
  }
  if (sets_ == nullptr) return true;
  Set& set = sets_[HashOf(key) & set_mask_.load(std::memory_order_relaxed)];
  Entry* victim = nullptr;
  for (Entry& entry : set.ways) {
    const bool same = Load(entry.key.first) == key.first && Load(entry.key.second) == key.second;
    if (same || (victim == nullptr && Load(entry.epoch) != epoch.number)) victim = &entry;
    if (same) break;
  }
  // All four are of use: which one goes is of no consequence, as long as it is not always the same.
  if (victim == nullptr) victim = &set.ways[victim_++ % kWays];
  Write(victim, epoch.number, key, value);
  return true;
}

void AccessCache::StartEpoch(const selinux::PolicyState& state) {
  Epoch epoch = Unpack(epoch_.load(std::memory_order_relaxed));
  if (epoch.number == kLastEpoch) {
    // The numbers start again: nothing may be left that carries one of them.
    epoch.number = 0;
    for (size_t i = 0; sets_ != nullptr && i <= set_mask_.load(std::memory_order_relaxed); ++i) {
      for (Entry& entry : sets_[i].ways) Write(&entry, 0, {0, 0}, {0, 0});
    }
  }
  ++epoch.number;
  epoch.sequence = state.sequence;
  epoch.enforcing = state.enforcing;
  state_ = state;
  policy_seqno_ = 0;
  classes_.clear();
  epoch_.store(Pack(epoch), std::memory_order_release);
}

bool AccessCache::Peek(Epoch* epoch) const {
  *epoch = Unpack(epoch_.load(std::memory_order_acquire));
  return epoch->number != 0 && source_.SequenceNow() == epoch->sequence;
}

Result<Epoch> AccessCache::Begin() {
  Epoch epoch;
  if (Peek(&epoch)) return epoch;
  std::lock_guard lock(mutex_);
  VMENTRY_TRY(const selinux::PolicyState state, source_.State());
  const Epoch current = Unpack(epoch_.load(std::memory_order_relaxed));
  // Another thread may have been here first.
  if (current.number == 0 || current.sequence != state.sequence) StartEpoch(state);
  return Unpack(epoch_.load(std::memory_order_relaxed));
}

bool AccessCache::IsCurrent(const Epoch& epoch) const {
  return epoch_.load(std::memory_order_acquire) == Pack(epoch) && source_.SequenceNow() == epoch.sequence;
}

bool AccessCache::FindAccess(uint32_t epoch, ContextId source, ContextId target, uint16_t tclass,
                             AccessAnswer* answer) const {
  Value value;
  if (!Find(epoch, AccessKey(source, target, tclass), &value)) return false;
  *answer = AccessFrom(value.first, value.second);
  return true;
}

bool AccessCache::FindNewContext(uint32_t epoch, Rule rule, ContextId source, ContextId target, uint16_t tclass,
                                 NewContextAnswer* answer) const {
  Value value;
  if (!Find(epoch, NewContextKey(rule, source, target, tclass), &value)) return false;
  *answer = NewContextFrom(value.first, value.second);
  return true;
}

Status AccessCache::FindUnknown(const std::string& source, const std::string& target, bool* unknown_source,
                                bool* unknown_target) {
  VMENTRY_TRY(const bool source_known, source_.CheckContext(source));
  VMENTRY_TRY(const bool target_known, source_.CheckContext(target));
  *unknown_source = !source_known;
  *unknown_target = !target_known;
  return Ok();
}

Result<std::string> AccessCache::Compute(Rule rule, const std::string& source, const std::string& target,
                                         uint16_t tclass) {
  return rule == Rule::kChange ? source_.ComputeRelabel(source, target, tclass)
                               : source_.ComputeCreate(source, target, tclass);
}

// The kernel says EINVAL to that too, and not which of its reasons it was. So the same is asked about a target with
// the range of the source: a range meets itself, and with role object_r any type and user may have it.
Result<bool> AccessCache::RangesAreDisjoint(Rule rule, const std::string& source, const std::string& target,
                                            uint16_t tclass) {
  ContextFields fields = ContextFields::Of(target);
  const std::string_view range = ContextFields::Of(source).range;
  if (fields.range == range) return false;
  fields.range = range;
  const Result<std::string> asked = Compute(rule, source, fields.Join(), tclass);
  if (asked.ok() || (asked.error().code.empty() && asked.error().errno_value == EACCES)) return true;
  if (asked.error().code.empty() && asked.error().errno_value == EINVAL) return false;
  return asked.error();
}

Result<Interned> AccessCache::Resolve(ContextId id) const {
  std::optional<std::string> text = contexts_.TextOf(id);
  if (!text) {
    return Error::Coded("ERR_STALE_HANDLE", "The context with number " + std::to_string(id) +
                                                " is no longer in the table: intern it again");
  }
  return Interned{std::move(*text), id};
}

Result<AccessAnswer> AccessCache::Access(const Epoch& epoch, const Interned& source, const Interned& target,
                                         uint16_t tclass) {
  AccessAnswer answer;
  if (FindAccess(epoch.number, source.id, target.id, tclass, &answer)) {
    CountHits(1);
    return answer;
  }
  misses_.fetch_add(1, std::memory_order_relaxed);
  const Result<policy::AvDecision> asked = source_.ComputeAv(source.text, target.text, tclass);
  uint32_t policy_seqno = 0;
  if (asked.ok()) {
    const policy::AvDecision& av = asked.value();
    answer.allowed = av.allowed;
    answer.audit_granted = av.auditallow;
    answer.audit_denied = av.auditdeny;
    answer.permissive = (av.flags & selinux::kAvdFlagsPermissive) != 0;
    policy_seqno = av.seqno;
  } else if (asked.error().code.empty() && asked.error().errno_value == EINVAL) {
    VMENTRY_CHECK(FindUnknown(source.text, target.text, &answer.unknown_source, &answer.unknown_target));
    if (!answer.unknown_source && !answer.unknown_target) {
      // Both are known, and still the question was invalid: either the policy (and with it the
      // number of the class) has just changed, or it could not be evaluated.
      if (!IsCurrent(epoch)) return Changed();
      return asked.error();
    }
  } else {
    return asked.error();
  }
  const Value value = {uint64_t{answer.audit_denied} << 32 | answer.allowed,
                       ((answer.permissive ? kPermissiveFlag : 0) | (answer.unknown_source ? kUnknownSourceFlag : 0) |
                        (answer.unknown_target ? kUnknownTargetFlag : 0))
                               << 32 |
                           answer.audit_granted};
  if (!Store(epoch, AccessKey(source.id, target.id, tclass), value, policy_seqno)) return Changed();
  return answer;
}

Result<NewContextAnswer> AccessCache::NewContext(const Epoch& epoch, Rule rule, const Interned& source,
                                                 const Interned& target, uint16_t tclass, Interned* context) {
  NewContextAnswer answer;
  if (FindNewContext(epoch.number, rule, source.id, target.id, tclass, &answer)) {
    std::optional<std::string> text;
    if (context != nullptr && answer.context != kNoContext) text = contexts_.TextOf(answer.context);
    if (text) *context = {std::move(*text), answer.context};
    // The number is remembered but its text was evicted: ask again.
    if (text || context == nullptr || answer.context == kNoContext) {
      CountHits(1);
      return answer;
    }
    answer = {};
  }
  misses_.fetch_add(1, std::memory_order_relaxed);
  const Result<std::string> asked = Compute(rule, source.text, target.text, tclass);
  if (asked.ok()) {
    // In permissive mode the kernel hands out contexts that it would refuse otherwise.
    VMENTRY_TRY(const bool valid, source_.CheckContext(asked.value()));
    if (valid) answer.context = contexts_.Intern(asked.value());
    if (valid && context != nullptr) *context = {asked.value(), answer.context};
  } else if (asked.error().code.empty() && asked.error().errno_value == EINVAL) {
    VMENTRY_CHECK(FindUnknown(source.text, target.text, &answer.unknown_source, &answer.unknown_target));
    if (!answer.unknown_source && !answer.unknown_target) {
      if (!IsCurrent(epoch)) return Changed();
      VMENTRY_TRY(answer.disjoint_ranges, RangesAreDisjoint(rule, source.text, target.text, tclass));
      if (!answer.disjoint_ranges) return asked.error();
    }
  } else if (!(asked.error().code.empty() && asked.error().errno_value == EACCES)) {
    return asked.error();
  }
  const Value value = {answer.context, (answer.unknown_source ? kUnknownSourceFlag : 0) |
                                           (answer.unknown_target ? kUnknownTargetFlag : 0) |
                                           (answer.disjoint_ranges ? kDisjointRangesFlag : 0)};
  if (!Store(epoch, NewContextKey(rule, source.id, target.id, tclass), value, 0)) return Changed();
  return answer;
}

Result<std::shared_ptr<const policy::SecurityClass>> AccessCache::Class(const Epoch& epoch, std::string_view name) {
  {
    std::lock_guard lock(mutex_);
    if (!IsCurrentLocked(epoch)) return Changed();
    if (const auto found = classes_.find(name); found != classes_.end()) return found->second;
  }
  VMENTRY_TRY(policy::SecurityClass asked, source_.LookupClass(name));
  auto found = std::make_shared<const policy::SecurityClass>(std::move(asked));
  std::lock_guard lock(mutex_);
  if (!IsCurrentLocked(epoch)) return Changed();
  classes_.insert_or_assign(std::string(name), found);
  return found;
}

void AccessCache::Flush() {
  std::lock_guard lock(mutex_);
  // Before the first question there is nothing to void, and no state to begin an epoch with.
  if (epoch_.load(std::memory_order_relaxed) != 0) StartEpoch(state_);
}

void AccessCache::SetLimit(size_t limit_bytes) {
  const size_t limit = std::clamp(limit_bytes, kMinCacheLimit, kMaxCacheLimit);
  contexts_.SetLimit(limit / kContextShare);
  std::lock_guard lock(mutex_);
  const size_t before = set_mask_.load(std::memory_order_relaxed) + 1;
  const size_t now = SetsFor(limit);
  set_mask_.store(now - 1, std::memory_order_relaxed);
  if (sets_ == nullptr || now >= before) return;
  // Hands the tail back. Readers that still use the old mask see old entries or zeros, and zeros
  // match no question: kAccess and its siblings are never 0, nor is an epoch. Should the kernel
  // refuse, the memory stays resident and nothing else changes.
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(sets_ + now) + page - 1) & ~(page - 1);
  const uintptr_t end = reinterpret_cast<uintptr_t>(sets_ + before) & ~(page - 1);
  if (begin < end) (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void AccessCache::CountHits(uint64_t count) const {
  hits_.store(hits_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
}

CacheStatistics AccessCache::Statistics() const {
  CacheStatistics statistics;
  statistics.contexts = contexts_.size();
  statistics.hits = hits_.load(std::memory_order_relaxed);
  statistics.misses = misses_.load(std::memory_order_relaxed);
  const size_t sets = sets_ == nullptr ? 0 : set_mask_.load(std::memory_order_relaxed) + 1;
  statistics.bytes = contexts_.bytes() + sets * sizeof(Set);
  const uint32_t epoch = Unpack(epoch_.load(std::memory_order_acquire)).number;
  for (size_t i = 0; epoch != 0 && i < sets; ++i) {
    for (Entry& entry : sets_[i].ways) {
      if (Load(entry.epoch) != epoch) continue;
      if ((Load(entry.key.second) & 0xff) == kAccess) {
        ++statistics.vectors;
      } else {
        ++statistics.transitions;
      }
    }
  }
  return statistics;
}

namespace {
std::mutex g_kernel_cache_mutex;
size_t g_kernel_cache_limit = kDefaultCacheLimit;  // LOCKED(g_kernel_cache_mutex)
std::atomic<AccessCache*> g_kernel_cache{nullptr};
}  // namespace

AccessCache* KernelAccessCacheIfMade() { return g_kernel_cache.load(std::memory_order_acquire); }

Result<AccessCache*> KernelAccessCache() {
  if (AccessCache* made = KernelAccessCacheIfMade()) return made;
  VMENTRY_TRY(policy::PolicySource* const source, policy::KernelPolicySource());
  std::lock_guard lock(g_kernel_cache_mutex);
  if (AccessCache* made = KernelAccessCacheIfMade()) return made;
  // Never destroyed: threads may still ask while the process exits.
  auto* cache = new AccessCache(*source, g_kernel_cache_limit);
  g_kernel_cache.store(cache, std::memory_order_release);
  return cache;
}

void SetKernelAccessCacheLimit(size_t limit_bytes) {
  std::lock_guard lock(g_kernel_cache_mutex);
  g_kernel_cache_limit = limit_bytes;
  if (AccessCache* made = KernelAccessCacheIfMade()) made->SetLimit(limit_bytes);
}

}  // namespace vmentry::decision
