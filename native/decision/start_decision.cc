#include "decision/start_decision.h"

#include <sys/stat.h>

#include <array>
#include <initializer_list>
#include <optional>
#include <utility>

#include "decision/context_fields.h"
#include "decision/diagnosis.h"

namespace vmentry::decision {
namespace {

constexpr std::string_view kVmClass = "vm";

bool IsChanged(const Error& error) { return error.code == "ERR_SELINUX_POLICY_CHANGED"; }

const char* PermissionOf(Action action) {
  switch (action) {
    case Action::kStart:
      return "start";
    case Action::kRestore:
      return "restore";
    case Action::kMigrateIn:
      return "migrate_in";
  }
  return "start";
}

Error WithAdvice(Error error, std::string_view tclass) {
  if (tclass == kVmClass) {
    error.message.append(": install this package's policy module with `vm-entrypoint policy install`");
  }
  return error;
}

Error PermissionUnknown(std::string_view tclass, std::string_view permission) {
  return WithAdvice(Error::Coded("ERR_SELINUX_PERMISSION_UNKNOWN", std::string("The loaded policy's class '")
                                                                       .append(tclass)
                                                                       .append("' has no permission '")
                                                                       .append(permission)
                                                                       .append("'")),
                    tclass);
}

// One attempt at a decision, within one epoch.
class Attempt {
 public:
  Attempt(AccessCache& cache, const Epoch& epoch, const StartQuestion& question)
      : cache_(cache), epoch_(epoch), question_(question) {}

  // `resolved` (may be null) is written on success only: what was half asked must never look like a
  // decision.
  Result<Decision> Run(ResolvedDecision* resolved) {
    decision_.enforcing = epoch_.enforcing;
    decision_.policy_sequence = epoch_.sequence;
    resolved_.epoch = epoch_;
    resolved_.rule = question_.rule;

    // Without the class nothing can be decided: said before anything else is.
    VMENTRY_TRY(vm_class_, Class(kVmClass));
    VMENTRY_CHECK(Bits(*vm_class_, kVmClass, {"entrypoint", PermissionOf(question_.action)}));

    const Interned client = cache_.Intern(question_.client);
    const Interned launcher = cache_.Intern(question_.launcher);
    objects_.reserve(question_.objects.size());
    for (const ObjectQuestion& object : question_.objects) objects_.push_back(cache_.Intern(object.context));
    if (objects_.empty() || question_.boot_object >= objects_.size()) {
      return Error::Coded("ERR_INVALID_ARG_VALUE", "A start needs an object to boot from");
    }

    VMENTRY_CHECK(AskImages(client));
    VMENTRY_TRY(const std::optional<Interned> vm, FindDomain(client));
    if (vm) {
      for (size_t i = 0; i < objects_.size(); ++i) {
        if (!question_.objects[i].entrypoint) continue;
        VMENTRY_CHECK(
            Ask(Question::kEntrypoint, question_.objects[i].name, objects_[i], *vm, kVmClass, {"entrypoint"}));
      }
      VMENTRY_CHECK(Ask(Question::kStart, Boot().name, client, *vm, kVmClass, {PermissionOf(question_.action)}));
    }
    VMENTRY_CHECK(AskExec(launcher, vm));
    if (vm) VMENTRY_CHECK(AskInherited(launcher, *vm));
    if (!cache_.IsCurrent(epoch_)) {
      return Error::Coded("ERR_SELINUX_POLICY_CHANGED", "The policy changed during the decision");
    }
    Conclude();
    if (resolved != nullptr) *resolved = std::move(resolved_);
    return std::move(decision_);
  }

 private:
  const ObjectQuestion& Boot() const { return question_.objects[question_.boot_object]; }

  // read-disk: may the client read (and write) what it wants to become a VM?
  Status AskImages(const Interned& client) {
    for (size_t i = 0; i < objects_.size(); ++i) {
      const ObjectQuestion& object = question_.objects[i];
      std::vector<std::string_view> permissions = {"getattr", "open", "read"};
      if (object.writable) permissions.insert(permissions.end(), {"write", "lock"});
      VMENTRY_CHECK(Ask(Question::kReadDisk, object.name, client, objects_[i], ClassOfMode(object.mode), permissions));
    }
    return Ok();
  }

