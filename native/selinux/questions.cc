#include "selinux/questions.h"

#include <functional>

#include "core/system_calls.h"
#include "selinux/state.h"

namespace vmentry::selinux {
namespace {

constexpr int kAttempts = 10;

// LOCKED(library->mutex()): the policy load that libselinux's class cache was filled from.
bool g_classes_known = false;
uint32_t g_classes_policyload = 0;

// LOCKED(library->mutex()).
void FlushIfReloaded(const Library* library, uint32_t policyload) {
  if (g_classes_known && g_classes_policyload == policyload) return;
  Call("selinux_flush_class_cache", library->selinux_flush_class_cache);
  g_classes_known = true;
  g_classes_policyload = policyload;
}

// Asks with `ask`, under the lock and with the class cache of the loaded policy; again when the policy
// was reloaded meanwhile, because class numbers and answers must be of one policy.
template <typename T>
Result<T> AskConsistently(const Library* library, const std::function<Result<T>()>& ask) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    VMENTRY_TRY(const PolicyState before, ReadPolicyState());
    Result<T> answer = [&] {
      std::lock_guard lock(library->mutex());
      FlushIfReloaded(library, before.policyload);
      return ask();
    }();
    VMENTRY_TRY(const PolicyState after, ReadPolicyState());
    if (after.policyload == before.policyload) return answer;
  }
  return Error::Coded("ERR_SELINUX_POLICY_CHANGED",
                      "The policy was reloaded again and again while it was asked: try again");
}

// Says what the errno of a failed question means. Outside the lock: it asks again.
Error Explain(Error error, const std::string& source, const std::string& target) {
  if (error.errno_value == EINVAL) {
    const Result<bool> source_known = CheckContext(source, Form::kRaw);
    if (source_known.ok() && !source_known.value()) return UnknownContext(error.syscall, source);
    const Result<bool> target_known = CheckContext(target, Form::kRaw);
    if (!source_known.ok() || !target_known.ok() || !target_known.value()) {
      return UnknownContext(error.syscall, target);
    }
    error.message = "the policy knows both contexts, and none comes out of them: their ranges do not meet";
  }
  if (error.errno_value == EACCES) {
    const std::string permission = error.syscall.substr(error.syscall.find('_') + 1);
    error.message = "the domain of this process lacks security { " + permission + " }";
    if (permission != "compute_av") error.message += ", or policy makes no valid context of these two";
  }
  return error;
}

}  // namespace

Result<ObjectClass> FindClass(const std::string& name) {
  VMENTRY_TRY(const Library* library, EnabledLibrary());
  return AskConsistently<ObjectClass>(library, [&] { return LookUpClass(*library, name); });
}

Result<ObjectClass> FindClass(uint16_t value) {
  VMENTRY_TRY(const Library* library, EnabledLibrary());
  std::string directory;
  {
    std::lock_guard lock(library->mutex());
    directory = library->mount_point() + "/class";
  }
  Result<ObjectClass> found = AskConsistently<ObjectClass>(library, [&]() -> Result<ObjectClass> {
    // libselinux answers by number only for classes that were looked up by name before.
    VMENTRY_TRY(const std::vector<std::string> names, sys::ListDirectory(directory));
    for (const std::string& name : names) {
      Result<ObjectClass> candidate = LookUpClass(*library, name);
      if (candidate.ok() && candidate.value().value == value) return candidate;
      if (!candidate.ok() && candidate.error().code.empty()) return candidate;
    }
    return ClassUnknown("number " + std::to_string(value));
  });
  if (!found.ok() && found.error().errno_value != 0) found.error().syscall = "security_class_to_string";
  return found;
}

Result<AvAnswer> ComputeAv(const std::string& source, const std::string& target, const std::string& object_class,
                           Form form) {
  constexpr std::string_view kSyscall = "security_compute_av";
  VMENTRY_TRY(const Library* library, EnabledLibrary());
  VMENTRY_TRY(const std::string raw_source, ToRaw(kSyscall, source, form));
  VMENTRY_TRY(const std::string raw_target, ToRaw(kSyscall, target, form));
  Result<AvAnswer> asked = AskConsistently<AvAnswer>(library, [&]() -> Result<AvAnswer> {
    AvAnswer answer;
    VMENTRY_TRY(answer.object_class, LookUpClass(*library, object_class));
    // Kernels have ignored the requested permissions since 2.6.33: they always answer for all.
    if (Call("security_compute_av_flags_raw", library->security_compute_av_flags_raw, raw_source.c_str(),
             raw_target.c_str(), answer.object_class.value, uint32_t{0xffffffff}, &answer.decision) < 0) {
      return LastError(kSyscall);
    }
    return answer;
  });
  if (!asked.ok()) return Explain(asked.error(), raw_source, raw_target);
  return asked;
}

Result<std::string> ComputeContext(NewContext question, const std::string& source, const std::string& target,
                                   const std::string& object_class, const std::optional<std::string>& object_name,
                                   Form form) {
  VMENTRY_TRY(const Library* library, EnabledLibrary());
  const char* syscall = "security_compute_create";
  const char* symbol = "security_compute_create_raw";
  int (*function)(const char*, const char*, uint16_t, char**) = library->security_compute_create_raw;
  if (question == NewContext::kRelabel) {
    syscall = "security_compute_relabel";
    symbol = "security_compute_relabel_raw";
    function = library->security_compute_relabel_raw;
  } else if (question == NewContext::kMember) {
    syscall = "security_compute_member";
    symbol = "security_compute_member_raw";
    function = library->security_compute_member_raw;
  }
  VMENTRY_TRY(const std::string raw_source, ToRaw(syscall, source, form));
  VMENTRY_TRY(const std::string raw_target, ToRaw(syscall, target, form));
  Result<std::string> asked = AskConsistently<std::string>(library, [&]() -> Result<std::string> {
    VMENTRY_TRY(const ObjectClass found, LookUpClass(*library, object_class));
    LibraryString context(library);
    const int result =
        object_name.has_value()
            ? Call("security_compute_create_name_raw", library->security_compute_create_name_raw, raw_source.c_str(),
                   raw_target.c_str(), found.value, object_name->c_str(), context.out())
            : Call(symbol, function, raw_source.c_str(), raw_target.c_str(), found.value, context.out());
    if (result < 0) return LastError(syscall);
    if (context.get() == nullptr) return Error::System(syscall, EIO);
    return std::string(context.get());
  });
  if (!asked.ok()) return Explain(asked.error(), raw_source, raw_target);
  return FromRaw(std::move(asked).value(), form);
}

}  // namespace vmentry::selinux
