// The kernel's own /proc.
//
// In a container somebody else may decide what is mounted at /proc and below it; a file that is not
// the kernel's would turn "the context was set" and "the process runs in it" into lies, and the write of a
// context into the write of something else (CVE-2019-19921, CVE-2025-52881). So the root must be that of a
// procfs, of this process's pid namespace, and no mount below it is crossed.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "core/unique_fd.h"

namespace vmentry::procfs {

// O_PATH. An error with `code` when /proc is something else.
Result<UniqueFd> Open(std::string_view code);
// Opens `relative` below `root`; an error with `code` when something is mounted over it.
Result<UniqueFd> OpenFile(int root, const std::string& relative, int flags, std::string_view code);

}  // namespace vmentry::procfs