  // vm-domain: which one? Nothing when policy names none, or one that no VM may have.
  Result<std::optional<Interned>> FindDomain(const Interned& client) {
    const Interned& disk = objects_[question_.boot_object];
    const char* const rule = question_.rule == Rule::kChange ? "type_change" : "type_transition";
    Check check;
    check.question = Question::kVmDomain;
    check.subject = Boot().name;
    check.source = client.text;
    check.target = disk.text;
    check.tclass = kVmClass;
    check.requested = {rule};
    Interned context;
    VMENTRY_TRY(const NewContextAnswer answer,
                cache_.NewContext(epoch_, question_.rule, client, disk, vm_class_->value, &context));
    resolved_.client = client.id;
    resolved_.boot = disk.id;
    resolved_.vm_class = vm_class_->value;
    resolved_.new_context = answer.context;
    std::optional<Interned> vm;
    if (answer.unknown_source || answer.unknown_target) {
      check.invalid_context = answer.unknown_source ? client.text : disk.text;
    } else if (answer.context != kNoContext) {
      const ContextFields fields = ContextFields::Of(context.text);
      // What the kernel computes for any other class than a process where no rule matches: the
      // disk's own type with role object_r, which is a valid context.
      if (fields.role != "object_r" && fields.type != ContextFields::Of(disk.text).type) vm = std::move(context);
    }
    if (vm) {
      decision_.vm_context = vm->text;
    } else {
      check.denied = {rule};
      const bool no_transition = check.invalid_context.empty();
      if (no_transition) {
        Interned asked = disk;
        if (answer.disjoint_ranges) {
          // Nothing comes out of these two whatever the rules say. With equal ranges they are heard.
          ContextFields fields = ContextFields::Of(disk.text);
          fields.range = ContextFields::Of(client.text).range;
          asked = cache_.Intern(fields.Join());
        }
        VMENTRY_TRY(check.rule, MissingForTransition(cache_, epoch_, question_.rule, client, asked, vm_class_->value));
        check.constraint = answer.disjoint_ranges || check.rule.empty();
      }
      resolved_.domain_verdict = no_transition ? kVerdictNoTransition : kVerdictInvalidContext;
    }
    decision_.checks.push_back(std::move(check));
    return vm;
  }

  // exec: what the kernel asks when the launcher execs the emulator with the VM's context set
  // (selinux_setprocattr, do_open_execat, selinux_bprm_creds_for_exec, elf_map).
  Status AskExec(const Interned& launcher, const std::optional<Interned>& vm) {
    VMENTRY_CHECK(Ask(Question::kExec, "setexec", launcher, launcher, "process", {"setexec"}));
    const bool transition = vm && vm->id != launcher.id;
    if (transition) {
      VMENTRY_CHECK(Ask(Question::kExec, "exec", launcher, *vm, "process", {"transition"}));
    }
    bool nosuid = false;
    for (const EmulatorQuestion& emulator : question_.emulator) {
      const Interned program = cache_.Intern(emulator.context);
      nosuid = nosuid || emulator.nosuid;
      // The file is opened for execution by the launcher...
      if (vm && !transition) {
        VMENTRY_CHECK(Ask(Question::kExec, emulator.name, launcher, program, "file",
                          {"execute", "open", "read", "execute_no_trans"}));
      } else {
        VMENTRY_CHECK(Ask(Question::kExec, emulator.name, launcher, program, "file", {"execute", "open", "read"}));
      }
      // ...and mapped after the change of context, by the VM's domain.
      if (transition) {
        VMENTRY_CHECK(
            Ask(Question::kExec, emulator.name, *vm, program, "file", {"entrypoint", "execute", "map", "read"}));
      }
    }
    // A domain with bounds (typebounds) may pass without these; whether there are some cannot be asked.
    if (transition && (question_.no_new_privileges || nosuid)) {
      std::vector<std::string_view> permissions;
      if (question_.no_new_privileges) permissions.push_back("nnp_transition");
      if (nosuid) permissions.push_back("nosuid_transition");
      VMENTRY_CHECK(Ask(Question::kExec, "exec", launcher, *vm, "process2", permissions));
    }
    return Ok();
  }

  // inherit: descriptors that the VM's domain may not use are replaced by /dev/null at the exec without
  // a word. No `open`: the VM gets its images open.
  Status AskInherited(const Interned& launcher, const Interned& vm) {
    if (vm.id != launcher.id) {
      // The emulator's own file is one of them, so this is asked even when there are no others.
      VMENTRY_CHECK(Ask(Question::kInherit, "descriptors", vm, launcher, "fd", {"use"}));
    }
    for (size_t i = 0; i < objects_.size(); ++i) {
      const ObjectQuestion& object = question_.objects[i];
      std::vector<std::string_view> permissions = {"getattr", "read"};
      if (object.writable) permissions.insert(permissions.end(), {"write", "lock"});
      VMENTRY_CHECK(Ask(Question::kInherit, object.name, vm, objects_[i], ClassOfMode(object.mode), permissions));
    }
    for (const DescriptorQuestion& descriptor : question_.descriptors) {
      const std::vector<std::string_view> permissions(descriptor.permissions.begin(), descriptor.permissions.end());
      VMENTRY_CHECK(Ask(Question::kInherit, descriptor.name, vm, cache_.Intern(descriptor.context),
                        descriptor.object_class, permissions));
    }
    return Ok();
  }

  Result<std::shared_ptr<const policy::SecurityClass>> Class(std::string_view name) {
    Result<std::shared_ptr<const policy::SecurityClass>> found = cache_.Class(epoch_, name);
    if (!found.ok() && found.error().code == "ERR_SELINUX_CLASS_UNKNOWN") {
      return WithAdvice(std::move(found).error(), name);
    }
    return found;
  }

