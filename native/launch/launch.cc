#include "launch/launch.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "core/fault_injection.h"
#include "core/system_calls.h"
#include "decision/audit.h"
#include "launch/procfs.h"
#include "policy/policy_source.h"
#include "selinux/state.h"
#include "selinux/thread_attributes.h"

namespace vmentry::launch {
namespace {

// How often a decision is made again because the policy was reloaded between it and the exec.
constexpr int kDecisionAttempts = 8;
// A program's first pages may come from a slow disk; after this it is not slow but lost.
constexpr long kHoldTimeoutMs = 20'000;
// The same, once the policy has changed and may not allow the hold any more.
constexpr long kHoldAfterChangeMs = 250;
// Without a hold, the time in which the new context must appear.
constexpr long kContextTimeoutMs = 5'000;

Error Cancelled() { return Error::Coded("ERR_LAUNCH_CANCELLED", "The launch was given up by its caller"); }

Error PolicyChanged() {
  return Error::Coded("ERR_SELINUX_POLICY_CHANGED",
                      "The policy was changed during the launch, and its answer with it: launch again");
}

void SleepMicroseconds(long microseconds) {
  struct timespec time = {microseconds / 1'000'000, microseconds % 1'000'000 * 1000};
  ::nanosleep(&time, nullptr);
}

// Calls `done` (Result<bool>) until it says true, with growing pauses. False: the time is over.
template <typename Done>
Result<bool> Poll(long timeout_ms, Done done) {
  struct timespec start, now;
  ::clock_gettime(CLOCK_MONOTONIC, &start);
  for (long pause = 20;; pause = std::min(pause * 3 / 2, 2000L)) {
    VMENTRY_TRY(const bool finished, done());
    if (finished) return true;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    if ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1'000'000 > timeout_ms) return false;
    SleepMicroseconds(pause);
  }
}

// A script is refused: the kernel would take the context from the script and hand its name to an
// interpreter, which opens it again by /dev/fd; what runs would not be what was checked.
Status RefuseScript(const decision::PinnedEmulator& emulator) {
  const Result<UniqueFd> file = sys::Reopen(emulator.fd.get(), O_RDONLY, emulator.path);
  // A program that may be executed and not read is no script: its interpreter could not read it either.
  if (!file.ok() && file.error().errno_value == EACCES) return Ok();
  if (!file.ok()) return file.error();
  std::array<char, 2> start = {};
  VMENTRY_TRY(const size_t size, sys::PreadFull(file.value().get(), start.data(), start.size(), 0, emulator.path));
  if (size == start.size() && start[0] == '#' && start[1] == '!') {
    Error error = Error::Coded("ERR_LAUNCH_EXEC", "The emulator is a script; name the program that it runs instead",
                               emulator.path);
    error.errno_value = ENOEXEC;
    error.syscall = "execveat";
    return error;
  }
  return Ok();
}

Result<UniqueFd> OpenCgroup(const std::string& path) {
  VMENTRY_TRY(const UniqueFd directory, sys::OpenAt(AT_FDCWD, path, O_PATH | O_DIRECTORY));
  VMENTRY_TRY(const struct statfs file_system, sys::Fstatfs(directory.get(), path));
  if (file_system.f_type != CGROUP2_SUPER_MAGIC) {
    return Error::Coded("ERR_LAUNCH_CGROUP", "Not a cgroup v2 directory", path);
  }
  // A child that joined a frozen one would never reach its exec, and keep this process waiting for that.
  const std::string events_path = path + "/cgroup.events";
  const Result<UniqueFd> events = sys::OpenAt(directory.get(), "cgroup.events", O_RDONLY);
  if (events.ok()) {
    VMENTRY_TRY(const std::string text, sys::ReadSmallFile(events.value().get(), 4096, events_path));
    if (text.find("frozen 1\n") != std::string::npos) {
      return Error::Coded("ERR_LAUNCH_CGROUP", "The cgroup is frozen: write 0 to its cgroup.freeze first", path);
    }
  } else if (events.error().errno_value != ENOENT) {  // the root has none, and cannot be frozen
    return events.error();
  }
  Result<UniqueFd> procs = sys::OpenAt(directory.get(), "cgroup.procs", O_WRONLY);
  if (!procs.ok()) procs.error().path = path + "/cgroup.procs";
  return procs;
}

// The labels that the decision was about are still those of what will be used.
Status VerifyLabels(const decision::Gathered& gathered) {
  for (const decision::GatheredObject& object : gathered.objects) {
    for (const disk::ImageMember& member : object.chain.members) {
      VMENTRY_CHECK(disk::VerifyLabel(member, gathered.labels));
    }
  }
  if (!gathered.evaluate) return Ok();
  const decision::PinnedEmulator& emulator = gathered.emulator;
  VMENTRY_TRY(const std::string label, sys::SecurityLabel(emulator.fd.get(), emulator.path));
  if (label != emulator.context) {
    return Error::Coded("ERR_LAUNCH_CHANGED", "The emulator was relabelled during the launch", emulator.path);
  }
  return Ok();
}

// What the exec was granted for still holds: labels, and the answer of a policy that came meanwhile. An audit record
// of a denial is not written twice: the launch fails with it either way.
Status VerifyStillGranted(const decision::Gathered& gathered, const decision::Decision& granted) {
  VMENTRY_CHECK(VerifyLabels(gathered));
  if (!gathered.evaluate || selinux::PolicySequenceNow() == granted.policy_sequence) return Ok();
  VMENTRY_TRY(const decision::Decision now, decision::Decide(gathered));
  if (now.allowed && now.vm_context == granted.vm_context) return Ok();
  return PolicyChanged();
}

// What this process may do to the VM's, of class process. The kernel asks when it is done; it is asked
// before because nobody is told there.
struct ProcessRights {
  bool stop_and_continue = false;
  bool kill = false;
};
Result<ProcessRights> RightsOnVm(const decision::Gathered& gathered, const decision::Decision& decision) {
  ProcessRights rights;
  if (!gathered.evaluate) {
    // Which domain the program gets is known only where there are none.
    const bool none = !selinux::RequireEnabled().ok();
    rights.stop_and_continue = rights.kill = none;
    return rights;
  }
  VMENTRY_TRY(policy::PolicySource* const source, policy::KernelPolicySource());
  VMENTRY_TRY(const policy::SecurityClass process, source->LookupClass("process"));
  VMENTRY_TRY(const policy::AvDecision vector,
              source->ComputeAv(gathered.question.launcher, decision.vm_context, process.value));
  const auto granted = [&](const char* name) {
    const auto at = std::find(process.permissions.begin(), process.permissions.end(), name);
    return at != process.permissions.end() && (vector.allowed >> (at - process.permissions.begin()) & 1u) != 0;
  };
  rights.stop_and_continue = granted("sigstop") && granted("signal");
  rights.kill = granted("sigkill") || !decision.enforcing || (vector.flags & selinux::kAvdFlagsPermissive) != 0;
  return rights;
}

Error MayNotTie(const std::string& launcher, const std::string& vm) {
  std::string message = "The VM cannot be tied to this process: the kernel would not let this process kill it";
  if (!vm.empty()) message += ". Missing: allow " + launcher + " " + vm + " : process sigkill";
  return Error::Coded("ERR_LAUNCH_TIE", message);
}

struct Expected {
  const std::string& context;  // empty: not evaluated
  const std::vector<DescriptorMapping>& descriptors;
  const std::vector<ResourceLimit>& limits;
  bool held = false;
  uint32_t policy_sequence = 0;
};

Status VerifyContext(pid_t pid, const std::string& expected, bool wait) {
  std::string found;
  VMENTRY_TRY(const bool reached, Poll(wait ? kContextTimeoutMs : 0, [&]() -> Result<bool> {
                VMENTRY_TRY(found, selinux::ReadProcessContext(pid));
                return found == expected;
              }));
  if (reached) return Ok();
  return Error::Coded("ERR_LAUNCH_CONTEXT",
                      "The VM runs in '" + found + "' instead of '" + expected + "' and was killed");
}

// Waits until the kernel has stopped the new program before its first instruction, or it has ended.
Result<Child::Change> AwaitHold(const Child& child, const Expected& expected, const std::function<bool()>& cancelled) {
  Child::Change change = Child::Change::kNone;
  const auto look = [&]() -> Result<bool> {
    if (cancelled()) return Cancelled();
    VMENTRY_TRY(change, child.Peek());
    return change != Child::Change::kNone;
  };
  const bool evaluated = !expected.context.empty();
  VMENTRY_TRY(bool seen, Poll(kHoldTimeoutMs, [&]() -> Result<bool> {
                VMENTRY_TRY(const bool stopped, look());
                return stopped || (evaluated && selinux::PolicySequenceNow() != expected.policy_sequence);
              }));
  if (seen && change == Child::Change::kNone) {
    VMENTRY_TRY(seen, Poll(kHoldAfterChangeMs, look));
    if (!seen) return PolicyChanged();
  }
  if (!seen) {
    return Error::Coded("ERR_LAUNCH_EXEC", "The emulator did not reach its first instruction and was killed");
  }
  return change;
}

// Fails unless the new process is what was decided about. The caller kills it then.
Status Verify(const Child& child, const Expected& expected, const std::function<bool()>& cancelled) {
  VMENTRY_TRY(const UniqueFd procfs, OpenProcfs());
  VMENTRY_TRY(const Child::Change change, expected.held ? AwaitHold(child, expected, cancelled) : child.Peek());
  VMENTRY_TRY(const ProcessStatus status, ReadProcessStatus(procfs.get(), child.pid()));
  if (!status.executed) {
    return Error::Coded("ERR_LAUNCH_EXEC", "The process was killed by somebody else before it was the emulator's");
  }
  if (!expected.context.empty()) {
    // Without a hold clone(2) returns while the exec still goes on, and the old context is seen first.
    VMENTRY_CHECK(VerifyContext(child.pid(), expected.context, change == Child::Change::kNone));
  }
  // A process that has ended has no descriptors any more, and does nothing with them.
  if (change == Child::Change::kExited) return Ok();
  Status same = VerifyDescriptors(procfs.get(), child.pid(), expected.descriptors, expected.held);
  if (!same.ok()) {
    VMENTRY_TRY(const Child::Change meanwhile, child.Peek());
    return meanwhile == Child::Change::kExited ? Ok() : std::move(same);
  }
  if (!expected.context.empty()) {
    // An exec into another domain sets soft limits back to those of init, unless policy grants rlimitinh.
    for (const ResourceLimit& limit : expected.limits) {
      Status set = sys::Prlimit(child.pid(), limit.resource, limit.value);
      if (!set.ok()) {
        set.error().message =
            "A resource limit could not be set in the VM's domain. This process needs process { setrlimit } on it, "
            "and CAP_SYS_RESOURCE where the VM has another user";
        return set;
      }
    }
  }
  return Ok();
}

}  // namespace

