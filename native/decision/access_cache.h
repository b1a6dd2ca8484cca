// AccessCache: what the policy has answered, for as long as that policy is loaded. Shared by every
// Worker of the process. Its own, not libselinux's: that one has no locks, never frees a context, and
// forgets in permissive mode that something was denied.
//
// Each entry carries the epoch it was answered in; a reload or setenforce begins a new epoch, and
// with that every older answer is void at once, without anybody having to clear anything.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "core/result.h"
#include "decision/context_table.h"
#include "policy/policy_source.h"

namespace vmentry::decision {

enum class Rule : uint8_t { kTransition, kChange };

// One policy in one mode. Everything that belongs to one decision is asked in one epoch.
struct Epoch {
  uint32_t number = 0;    // 0: none
  uint32_t sequence = 0;  // of the status page
  bool enforcing = true;
};

struct AccessAnswer {
  uint32_t allowed = 0;
  uint32_t audit_granted = 0;   // granted permissions of these bits are to be logged
  uint32_t audit_denied = 0;    // refused ones are logged unless their bit is missing here
  bool permissive = false;      // the source's type is permissive
  bool unknown_source = false;  // the policy does not know the context: nothing is allowed
  bool unknown_target = false;
};

struct NewContextAnswer {
  ContextId context = kNoContext;  // none: no valid context comes out of policy for this pair
  bool unknown_source = false;
  bool unknown_target = false;
  bool disjoint_ranges = false;  // none because the ranges of the two do not meet (mls)
};

// How often what belongs to one epoch is asked again because the epoch ended meanwhile. A reload takes the
// kernel some ten milliseconds, a decision some microseconds.
inline constexpr int kAttempts = 16;

// A context with its number. Having the text at hand, a question can be asked even when the table
// was too small to keep it.
struct Interned {
  std::string text;
  ContextId id = kNoContext;
};

struct CacheStatistics {
  size_t bytes = 0;  // of memory that holds contexts and answers, at most the limit
  size_t contexts = 0;
  size_t vectors = 0;      // access answers of the current epoch
  size_t transitions = 0;  // new contexts of the current epoch
  uint64_t hits = 0;
  uint64_t misses = 0;
};

inline constexpr size_t kDefaultCacheLimit = size_t{8} << 20;
inline constexpr size_t kMinCacheLimit = size_t{64} << 10;
inline constexpr size_t kMaxCacheLimit = size_t{64} << 20;

// THREADS: every method may be called from any thread. Readers take no lock.
class AccessCache {
 public:
  explicit AccessCache(policy::PolicySource& source, size_t limit_bytes = kDefaultCacheLimit);
  ~AccessCache();
  AccessCache(const AccessCache&) = delete;
  AccessCache& operator=(const AccessCache&) = delete;

  ContextTable& contexts() { return contexts_; }
  policy::PolicySource& source() { return source_; }

  // The current epoch; one load of the status page where nothing changed.
  Result<Epoch> Begin();
  // The same without the work: false when the policy has changed (or nobody has asked yet).
  bool Peek(Epoch* epoch) const;
  bool IsCurrent(const Epoch& epoch) const;

  Interned Intern(std::string_view text) { return {std::string(text), contexts_.Intern(text)}; }
  // The context that a number stands for: ERR_STALE_HANDLE when the table had to give it up.
  Result<Interned> Resolve(ContextId id) const;

  // Answers of that epoch: from the cache, or asked and remembered. ERR_SELINUX_POLICY_CHANGED when
  // the epoch ended meanwhile: then the whole decision is to be asked again.
  Result<AccessAnswer> Access(const Epoch& epoch, const Interned& source, const Interned& target, uint16_t tclass);
  // `context` (may be null) receives the new context with its text.
  Result<NewContextAnswer> NewContext(const Epoch& epoch, Rule rule, const Interned& source, const Interned& target,
                                      uint16_t tclass, Interned* context);
  Result<std::shared_ptr<const policy::SecurityClass>> Class(const Epoch& epoch, std::string_view name);

