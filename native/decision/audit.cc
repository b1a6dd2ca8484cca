#include "decision/audit.h"

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string_view>

#include "core/fault_injection.h"
#include "core/unique_fd.h"
#include "decision/thread_status.h"

namespace vmentry::decision {
namespace {

constexpr int kUserAvc = 1107;           // AUDIT_USER_AVC
constexpr int kUserSelinuxError = 1122;  // AUDIT_USER_SELINUX_ERR
constexpr unsigned kCapAuditWrite = 29;  // CAP_AUDIT_WRITE

struct AuditLibrary {
  int (*audit_open)() = nullptr;
  int (*audit_log_user_avc_message)(int fd, int type, const char* message, const char* host, const char* address,
                                    const char* terminal, uid_t uid) = nullptr;
};

// Null where libaudit is not installed. Looked for once: it comes with the system.
const AuditLibrary* Library() {
  static const AuditLibrary* const library = []() -> const AuditLibrary* {
    void* handle = dlopen("libaudit.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == nullptr) return nullptr;
    auto* loaded = new AuditLibrary();
    loaded->audit_open = reinterpret_cast<decltype(loaded->audit_open)>(dlsym(handle, "audit_open"));
    loaded->audit_log_user_avc_message =
        reinterpret_cast<decltype(loaded->audit_log_user_avc_message)>(dlsym(handle, "audit_log_user_avc_message"));
    if (loaded->audit_open == nullptr || loaded->audit_log_user_avc_message == nullptr) {
      delete loaded;
      return nullptr;
    }
    return loaded;
  }();
  return library;
}

// As the kernel writes a name that anybody could have chosen: quoted, or in hexadecimal where quoting
// would let it end the field.
void AppendUntrusted(std::string_view text, std::string* out) {
  bool plain = true;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    plain = plain && byte > 0x20 && byte < 0x7f && byte != '"';
  }
  if (plain) {
    out->append("\"").append(text).append("\"");
    return;
  }
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out->push_back(kDigits[byte >> 4]);
    out->push_back(kDigits[byte & 15]);
  }
}

std::string Record(const Check& check, std::string_view verdict, const std::vector<std::string>& permissions) {
  std::string text("avc:  ");
  text.append(verdict).append("  {");
  for (const std::string& permission : permissions) text.append(" ").append(permission);
  text.append(" } for  name=");
  AppendUntrusted(check.subject, &text);
  text.append(" scontext=").append(check.source).append(" tcontext=").append(check.target);
  text.append(" tclass=").append(check.tclass);
  if (verdict == "denied") text.append(check.permissive ? " permissive=1" : " permissive=0");
  return text;
}

bool AskedByTheKernelToo(Question question) { return question == Question::kExec || question == Question::kInherit; }

}  // namespace

std::vector<AuditRecord> AuditRecordsOf(const Decision& decision) {
  std::vector<AuditRecord> records;
  for (const Check& check : decision.checks) {
    if (decision.allowed && AskedByTheKernelToo(check.question)) continue;
    if (!check.invalid_context.empty()) {
      std::string text("op=vm_entrypoint_decide seresult=denied invalid_context=");
      AppendUntrusted(check.invalid_context, &text);
      records.push_back({kUserSelinuxError, std::move(text)});
      continue;
    }
    if (check.question == Question::kVmDomain) {
      if (check.denied.empty()) continue;
      std::string text("op=vm_entrypoint_decide seresult=denied reason=no_transition name=");
      AppendUntrusted(check.subject, &text);
      text.append(" scontext=").append(check.source).append(" tcontext=").append(check.target).append(" tclass=vm");
      records.push_back({kUserSelinuxError, std::move(text)});
      continue;
    }
    if (!check.denied.empty() && check.auditable) records.push_back({kUserAvc, Record(check, "denied", check.denied)});
    // What is granted within a refused start was not used.
    if (decision.allowed && !check.audit_granted.empty()) {
      records.push_back({kUserAvc, Record(check, "granted", check.audit_granted)});
    }
  }
  return records;
}

Result<size_t> Audit(const Decision& decision) {
  const std::vector<AuditRecord> records = AuditRecordsOf(decision);
  if (records.empty()) return size_t{0};
  VMENTRY_TRY(const ThreadStatus status, ReadThreadStatus());
  // Without the capability the attempt itself would be denied, and logged as one.
  if ((status.effective_capabilities >> kCapAuditWrite & 1) == 0) return size_t{0};
  const AuditLibrary* const library = Library();
  if (library == nullptr) return size_t{0};
  int failure = fault::Take("audit_open");
  const UniqueFd fd(failure != 0 ? -1 : library->audit_open());
  if (!fd) {
    if (failure == 0) failure = errno;
    // A kernel without audit: there is no log to write to.
    if (failure == EPROTONOSUPPORT || failure == EAFNOSUPPORT || failure == EINVAL) return size_t{0};
    return Error::System("audit_open", failure);
  }
  for (const AuditRecord& record : records) {
    failure = fault::Take("audit_log_user_avc_message");
    if (failure == 0 && library->audit_log_user_avc_message(fd.get(), record.type, record.text.c_str(), nullptr,
                                                            nullptr, nullptr, ::getuid()) <= 0) {
      failure = errno != 0 ? errno : EIO;
    }
    if (failure != 0) return Error::System("audit_log_user_avc_message", failure);
  }
  return records.size();
}

}  // namespace vmentry::decision