Result<PreparedLaunch> Prepare(const decision::StartRequest& request) {
  PreparedLaunch prepared;
  VMENTRY_TRY(prepared.gathered, decision::Gather(request));
  VMENTRY_CHECK(RefuseScript(prepared.gathered.emulator));
  VMENTRY_TRY(prepared.decision, decision::Decide(prepared.gathered));
  // A refusal stands whether it could be logged or not.
  if (!prepared.decision.allowed) (void)decision::Audit(prepared.decision).ok();
  return prepared;
}

Result<SpawnResult> Spawn(PreparedLaunch prepared, SpawnRequest request, const std::function<bool()>& cancelled) {
  decision::Gathered& gathered = prepared.gathered;
  const std::string vm_context = prepared.decision.vm_context;
  if (cancelled()) return Cancelled();
  // The context is what confines the VM: with enforcement on there is no way on without one.
  if (gathered.evaluate && (!prepared.decision.allowed || vm_context.empty())) {
    return Error::Coded("ERR_LAUNCH_CONTEXT", "A start that was not allowed cannot be launched");
  }

  VMENTRY_CHECK(MakeStdio(&request.stdio,
                          gathered.evaluate ? SocketContext(gathered.question.launcher, vm_context) : std::string()));

  ChildSpec spec;
  if (request.image_targets.size() != gathered.objects.size()) return Error::System("dup3", EINVAL);
  for (size_t i = 0; i < gathered.objects.size(); ++i) {
    disk::ImageChain& chain = gathered.objects[i].chain;
    if (request.image_targets[i].size() != chain.members.size()) return Error::System("dup3", EINVAL);
    VMENTRY_CHECK(disk::OpenForUse(&chain));
    for (size_t j = 0; j < chain.members.size(); ++j) {
      const disk::ImageMember& member = chain.members[j];
      const int target = request.image_targets[i][j];
      if (target < 0) continue;
      spec.descriptors.push_back({member.use.get(), target});
      // A program that takes only paths gets /proc/self/fd/N: the same file, opened by the VM's domain.
      const bool reopened =
          std::find(request.reopened.begin(), request.reopened.end(), target) != request.reopened.end();
      if (reopened && gathered.evaluate) {
        gathered.question.descriptors.push_back({member.file.path,
                                                 member.file.context,
                                                 decision::ClassOfMode(member.file.status.st_mode),
                                                 {"getattr", "open", "read", "map"}});
      }
    }
  }
  for (const StdioEntry& entry : request.stdio) {
    spec.descriptors.push_back({entry.source.get(), entry.target});
    if (!gathered.evaluate) continue;
    const std::string name = "descriptor " + std::to_string(entry.target);
    VMENTRY_TRY(decision::DescriptorQuestion question, QuestionAbout(entry.source.get(), name));
    if (!question.context.empty()) gathered.question.descriptors.push_back(std::move(question));
  }

  spec.executable = gathered.emulator.fd.get();
  spec.executable_path = gathered.emulator.path;
  spec.arguments = std::move(request.arguments);
  spec.environment = std::move(request.environment);
  spec.working_directory = std::move(request.working_directory);
  spec.exec_context = gathered.evaluate ? vm_context : std::string();
  spec.limits = std::move(request.limits);
  spec.new_session = request.detached;
  if (request.uid) spec.set_uid = true, spec.uid = *request.uid;
  if (request.gid) spec.set_gid = true, spec.gid = *request.gid;
  if (request.groups) spec.set_groups = true, spec.groups = std::move(*request.groups);
  UniqueFd cgroup_procs;
  if (!request.cgroup.empty()) {
    VMENTRY_TRY(cgroup_procs, OpenCgroup(request.cgroup));
    spec.cgroup_procs = cgroup_procs.get();
  }
  VMENTRY_TRY(Tie tie, Tie::Make());
  spec.tie[0] = tie.first();
  spec.tie[1] = tie.second();

  SpawnResult result;
  Child child;
  for (int attempt = 1;; ++attempt) {
    VMENTRY_TRY(result.decision, decision::Decide(gathered));
    if (!result.decision.allowed) {
      (void)decision::Audit(result.decision).ok();
      return result;
    }
    if (result.decision.vm_context != vm_context) return PolicyChanged();
    VMENTRY_TRY(const ProcessRights rights, RightsOnVm(gathered, result.decision));
    VMENTRY_TRY(const bool user_ok, MaySignalUser(request.uid.has_value(), request.uid.value_or(0)));
    if (request.tied && !(rights.kill && user_ok)) return MayNotTie(gathered.question.launcher, vm_context);
    spec.hold = rights.stop_and_continue && user_ok;
    VMENTRY_CHECK(VerifyLabels(gathered));
    if (cancelled()) return Cancelled();
    // What was granted holds for the policy it was granted under.
    const auto policy_changed = [&] {
      return gathered.evaluate && selinux::PolicySequenceNow() != result.decision.policy_sequence;
    };
    if (!policy_changed()) {
      Result<Child> started = StartChild(spec);
      if (started.ok()) {
        child = std::move(started).value();
        // Grants that policy wants to see, and denials that are not enforced. As of a refusal: logged where it can be.
        (void)decision::Audit(result.decision).ok();
        break;
      }
      // When the kernel refused because of a new policy, the new decision names the missing rule.
      if (!policy_changed()) return std::move(started).error();
    }
    if (attempt == kDecisionAttempts) return PolicyChanged();
  }

  Status verified = Verify(
      child, {spec.exec_context, spec.descriptors, spec.limits, spec.hold, result.decision.policy_sequence}, cancelled);
  // Whoever relabels or reloads between the last look and the exec is still in time to stop a held program.
  if (verified.ok() && spec.hold) verified = VerifyStillGranted(gathered, result.decision);
  if (verified.ok() && cancelled()) verified = Cancelled();
  if (verified.ok() && spec.hold) verified = child.Continue();
  if (!verified.ok()) {
    const pid_t pid = child.pid();
    const Status killed = child.KillAndReap();
    if (!killed.ok()) {
      verified.error().message += ". It could NOT be killed (errno " + std::to_string(killed.error().errno_value) +
                                  "): end process " + std::to_string(pid) + " yourself";
    }
    return std::move(verified).error();
  }

  Spawned spawned;
  spawned.child = std::move(child);
  spawned.tie = std::move(tie);
  spawned.context = spec.exec_context;
  for (StdioEntry& entry : request.stdio) spawned.sockets.push_back(std::move(entry.ours));
  result.spawned = std::move(spawned);
  return result;
}

}  // namespace vmentry::launch
