// The four fields of a raw context, `user:role:type:range`. Only to name them in rules and to compare
// types: what a context means is the policy's business.
#pragma once

#include <string>
#include <string_view>

namespace vmentry::decision {

struct ContextFields {
  std::string_view user;
  std::string_view role;
  std::string_view type;
  std::string_view range;  // everything after the third colon; empty where the policy has no MLS

  // Views into `context`. Fields that are missing are empty.
  static ContextFields Of(std::string_view context) {
    ContextFields fields;
    std::string_view* const parts[] = {&fields.user, &fields.role, &fields.type};
    for (std::string_view* part : parts) {
      const size_t colon = context.find(':');
      *part = context.substr(0, colon);
      if (colon == std::string_view::npos) return fields;
      context.remove_prefix(colon + 1);
    }
    fields.range = context;
    return fields;
  }

  std::string Join() const {
    std::string text;
    text.append(user).append(":").append(role).append(":").append(type);
    if (!range.empty()) text.append(":").append(range);
    return text;
  }
};

}  // namespace vmentry::decision
