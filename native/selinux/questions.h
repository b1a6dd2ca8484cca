// Questions to the policy of the running kernel, one by one, as libselinux has them. For callers of
// the selinux API; the decision asks through policy::PolicySource.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/result.h"
#include "selinux/contexts.h"
#include "selinux/library.h"
#include "selinux/object_class.h"

namespace vmentry::selinux {

// libselinux keeps a class for the life of the process once it has looked it up; its cache is emptied
// here when the policy was reloaded, so that numbers and names are those of the policy that answers.
// ERR_SELINUX_CLASS_UNKNOWN when the policy has no such class.
Result<ObjectClass> FindClass(const std::string& name);
Result<ObjectClass> FindClass(uint16_t value);

struct AvAnswer {
  AvDecision decision = {};
  ObjectClass object_class;
};

// security_compute_av_flags(3). The class is named, not numbered: its number is looked up together
// with the question, and both are asked again when the policy was reloaded in between
// (ERR_SELINUX_POLICY_CHANGED after several times).
Result<AvAnswer> ComputeAv(const std::string& source, const std::string& target, const std::string& object_class,
                           Form form);

enum class NewContext { kCreate, kRelabel, kMember };
// security_compute_create(3) (with `object_name`: …_create_name), _relabel and _member.
Result<std::string> ComputeContext(NewContext question, const std::string& source, const std::string& target,
                                   const std::string& object_class, const std::optional<std::string>& object_name,
                                   Form form);

}  // namespace vmentry::selinux