  Result<uint32_t> Bits(const policy::SecurityClass& tclass, std::string_view name,
                        const std::vector<std::string_view>& permissions) {
    uint32_t bits = 0;
    for (const std::string_view permission : permissions) {
      const uint32_t bit = tclass.BitOf(permission);
      if (bit == 0) return PermissionUnknown(name, permission);
      bits |= bit;
    }
    return bits;
  }

  Status Ask(Question question, const std::string& subject, const Interned& source, const Interned& target,
             std::string_view class_name, const std::vector<std::string_view>& permissions) {
    VMENTRY_TRY(const auto tclass, Class(class_name));
    VMENTRY_TRY(const uint32_t requested, Bits(*tclass, class_name, permissions));
    VMENTRY_TRY(const AccessAnswer answer, cache_.Access(epoch_, source, target, tclass->value));
    resolved_.questions.push_back({question, source.id, target.id, tclass->value, requested});
    Check& check = decision_.checks.emplace_back();
    check.question = question;
    check.subject = subject;
    check.source = source.text;
    check.target = target.text;
    check.tclass = class_name;
    const uint32_t denied = requested & ~answer.allowed;
    for (const std::string_view permission : permissions) {
      const uint32_t bit = tclass->BitOf(permission);
      check.requested.emplace_back(permission);
      if ((denied & bit) != 0) check.denied.emplace_back(permission);
      if ((requested & answer.allowed & answer.audit_granted & bit) != 0) check.audit_granted.emplace_back(permission);
    }
    if (denied == 0) return Ok();
    if (answer.unknown_source || answer.unknown_target) {
      // No rule can grant this, and there is no permissive domain without a domain.
      check.invalid_context = answer.unknown_source ? source.text : target.text;
      return Ok();
    }
    check.permissive = !epoch_.enforcing || answer.permissive;
    check.auditable = (denied & answer.audit_denied) != 0;
    VMENTRY_TRY(const uint32_t constrained, RefusedByConstraint(cache_, epoch_, source, target, tclass->value, denied));
    check.constraint = constrained != 0;
    std::vector<std::string> missing;
    for (const std::string_view permission : permissions) {
      if ((denied & ~constrained & tclass->BitOf(permission)) != 0) missing.emplace_back(permission);
    }
    if (!missing.empty()) check.rule = AllowRule(source.text, target.text, class_name, missing);
    return Ok();
  }

  // Deny wins; of several reasons the one that has to be dealt with first is named.
  void Conclude() {
    const uint32_t verdict = VerdictOf(decision_);
    decision_.allowed = verdict == 0;
    if ((verdict & kVerdictInvalidContext) != 0) {
      decision_.refusal = Refusal::kInvalidContext;
    } else if ((verdict & kVerdictNoTransition) != 0) {
      decision_.refusal = Refusal::kNoTransition;
    } else if (verdict != 0) {
      decision_.refusal = Refusal::kDenied;
    }
  }

  AccessCache& cache_;
  const Epoch epoch_;
  const StartQuestion& question_;
  ResolvedDecision resolved_;
  std::shared_ptr<const policy::SecurityClass> vm_class_;
  std::vector<Interned> objects_;
  Decision decision_;
};

}  // namespace

const char* ClassOfMode(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFBLK:
      return "blk_file";
    case S_IFCHR:
      return "chr_file";
    case S_IFIFO:
      return "fifo_file";
    case S_IFSOCK:
      return "sock_file";
    case S_IFDIR:
      return "dir";
    case S_IFLNK:
      return "lnk_file";
    default:
      return "file";
  }
}

uint32_t VerdictOf(const Decision& decision) {
  uint32_t verdict = 0;
  for (const Check& check : decision.checks) {
    if (!check.invalid_context.empty()) {
      verdict |= kVerdictInvalidContext;
    } else if (check.question == Question::kVmDomain && !check.denied.empty()) {
      verdict |= kVerdictNoTransition;
    } else if (!check.denied.empty() && !check.permissive) {
      verdict |= VerdictBit(check.question);
    }
  }
  return verdict;
}

Result<Decision> DecideStart(AccessCache& cache, const StartQuestion& question, ResolvedDecision* resolved) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Result<Epoch> epoch = cache.Begin();
    if (!epoch.ok()) {
      if (IsChanged(epoch.error())) continue;
      return std::move(epoch).error();
    }
    Result<Decision> decision = Attempt(cache, epoch.value(), question).Run(resolved);
    // A failure in an epoch that has ended proves nothing: a class that is not there any more, a
    // number that belongs to the old policy.
    if (decision.ok() || (!IsChanged(decision.error()) && cache.IsCurrent(epoch.value()))) return decision;
  }
  return Error::Coded("ERR_SELINUX_POLICY_CHANGED", "The policy changed during each of " + std::to_string(kAttempts) +
                                                        " attempts to decide: try again");
}

}  // namespace vmentry::decision
