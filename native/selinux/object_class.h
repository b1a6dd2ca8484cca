// ObjectClass: a class of the loaded policy with its permissions, looked up by name through libselinux.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace vmentry::selinux {

class Library;

// Valid for one policy.
struct ObjectClass {
  uint16_t value = 0;
  std::vector<std::string> permissions = {};  // permissions[i] is bit 1u << i; empty where a bit has no name
  std::string name = {};

  // 0 when the class has no permission of that name.
  uint32_t BitOf(std::string_view permission) const {
    for (size_t i = 0; i < permissions.size(); ++i) {
      if (permissions[i] == permission) return 1u << i;
    }
    return 0;
  }
};

Error ClassUnknown(const std::string& what);

// LOCKED(library.mutex()). ERR_SELINUX_CLASS_UNKNOWN when the policy has no such class. libselinux keeps
// every class that it has looked up for the life of the process: the caller empties its cache
// (selinux_flush_class_cache) before, in the same critical section, when the policy may be another one.
Result<ObjectClass> LookUpClass(const Library& library, const std::string& name);

}  // namespace vmentry::selinux
