// AccessQuestion: one class with some permissions, kept by name, so that it means the same after a
// reload that numbers classes and permissions anew. For single questions asked over and over.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "decision/access_cache.h"

namespace vmentry::decision {

// THREADS: one user at a time.
class AccessQuestion {
 public:
  static constexpr size_t kMaxPermissions = 32;

  AccessQuestion(std::string tclass, std::vector<std::string> permissions)
      : class_name_(std::move(tclass)), permissions_(std::move(permissions)) {}

  const std::string& class_name() const { return class_name_; }
  const std::vector<std::string>& permissions() const { return permissions_; }

  // Bit i is set when permissions()[i] is not granted; all of them where policy does not know a
  // context. What policy says, whether it is enforced or not. The fast half: false when the cache
  // does not have it.
  bool FromCache(const AccessCache& cache, ContextId source, ContextId target, uint32_t* denied) const {
    Epoch epoch;
    AccessAnswer answer;
    if (!cache.Peek(&epoch) || epoch.number != epoch_ ||
        !cache.FindAccess(epoch.number, source, target, tclass_, &answer)) {
      return false;
    }
    *denied = Denied(answer);
    return true;
  }
  // The other half.
  Result<uint32_t> Ask(AccessCache& cache, ContextId source, ContextId target);

 private:
  uint32_t Denied(const AccessAnswer& answer) const {
    if ((requested_ & ~answer.allowed) == 0) return 0;
    uint32_t denied = 0;
    for (size_t i = 0; i < bits_.size(); ++i) denied |= (answer.allowed & bits_[i]) == 0 ? 1u << i : 0;
    return denied;
  }

  const std::string class_name_;
  const std::vector<std::string> permissions_;
  // In the numbering of the policy of that epoch.
  uint32_t epoch_ = 0;
  uint16_t tclass_ = 0;
  uint32_t requested_ = 0;
  std::vector<uint32_t> bits_;
};

}  // namespace vmentry::decision
