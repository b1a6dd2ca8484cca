#include "decision/context_table.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace vmentry::decision {
namespace {

// A list node, two hash nodes and their share of the buckets, as glibc allocates them.
constexpr size_t kOverhead = 240;

}  // namespace

size_t ContextTable::CostOf(const Node& node) { return kOverhead + node.text.capacity(); }

ContextId ContextTable::Intern(std::string_view text) {
  {
    std::shared_lock lock(mutex_);
    if (const auto found = by_text_.find(text); found != by_text_.end()) {
      Node& node = *found->second;
      // Read first: a store would take the cache line away from every other thread each time.
      if (!node.recent.load(std::memory_order_relaxed)) node.recent.store(true, std::memory_order_relaxed);
      return node.id;
    }
  }
  std::unique_lock lock(mutex_);
  if (const auto found = by_text_.find(text); found != by_text_.end()) return found->second->id;
  if (next_ > kMaxContextId) {
    // A million new contexts a second for nine years. To go on would give an id a second meaning.
    std::fputs("vm-entrypoint: out of context numbers\n", stderr);
    std::abort();
  }
  // Behind the hand: the newest is the last to be looked at.
  const Ring::iterator added = ring_.emplace(hand_, text, next_++);
  by_text_.emplace(added->text, added);
  by_id_.emplace(added->id, added);
  bytes_ += CostOf(*added);
  EvictUntil(limit_, &*added);
  return added->id;
}

std::optional<std::string> ContextTable::TextOf(ContextId id) const {
  std::shared_lock lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  found->second->recent.store(true, std::memory_order_relaxed);
  return found->second->text;
}

void ContextTable::EvictUntil(size_t limit, const Node* keep) {
  // One context always fits: the one that was just asked for.
  while (bytes_ > limit && ring_.size() > 1) {
    if (hand_ == ring_.end()) hand_ = ring_.begin();
    if (&*hand_ == keep || hand_->recent.exchange(false, std::memory_order_relaxed)) {
      ++hand_;
      continue;
    }
    bytes_ -= CostOf(*hand_);
    by_text_.erase(hand_->text);
    by_id_.erase(hand_->id);
    hand_ = ring_.erase(hand_);
  }
}

void ContextTable::SetLimit(size_t limit_bytes) {
  std::unique_lock lock(mutex_);
  limit_ = limit_bytes;
  EvictUntil(limit_, nullptr);
}

size_t ContextTable::bytes() const {
  std::shared_lock lock(mutex_);
  return bytes_;
}

size_t ContextTable::size() const {
  std::shared_lock lock(mutex_);
  return ring_.size();
}

}  // namespace vmentry::decision
