#include "decision/diagnosis.h"

#include <array>
#include <string_view>
#include <vector>

#include "decision/context_fields.h"

namespace vmentry::decision {
namespace {

constexpr std::string_view kObjectRole = "object_r";

}  // namespace

std::string AllowRule(const std::string& source, const std::string& target, std::string_view tclass,
                      const std::vector<std::string>& permissions) {
  const std::string_view source_type = ContextFields::Of(source).type;
  const std::string_view target_type = ContextFields::Of(target).type;
  std::string rule("(allow ");
  rule.append(source_type).append(" ").append(source_type == target_type ? "self" : target_type);
  rule.append(" (").append(tclass).append(" (");
  for (size_t i = 0; i < permissions.size(); ++i) rule.append(i == 0 ? "" : " ").append(permissions[i]);
  return rule.append(")))");
}

Result<uint32_t> RefusedByConstraint(AccessCache& cache, const Epoch& epoch, const Interned& source,
                                     const Interned& target, uint16_t tclass, uint32_t denied) {
  // Constraints compare the user, role and level of the two contexts, allow rules their types. So:
  // the same types, with nothing left to compare.
  const ContextFields from = ContextFields::Of(source.text);
  ContextFields to = ContextFields::Of(target.text);
  to.user = from.user;
  to.range = from.range;
  const bool both_are_processes = from.role != kObjectRole && to.role != kObjectRole;
  const std::string same_level = to.Join();
  to.role = from.role;
  const std::string same_role = to.Join();
  uint32_t granted = 0;
  for (const std::string& candidate : {same_level, same_role}) {
    if (candidate == target.text || (granted & denied) == denied) continue;
    if (candidate == same_role && !both_are_processes) continue;
    VMENTRY_TRY(const AccessAnswer answer, cache.Access(epoch, source, cache.Intern(candidate), tclass));
    granted |= answer.allowed;
  }
  return granted & denied;
}

Result<std::string> MissingForTransition(AccessCache& cache, const Epoch& epoch, Rule rule, const Interned& client,
                                         const Interned& disk, uint16_t vm_class) {
  const ContextFields client_fields = ContextFields::Of(client.text);
  const ContextFields disk_fields = ContextFields::Of(disk.text);
  // object_r goes with every type and every level, so with this client the type that the rule names
  // comes out whether or not the real client's role may have it.
  ContextFields anybody = client_fields;
  anybody.role = kObjectRole;
  Interned named;
  VMENTRY_TRY(const NewContextAnswer answer,
              cache.NewContext(epoch, rule, cache.Intern(anybody.Join()), disk, vm_class, &named));
  const std::string type(answer.context == kNoContext ? "" : ContextFields::Of(named.text).type);
  if (type.empty() || type == disk_fields.type) {
    return std::string(rule == Rule::kChange ? "(typechange " : "(typetransition ")
        .append(client_fields.type)
        .append(" ")
        .append(disk_fields.type)
        .append(" vm DOMAIN)");
  }
  ContextFields vm = client_fields;
  vm.type = type;
  VMENTRY_TRY(const bool valid, cache.source().CheckContext(vm.Join()));
  if (valid) return std::string();
  return std::string("(roletype ").append(client_fields.role).append(" ").append(type).append(")");
}

}  // namespace vmentry::decision
