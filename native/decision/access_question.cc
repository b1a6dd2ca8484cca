#include "decision/access_question.h"

#include <utility>

namespace vmentry::decision {

Result<uint32_t> AccessQuestion::Ask(AccessCache& cache, ContextId source, ContextId target) {
  VMENTRY_TRY(const Interned from, cache.Resolve(source));
  VMENTRY_TRY(const Interned to, cache.Resolve(target));
  Error last = Error::Coded("ERR_SELINUX_POLICY_CHANGED", "The policy kept changing while it was asked: try again");
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    VMENTRY_TRY(const Epoch epoch, cache.Begin());
    epoch_ = 0;
    Result<std::shared_ptr<const policy::SecurityClass>> found = cache.Class(epoch, class_name_);
    if (!found.ok()) {
      // In an epoch that has ended, a class that is not there proves nothing.
      if (!cache.IsCurrent(epoch)) continue;
      return std::move(found).error();
    }
    const policy::SecurityClass& tclass = *found.value();
    bits_.clear();
    requested_ = 0;
    const std::string* unknown = nullptr;
    for (const std::string& permission : permissions_) {
      const uint32_t bit = tclass.BitOf(permission);
      if (bit == 0 && unknown == nullptr) unknown = &permission;
      bits_.push_back(bit);
      requested_ |= bit;
    }
    if (unknown != nullptr) {
      // Nor does a permission; and it must not be left out of the question, where the cache could still
      // answer for the others.
      if (!cache.IsCurrent(epoch)) continue;
      return Error::Coded("ERR_SELINUX_PERMISSION_UNKNOWN",
                          "The loaded policy's class '" + class_name_ + "' has no permission '" + *unknown + "'");
    }
    const Result<AccessAnswer> answer = cache.Access(epoch, from, to, tclass.value);
    if (!answer.ok()) {
      if (!cache.IsCurrent(epoch)) continue;
      return answer.error();
    }
    epoch_ = epoch.number;
    tclass_ = tclass.value;
    return Denied(answer.value());
  }
  return last;
}

}  // namespace vmentry::decision
