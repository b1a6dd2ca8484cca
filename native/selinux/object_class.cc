#include "selinux/object_class.h"

#include <cerrno>

#include "selinux/library.h"

namespace vmentry::selinux {
namespace {

constexpr unsigned kMaxPermissions = 32;

// libselinux makes the name a component of a path below selinuxfs's class/ directory: one that leads out of
// there would let whoever owns that directory say what the class means.
bool IsClassName(const std::string& name) {
  return !name.empty() && name[0] != '.' && name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

}  // namespace

Error ClassUnknown(const std::string& what) {
  return Error::Coded("ERR_SELINUX_CLASS_UNKNOWN", "The loaded policy has no object class " + what);
}

Result<ObjectClass> LookUpClass(const Library& library, const std::string& name) {
  ObjectClass found;
  found.name = name;
  if (!IsClassName(name)) return ClassUnknown("'" + name + "'");
  found.value = Call("string_to_security_class", library.string_to_security_class, name.c_str());
  if (found.value == 0) {
    // EINVAL, ENOENT or nothing: no such class. Others (EMFILE, ENOMEM, EACCES) are failures to look.
    if (errno != 0 && errno != EINVAL && errno != ENOENT) return LastError("string_to_security_class");
    return ClassUnknown("'" + name + "'");
  }
  size_t count = 0;
  for (unsigned i = 0; i < kMaxPermissions; ++i) {
    const char* permission =
        Call("security_av_perm_to_string", library.security_av_perm_to_string, found.value, uint32_t{1} << i);
    // Null alone, or EINVAL: the class has no such bit. Of any other bit it could not be found out, and a
    // class without one of its permissions must not be taken for the whole.
    if (permission == nullptr && errno != 0 && errno != EINVAL) return LastError("security_av_perm_to_string");
    found.permissions.emplace_back(permission != nullptr ? permission : "");
    if (permission != nullptr) count = i + 1;
  }
  found.permissions.resize(count);
  return found;
}

}  // namespace vmentry::selinux