  // Only from the cache: false on a miss.
  bool FindAccess(uint32_t epoch, ContextId source, ContextId target, uint16_t tclass, AccessAnswer* answer) const;
  bool FindNewContext(uint32_t epoch, Rule rule, ContextId source, ContextId target, uint16_t tclass,
                      NewContextAnswer* answer) const;

  // Voids every answer.
  void Flush();
  // Between kMinCacheLimit and kMaxCacheLimit; contexts and answers that no longer fit are dropped.
  void SetLimit(size_t limit_bytes);
  CacheStatistics Statistics() const;
  // The hot form counts for itself and adds up once. Lost updates between threads are accepted: these
  // are figures for people, and an exact count would cost more than the look-up.
  void CountHits(uint64_t count) const;

 private:
  struct Key {
    uint64_t first;
    uint64_t second;
  };
  struct Value {
    uint64_t first;
    uint64_t second;
  };
  // Written under mutex_, read without: `version` is odd during a write, and a reader whose two looks
  // at it differ has seen nothing. Plain words, accessed only through std::atomic_ref, because the
  // memory comes zeroed from the kernel and must not be touched before it is used.
  struct Entry {
    uint32_t version;
    uint32_t epoch;
    Key key;
    Value value;
  };
  static constexpr size_t kWays = 4;
  struct Set {
    std::array<Entry, kWays> ways;
  };

  static Key AccessKey(ContextId source, ContextId target, uint16_t tclass);
  static Key NewContextKey(Rule rule, ContextId source, ContextId target, uint16_t tclass);
  static size_t HashOf(const Key& key);
  static size_t SetsFor(size_t limit_bytes);

  bool Find(uint32_t epoch, const Key& key, Value* value) const;
  // Remembers an answer that was asked in `epoch`, unless the epoch ended meanwhile: false then.
  // `policy_seqno` is what the kernel said the answer belongs to, 0 where it does not say.
  bool Store(const Epoch& epoch, const Key& key, const Value& value, uint32_t policy_seqno);
  void Write(Entry* entry, uint32_t epoch, const Key& key, const Value& value);  // LOCKED(mutex_)
  bool IsCurrentLocked(const Epoch& epoch) const;                                // LOCKED(mutex_)
  void StartEpoch(const selinux::PolicyState& state);                            // LOCKED(mutex_)
  // After EINVAL: which of the two the policy does not know. Neither: they became known meanwhile, or see below.
  Status FindUnknown(const std::string& source, const std::string& target, bool* unknown_source, bool* unknown_target);
  Result<std::string> Compute(Rule rule, const std::string& source, const std::string& target, uint16_t tclass);
  // After EINVAL for two contexts that the policy knows: whether it is because their ranges do not meet.
  Result<bool> RangesAreDisjoint(Rule rule, const std::string& source, const std::string& target, uint16_t tclass);

  policy::PolicySource& source_;
  ContextTable contexts_;
  Set* const sets_;               // room for kMaxCacheLimit, of which only the used part is resident
  std::atomic<size_t> set_mask_;  // sets in use, less one
  // sequence << 32 | number << 1 | enforcing, so that one load gives a consistent epoch.
  std::atomic<uint64_t> epoch_{0};

  mutable std::mutex mutex_;
  selinux::PolicyState state_;  // LOCKED(mutex_)
  uint32_t policy_seqno_ = 0;   // LOCKED(mutex_) of this epoch's answers, 0: none seen yet
  uint32_t victim_ = 0;         // LOCKED(mutex_)
  std::map<std::string, std::shared_ptr<const policy::SecurityClass>, std::less<>> classes_;  // LOCKED(mutex_)

  mutable std::atomic<uint64_t> hits_{0};
  mutable std::atomic<uint64_t> misses_{0};
};

// The cache over the running kernel's policy: one for the process.
Result<AccessCache*> KernelAccessCache();
// The same without SELinux being required: null until KernelAccessCache() succeeded once.
AccessCache* KernelAccessCacheIfMade();
// Its limit, now or for when it is made.
void SetKernelAccessCacheLimit(size_t limit_bytes);

}  // namespace vmentry::decision
