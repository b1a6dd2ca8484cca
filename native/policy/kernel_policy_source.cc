// The running kernel's policy, through libselinux. No answer is kept here: the decision cache above
// does that, with the status page as its witness.
#include <cerrno>
#include <mutex>
#include <string>
#include <string_view>

#include "policy/policy_source.h"
#include "selinux/contexts.h"
#include "selinux/thread_attributes.h"

namespace vmentry::policy {
namespace {

using selinux::Call;
using selinux::IsRawContext;
using selinux::Library;
using selinux::LibraryString;
using selinux::PolicyState;

constexpr uint32_t kEveryPermission = 0xffffffffu;

// One of security_compute_create_raw and its siblings.
struct ContextQuestion {
  const char* name;
  int (*function)(const char*, const char*, uint16_t, char**);
  const char* permission;  // of class security, which this process needs to ask
};

Error NotPermitted(const char* function, const char* permission) {
  Error error = Error::System(function, EACCES);
  error.code = "ERR_SELINUX_NOT_PERMITTED";
  error.message =
      std::string("The policy does not let this process ask: its domain needs security { ") + permission + " }";
  return error;
}

Error UnknownContext(const char* function) { return Error::System(function, EINVAL); }

class KernelSource final : public PolicySource {
 public:
  explicit KernelSource(const Library* library) : library_(library) {}

  Result<AvDecision> ComputeAv(const std::string& source, const std::string& target, uint16_t tclass) override {
    constexpr const char* kName = "security_compute_av_flags_raw";
    if (!IsRawContext(source) || !IsRawContext(target)) return UnknownContext(kName);
    AvDecision decision = {};
    std::lock_guard lock(library_->mutex());
    if (Call(kName, library_->security_compute_av_flags_raw, source.c_str(), target.c_str(), tclass, kEveryPermission,
             &decision) != 0) {
      const int failure = errno != 0 ? errno : EIO;
      // There is no other EACCES here: a denial is an answer.
      if (failure == EACCES) return NotPermitted(kName, "compute_av");
      return Error::System(kName, failure);
    }
    // Bits that the answer says nothing about are not granted.
    decision.allowed &= decision.decided;
    return decision;
  }

  Result<std::string> ComputeCreate(const std::string& source, const std::string& target, uint16_t tclass) override {
    return Compute({"security_compute_create_raw", library_->security_compute_create_raw, "compute_create"}, source,
                   target, tclass);
  }

  Result<std::string> ComputeRelabel(const std::string& source, const std::string& target, uint16_t tclass) override {
    return Compute({"security_compute_relabel_raw", library_->security_compute_relabel_raw, "compute_relabel"}, source,
                   target, tclass);
  }

  Result<bool> CheckContext(const std::string& context) override {
    constexpr const char* kName = "security_check_context_raw";
    if (!IsRawContext(context)) return false;
    std::lock_guard lock(library_->mutex());
    if (Call(kName, library_->security_check_context_raw, context.c_str()) == 0) return true;
    const int failure = errno != 0 ? errno : EIO;
    if (failure == EINVAL) return false;
    if (failure == EACCES) return NotPermitted(kName, "check_context");
    return Error::System(kName, failure);
  }

  // libselinux keeps every class it has looked up for the life of the process, so a class that a
  // module brings (or changes) later would not be seen: its cache is emptied before each look-up, in
  // one critical section with it. Reading selinuxfs's class/ directory ourselves would give the
  // kernel's own numbers, which are the wrong ones where the embedding program has called
  // selinux_set_mapping(3): the questions above go through that mapping.
  Result<SecurityClass> LookupClass(std::string_view name) override {
    const std::string text(name);
    std::lock_guard lock(library_->mutex());
    Call("selinux_flush_class_cache", library_->selinux_flush_class_cache);
    return selinux::LookUpClass(*library_, text);
  }

  Result<PolicyState> State() override { return selinux::ReadPolicyState(); }
  uint32_t SequenceNow() override { return selinux::PolicySequenceNow(); }

 private:
  Result<std::string> Compute(const ContextQuestion& question, const std::string& source, const std::string& target,
                              uint16_t tclass) {
    if (!IsRawContext(source) || !IsRawContext(target)) return UnknownContext(question.name);
    Result<std::string> computed = Ask(question, source, target, tclass);
    if (computed.ok() || computed.error().errno_value != EACCES) return computed;
    // The kernel says EACCES both for "this process may not ask" and for "what comes out is no valid
    // context". For a process, what comes out of (self, self) without a rule is the process's own
    // context, so a control question tells the two apart.
    VMENTRY_TRY(const std::string self, selinux::ReadThreadAttribute(selinux::ThreadAttribute::kCurrent));
    VMENTRY_TRY(const SecurityClass process, LookupClass("process"));
    const Result<std::string> control = Ask(question, self, self, process.value);
    if (control.ok()) return computed;
    if (control.error().errno_value == EACCES) return NotPermitted(question.name, question.permission);
    return control.error();
  }

  Result<std::string> Ask(const ContextQuestion& question, const std::string& source, const std::string& target,
                          uint16_t tclass) {
    LibraryString context(library_);
    std::lock_guard lock(library_->mutex());
    if (Call(question.name, question.function, source.c_str(), target.c_str(), tclass, context.out()) != 0) {
      return Error::System(question.name, errno != 0 ? errno : EIO);
    }
    // Several functions of libselinux report success without a context where SELinux is off.
    if (context.get() == nullptr || context.get()[0] == '\0') return Error::System(question.name, EIO);
    return std::string(context.get());
  }

  const Library* library_;
};

}  // namespace

Result<PolicySource*> KernelPolicySource() {
  VMENTRY_CHECK(selinux::RequireEnabled());
  VMENTRY_TRY(const Library* const library, Library::Get());
  // Never destroyed: threads may still ask while the process exits.
  static KernelSource* const source = new KernelSource(library);
  return source;
}

}  // namespace vmentry::policy
