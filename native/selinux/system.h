// The running system's settings: enforcing or not, what the policy is, and its booleans.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"

namespace vmentry::selinux {

// is_selinux_mls_enabled(3): whether the policy has levels (MCS counts).
Result<bool> IsMlsEnabled();
// security_deny_unknown(3), security_reject_unknown(3): what policy says about classes and permissions
// that it does not know.
Result<bool> DenyUnknown();
Result<bool> RejectUnknown();
// security_getenforce(3), security_setenforce(3).
Result<bool> GetEnforce();
Status SetEnforce(bool enforcing);
// security_policyvers(3): the newest policy version that the kernel reads.
Result<int> PolicyVersion();
// selinux_getpolicytype(3): SELINUXTYPE= of /etc/selinux/config. Also where SELinux is off.
Result<std::string> PolicyType();

Result<std::vector<std::string>> BooleanNames();
enum class BooleanValue { kActive, kPending };
Result<bool> GetBoolean(const std::string& name, BooleanValue which);
// Sets the pending value; CommitBooleans makes all pending values active at once.
Status SetBoolean(const std::string& name, bool value);
Status CommitBooleans();
// All or none: security_set_boolean_list(3).
Status SetBooleans(const std::vector<std::pair<std::string, bool>>& values);

}  // namespace vmentry::selinux
