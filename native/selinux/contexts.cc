#include "selinux/contexts.h"

#include "selinux/library.h"
#include "selinux/state.h"

namespace vmentry::selinux {
namespace {

// Runs `call(out)` under the lock; what it gives out is a context.
template <typename Function>
Result<std::string> Obtain(const Library* library, std::string_view syscall, Function call) {
  LibraryString context(library);
  std::lock_guard lock(library->mutex());
  if (call(context.out()) < 0) return LastError(syscall);
  if (context.get() == nullptr) return Error::System(syscall, EIO);
  return std::string(context.get());
}

}  // namespace

Result<const Library*> EnabledLibrary() {
  VMENTRY_CHECK(RequireEnabled());
  return Library::Get();
}

bool IsRawContext(std::string_view context) {
  if (context.empty()) return false;
  for (const char c : context) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '\x7f') return false;
  }
  return true;
}

Error UnknownContext(std::string_view syscall, std::string_view context) {
  Error error = Error::System(syscall, EINVAL);
  error.code = "ERR_SELINUX_CONTEXT_INVALID";
  error.message = "The loaded policy does not know the context '" + std::string(context) + "'";
  return error;
}

Result<std::string> TranslatedToRaw(const std::string& translated) {
  VMENTRY_TRY(const Library* library, Library::Get());
  return Obtain(library, "selinux_trans_to_raw_context", [&](char** out) {
    return Call("selinux_trans_to_raw_context", library->selinux_trans_to_raw_context, translated.c_str(), out);
  });
}

Result<std::string> RawToTranslated(const std::string& raw) {
  VMENTRY_TRY(const Library* library, Library::Get());
  return Obtain(library, "selinux_raw_to_trans_context", [&](char** out) {
    return Call("selinux_raw_to_trans_context", library->selinux_raw_to_trans_context, raw.c_str(), out);
  });
}

Result<std::string> ToRaw(std::string_view syscall, const std::string& context, Form form) {
  if (form == Form::kTranslated) {
    VMENTRY_TRY(std::string raw, TranslatedToRaw(context));
    if (IsRawContext(raw)) return raw;
  } else if (IsRawContext(context)) {
    return context;
  }
  return UnknownContext(syscall, context);
}

Result<std::string> FromRaw(std::string raw, Form form) {
  if (form == Form::kRaw) return raw;
  return RawToTranslated(raw);
}

Result<bool> CheckContext(const std::string& context, Form form) {
  VMENTRY_TRY(const Library* library, EnabledLibrary());
  const Result<std::string> raw = ToRaw("security_check_context", context, form);
  if (!raw.ok()) {
    if (raw.error().code == "ERR_SELINUX_CONTEXT_INVALID") return false;
    return raw.error();
  }
  std::lock_guard lock(library->mutex());
  if (Call("security_check_context_raw", library->security_check_context_raw, raw.value().c_str()) == 0) return true;
  if (errno == EINVAL) return false;
  return LastError("security_check_context");
}

Result<std::string> CanonicalizeContext(const std::string& context, Form form) {
  constexpr std::string_view kSyscall = "security_canonicalize_context";
  VMENTRY_TRY(const Library* library, EnabledLibrary());
  VMENTRY_TRY(const std::string raw, ToRaw(kSyscall, context, form));
  Result<std::string> canonical = Obtain(library, kSyscall, [&](char** out) {
    return Call("security_canonicalize_context_raw", library->security_canonicalize_context_raw, raw.c_str(), out);
  });
  if (!canonical.ok()) {
    return canonical.error().errno_value == EINVAL ? UnknownContext(kSyscall, context) : canonical.error();
  }
  return FromRaw(std::move(canonical).value(), form);
}

Result<std::string> CurrentContext(Form form) {
  VMENTRY_TRY(const Library* library, EnabledLibrary());
  VMENTRY_TRY(std::string raw,
              Obtain(library, "getcon", [&](char** out) { return Call("getcon_raw", library->getcon_raw, out); }));
  return FromRaw(std::move(raw), form);
}

Result<std::string> PreviousContext(Form form) {
  VMENTRY_TRY(const Library* library, EnabledLibrary());
  VMENTRY_TRY(std::string raw, Obtain(library, "getprevcon", [&](char** out) {
                return Call("getprevcon_raw", library->getprevcon_raw, out);
              }));
  return FromRaw(std::move(raw), form);
}

Result<std::string> ProcessContext(pid_t pid, Form form) {
  VMENTRY_TRY(const Library* library, EnabledLibrary());
  VMENTRY_TRY(std::string raw, Obtain(library, "getpidcon", [&](char** out) {
                return Call("getpidcon_raw", library->getpidcon_raw, pid, out);
              }));
  return FromRaw(std::move(raw), form);
}

Result<std::string> PreviousProcessContext(pid_t pid, Form form) {
  VMENTRY_TRY(const Library* library, EnabledLibrary());
  VMENTRY_TRY(std::string raw, Obtain(library, "getpidprevcon", [&](char** out) {
                return Call("getpidprevcon_raw", library->getpidprevcon_raw, pid, out);
              }));
  return FromRaw(std::move(raw), form);
}

Result<std::string> PeerContext(int fd, Form form) {
  VMENTRY_TRY(const Library* library, EnabledLibrary());
  Result<std::string> raw = Obtain(
      library, "getpeercon", [&](char** out) { return Call("getpeercon_raw", library->getpeercon_raw, fd, out); });
  if (!raw.ok()) {
    raw.error().fd = fd;
    return raw;
  }
  return FromRaw(std::move(raw).value(), form);
}

}  // namespace vmentry::selinux
