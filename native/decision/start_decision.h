// The start decision: may this client start a VM from these images with this emulator, and in which
// domain does it run? Takes contexts and what fstat said, never a path to open.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "decision/access_cache.h"

namespace vmentry::decision {

// What an object is to the VM. All but further disks supply code or state that it begins with.
enum class Role : uint8_t { kDisk, kKernel, kInitrd, kFirmware, kSavedState };
enum class Action : uint8_t { kStart, kRestore, kMigrateIn };

struct ObjectQuestion {
  std::string name;  // for the report: a path, or what the caller calls it
  std::string context;
  mode_t mode = 0;          // decides the class: file, blk_file, …
  bool writable = false;    // asks { write lock } too
  bool entrypoint = false;  // asks disk→VM vm entrypoint: boot disk with its chain, kernel, initrd, firmware, state
};

// A descriptor the VMM inherits besides the images: stdio, sockets, extra ones.
struct DescriptorQuestion {
  std::string name;
  std::string context;
  std::string object_class;              // "unix_stream_socket", "fifo_file", "file", "chr_file", …
  std::vector<std::string> permissions;  // read, write, getattr …
};

struct EmulatorQuestion {
  std::string name;
  std::string context;
  bool nosuid = false;  // its mount has ST_NOSUID
};

struct StartQuestion {
  std::string client;      // whose rights count
  std::string launcher;    // who execs: this process
  size_t boot_object = 0;  // index in objects: the one that chooses the domain
  std::vector<ObjectQuestion> objects;
  std::vector<EmulatorQuestion> emulator;  // none or one
  std::vector<DescriptorQuestion> descriptors;
  bool no_new_privileges = false;
  Rule rule = Rule::kTransition;
  Action action = Action::kStart;
};

enum class Question : uint8_t {
  kReadDisk,    // client → disk file { getattr open read … }
  kVmDomain,    // the transition itself
  kEntrypoint,  // disk → VM vm entrypoint
  kStart,       // client → VM vm start|restore|migrate_in
  kExec,        // what the kernel will ask at the exec
  kInherit,     // descriptors: fd use, file { getattr read … }, socket …
  kCount,       // not a question
};

struct Check {
  Question question = Question::kReadDisk;
  std::string subject;  // name of the object asked about
  std::string source;
  std::string target;
  std::string tclass;
  std::vector<std::string> requested;
  std::vector<std::string> denied;         // empty: granted
  bool permissive = false;                 // denied, but not enforced (permissive mode or source type)
  bool auditable = true;                   // false: a dontaudit rule hides this denial in the kernel's log
  std::string invalid_context;             // set when a context was unknown to the policy: denied
  bool constraint = false;                 // denied by a constraint (level, role, user): the allow rule is there
  std::string rule;                        // CIL that would grant it; empty when granted or a constraint denies
  std::vector<std::string> audit_granted;  // granted, and an auditallow rule wants that in the log
};

enum class Refusal : uint8_t { kNone, kDenied, kNoTransition, kInvalidContext };

struct Decision {
  bool allowed = false;
  bool evaluated = true;  // false: enforcement was switched off by an explicit option
  Refusal refusal = Refusal::kNone;
  std::string vm_context;  // empty when there is none
  std::vector<Check> checks;
  bool enforcing = true;
  uint32_t policy_sequence = 0;
};

// One access question in the policy's own numbers.
struct ResolvedQuestion {
  Question question = Question::kReadDisk;
  ContextId source = kNoContext;
  ContextId target = kNoContext;
  uint16_t tclass = 0;
  uint32_t requested = 0;
};

// What a decision consisted of, good for one epoch: asking these again in it gives the same verdict.
struct ResolvedDecision {
  Epoch epoch;
  Rule rule = Rule::kTransition;
  ContextId client = kNoContext;
  ContextId boot = kNoContext;
  uint16_t vm_class = 0;
  ContextId new_context = kNoContext;  // what policy answered to (client, boot)
  uint32_t domain_verdict = 0;         // what vm-domain contributes to the verdict with that answer
  std::vector<ResolvedQuestion> questions;
};

// A decision as one integer: 0 is allowed, otherwise a bit for each question with an enforced denial,
// and one for each of the reasons that are no denial.
inline constexpr uint32_t kVerdictNoTransition = 1u << 6;
inline constexpr uint32_t kVerdictInvalidContext = 1u << 7;
inline constexpr uint32_t VerdictBit(Question question) { return 1u << static_cast<unsigned>(question); }
// The bits are known to callers (VERDICT of lib/decide.ts): one more question cannot simply take the next.
static_assert(VerdictBit(Question::kCount) <= kVerdictNoTransition, "a question's bit already means something else");
uint32_t VerdictOf(const Decision& decision);

// Asks every question, all again when the policy changed meanwhile. An error means "could not be
// evaluated" and is never a grant: ERR_SELINUX_CLASS_UNKNOWN and ERR_SELINUX_PERMISSION_UNKNOWN where
// the policy lacks the class `vm` or one of its permissions (whatever handle_unknown says),
// ERR_SELINUX_POLICY_CHANGED where it kept changing. `resolved` (may be null) receives what was asked,
// and is left alone by a failure.
Result<Decision> DecideStart(AccessCache& cache, const StartQuestion& question, ResolvedDecision* resolved = nullptr);

// The name of the object class that goes with what fstat said: "file", "blk_file", …
const char* ClassOfMode(mode_t mode);

}  // namespace vmentry::decision
