// PreparedDecision: the hot form. A request is gathered and resolved once; after that a whole decision
// is a handful of look-ups in the cache and one integer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "core/result.h"
#include "decision/gather.h"
#include "decision/start_decision.h"

namespace vmentry::decision {

// THREADS: one user at a time.
class PreparedDecision {
 public:
  // Gathers; descriptors are not kept. What the verdict is about are the contexts as they are now.
  static Result<PreparedDecision> Make(const StartRequest& request);

  // The verdict of VerdictOf(Decision), from the cache where the policy has not changed.
  Result<uint32_t> Verdict();
  // The same with the image at `path` for boot disk. The label is read without opening the file: this
  // is a question about what is there now, and a launch asks again about what it has opened.
  Result<uint32_t> VerdictOn(const std::string& path);
  Result<Decision> Decide() const;

 private:
  explicit PreparedDecision(Gathered gathered) : gathered_(std::move(gathered)) {}

  // False: something is not in the cache, or the epoch is another one.
  static bool FromCache(const AccessCache& cache, const ResolvedDecision& resolved, uint32_t* verdict);
  Result<uint32_t> Ask(const StartQuestion& question, ResolvedDecision* resolved);

  Gathered gathered_;
  AccessCache* cache_ = nullptr;  // null: nothing is evaluated
  ResolvedDecision resolved_;
  // VerdictOn: what was asked about each boot disk context and class. All are dropped when it is full.
  static constexpr size_t kMaxBootContexts = 64;
  std::unordered_map<uint64_t, ResolvedDecision> by_boot_context_;
  size_t boot_object_ = 0;  // index in gathered_.objects
  disk::Format boot_format_ = disk::Format::kRaw;
  bool boot_read_only_ = false;
};

}  // namespace vmentry::decision
