// Records in the audit log for what a decision refused, let pass because it is not enforced, or granted
// under auditallow, in the kernel's own words. `decide` asks a question and is not logged; a launch is an
// access and is.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/result.h"
#include "decision/start_decision.h"

namespace vmentry::decision {

// One record as it is sent: `avc:  denied  { entrypoint } for  name="…" scontext=… tcontext=… tclass=vm permissive=0`.
struct AuditRecord {
  int type;  // AUDIT_USER_AVC or AUDIT_USER_SELINUX_ERR
  std::string text;
};

// Which records belong to a decision. Denials that a dontaudit rule hides have none, grants have one
// where an auditallow rule wants it. Of a decision that lets the start go on (permissive mode), the
// kernel's own questions are left to the kernel, which asks and logs them at the exec.
std::vector<AuditRecord> AuditRecordsOf(const Decision& decision);

// Sends them through libaudit. Without CAP_AUDIT_WRITE or libaudit.so.1 nothing is sent, which is not
// an error: most launchers are no object managers to the audit system. Returns how many were sent.
Result<size_t> Audit(const Decision& decision);

}  // namespace vmentry::decision
