// PolicySource: where answers come from. The decision knows only this interface; the running kernel is
// behind it, or a test's policy. (A policy file is not, yet.)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"
#include "selinux/library.h"
#include "selinux/object_class.h"
#include "selinux/state.h"

namespace vmentry::policy {

using selinux::AvDecision;
using SecurityClass = selinux::ObjectClass;

// THREADS: every method may be called from any thread.
// Contexts are raw. What callers have to tell apart:
//   errno EINVAL without a code   the policy does not know one of the contexts (any more): denied
//   errno EACCES without a code   (ComputeCreate, ComputeRelabel) what comes out is no valid context:
//                                 no rule for the pair, or one that leads nowhere
//   anything else                 the question could not be asked, and nothing may be concluded
class PolicySource {
 public:
  virtual ~PolicySource() = default;

  virtual Result<AvDecision> ComputeAv(const std::string& source, const std::string& target, uint16_t tclass) = 0;
  virtual Result<std::string> ComputeCreate(const std::string& source, const std::string& target, uint16_t tclass) = 0;
  virtual Result<std::string> ComputeRelabel(const std::string& source, const std::string& target, uint16_t tclass) = 0;
  // True when the policy accepts the context.
  virtual Result<bool> CheckContext(const std::string& context) = 0;
  // ERR_SELINUX_CLASS_UNKNOWN when the policy has no such class. Never from a cache that outlives the
  // policy: a module loaded a moment ago is seen.
  virtual Result<SecurityClass> LookupClass(std::string_view name) = 0;
  // The state the answers belong to; `sequence` changes when answers may change.
  virtual Result<selinux::PolicyState> State() = 0;
  // One load from memory, after the first State(). An odd value: it is changing right now.
  virtual uint32_t SequenceNow() = 0;
};

// The running kernel's policy, through libselinux: one object for the process. ERR_SELINUX_* when
// there is none.
Result<PolicySource*> KernelPolicySource();

}  // namespace vmentry::policy
