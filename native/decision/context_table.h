// ContextTable: security contexts as small integers, so that a cached question is a few words.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace vmentry::decision {

// Below 2^48 (exact as a JavaScript number, and two fit a cache key), never 0, and never given out
// twice in a process: an id whose text was evicted can be recognised as stale, but never means
// another context.
using ContextId = uint64_t;
inline constexpr ContextId kNoContext = 0;
inline constexpr ContextId kMaxContextId = (uint64_t{1} << 48) - 1;

// THREADS: every method may be called from any thread.
class ContextTable {
 public:
  explicit ContextTable(size_t limit_bytes) : limit_(limit_bytes) {}
  ContextTable(const ContextTable&) = delete;
  ContextTable& operator=(const ContextTable&) = delete;

  // The id of `text`, which is given one when it has none.
  ContextId Intern(std::string_view text);
  // Nothing when the context was evicted.
  std::optional<std::string> TextOf(ContextId id) const;

  // Evicts at once what no longer fits.
  void SetLimit(size_t limit_bytes);
  size_t bytes() const;
  size_t size() const;

 private:
  struct Node {
    std::string text;
    ContextId id;
    std::atomic<bool> recent{
        false};  // the second chance of the clock: set on each use but the first, cleared by the hand
    Node(std::string_view t, ContextId i) : text(t), id(i) {}
  };
  using Ring = std::list<Node>;

  static size_t CostOf(const Node& node);
  void EvictUntil(size_t limit, const Node* keep);  // LOCKED(mutex_)

  mutable std::shared_mutex mutex_;
  Ring ring_;
  Ring::iterator hand_ = ring_.end();
  // The keys point into the nodes of ring_, which do not move.
  std::unordered_map<std::string_view, Ring::iterator> by_text_;
  std::unordered_map<ContextId, Ring::iterator> by_id_;
  ContextId next_ = 1;
  size_t bytes_ = 0;
  size_t limit_;
};

}  // namespace vmentry::decision
