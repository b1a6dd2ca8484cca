// Why something was refused, as far as the kernel can be made to tell: it answers yes or no, so the
// same question is asked again with contexts that differ in one thing. Never part of a verdict.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"
#include "decision/access_cache.h"

namespace vmentry::decision {

// Of the `denied` bits, those for which an allow rule exists: a constraint on the level, role or user
// refuses them.
Result<uint32_t> RefusedByConstraint(AccessCache& cache, const Epoch& epoch, const Interned& source,
                                     const Interned& target, uint16_t tclass, uint32_t denied);

// The CIL statement that is missing where policy names no domain for (client, disk): the type rule
// itself, or, where there is one, the roletype without which its result is no valid context. Empty
// when neither is the reason.
Result<std::string> MissingForTransition(AccessCache& cache, const Epoch& epoch, Rule rule, const Interned& client,
                                         const Interned& disk, uint16_t vm_class);

// `(allow source target (class (permissions)))`.
std::string AllowRule(const std::string& source, const std::string& target, std::string_view tclass,
                      const std::vector<std::string>& permissions);

}  // namespace vmentry::decision
