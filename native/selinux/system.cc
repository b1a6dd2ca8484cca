#include "selinux/system.h"

#include "selinux/contexts.h"
#include "selinux/library.h"

namespace vmentry::selinux {
namespace {

// A function that answers 0, 1 or -1.
template <typename R, typename... Parameters, typename... Arguments>
Result<int> Ask(const char* name, R (*Library::*function)(Parameters...), std::string_view path,
                Arguments... arguments) {
  VMENTRY_TRY(const Library* library, EnabledLibrary());
  std::lock_guard lock(library->mutex());
  const int answer = Call(name, library->*function, arguments...);
  if (answer < 0) return LastError(name, path);
  return answer;
}

Result<bool> AsBool(const Result<int>& answer) {
  if (!answer.ok()) return answer.error();
  return answer.value() != 0;
}

Status AsStatus(const Result<int>& answer) {
  if (!answer.ok()) return answer.error();
  return Ok();
}

// The name of a boolean becomes part of a path below selinuxfs's booleans/ directory.
Status CheckBooleanName(const char* function, const std::string& name) {
  if (!name.empty() && name[0] != '.' && name.find('/') == std::string::npos) return Ok();
  return Error::System(function, ENOENT, name);
}

}  // namespace

Result<bool> IsMlsEnabled() { return AsBool(Ask("is_selinux_mls_enabled", &Library::is_selinux_mls_enabled, {})); }
Result<bool> DenyUnknown() { return AsBool(Ask("security_deny_unknown", &Library::security_deny_unknown, {})); }
Result<bool> RejectUnknown() { return AsBool(Ask("security_reject_unknown", &Library::security_reject_unknown, {})); }
Result<bool> GetEnforce() { return AsBool(Ask("security_getenforce", &Library::security_getenforce, {})); }
Status SetEnforce(bool enforcing) {
  return AsStatus(Ask("security_setenforce", &Library::security_setenforce, {}, enforcing ? 1 : 0));
}
Result<int> PolicyVersion() { return Ask("security_policyvers", &Library::security_policyvers, {}); }

Result<std::string> PolicyType() {
  VMENTRY_TRY(const Library* library, Library::Get());
  // Comes from malloc, like a context, and freecon is free.
  LibraryString type(library);
  std::lock_guard lock(library->mutex());
  if (Call("selinux_getpolicytype", library->selinux_getpolicytype, type.out()) < 0 || type.get() == nullptr) {
    return LastError("selinux_getpolicytype");
  }
  return std::string(type.get());
}

Result<std::vector<std::string>> BooleanNames() {
  VMENTRY_TRY(const Library* library, EnabledLibrary());
  char** names = nullptr;
  int count = 0;
  std::lock_guard lock(library->mutex());
  if (Call("security_get_boolean_names", library->security_get_boolean_names, &names, &count) < 0) {
    return LastError("security_get_boolean_names");
  }
  std::vector<std::string> copy(names, names + count);
  // Not freeconary: the array's end is not marked.
  for (int i = 0; i < count; ++i) library->freecon(names[i]);
  library->freecon(reinterpret_cast<char*>(names));
  return copy;
}

Result<bool> GetBoolean(const std::string& name, BooleanValue which) {
  if (which == BooleanValue::kActive) {
    VMENTRY_CHECK(CheckBooleanName("security_get_boolean_active", name));
    return AsBool(Ask("security_get_boolean_active", &Library::security_get_boolean_active, name, name.c_str()));
  }
  VMENTRY_CHECK(CheckBooleanName("security_get_boolean_pending", name));
  return AsBool(Ask("security_get_boolean_pending", &Library::security_get_boolean_pending, name, name.c_str()));
}

Status SetBoolean(const std::string& name, bool value) {
  VMENTRY_CHECK(CheckBooleanName("security_set_boolean", name));
  return AsStatus(Ask("security_set_boolean", &Library::security_set_boolean, name, name.c_str(), value ? 1 : 0));
}

Status CommitBooleans() { return AsStatus(Ask("security_commit_booleans", &Library::security_commit_booleans, {})); }

Status SetBooleans(const std::vector<std::pair<std::string, bool>>& values) {
  std::vector<BooleanSetting> list;
  for (const auto& [name, value] : values) {
    VMENTRY_CHECK(CheckBooleanName("security_set_boolean_list", name));
    list.push_back({const_cast<char*>(name.c_str()), value ? 1 : 0});
  }
  return AsStatus(
      Ask("security_set_boolean_list", &Library::security_set_boolean_list, {}, list.size(), list.data(), 0));
}

}  // namespace vmentry::selinux
