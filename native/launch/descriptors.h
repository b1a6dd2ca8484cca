// What the VM inherits besides its images: made or taken here, asked about before the exec, and
// compared with what the process really has afterwards. (The kernel replaces a descriptor that the
// new domain may not use with a null device, and tells nobody.)
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "core/unique_fd.h"
#include "decision/start_decision.h"
#include "launch/child.h"

namespace vmentry::launch {

struct StdioEntry {
  enum class Kind : uint8_t {
    kIgnore,  // /dev/null
    kSocket,  // one end of a new socket pair, the other is the caller's
    kFd,      // `source`
  };
  int target = -1;
  Kind kind = Kind::kIgnore;
  UniqueFd source;  // kFd: a duplicate of the caller's descriptor
  UniqueFd ours;    // kSocket: the caller's end, once made
};

// Fills `source` and `ours` of every entry. Sockets get `socket_context` as their label (empty: the
// kernel's default); only the calling thread may be running the launch.
Status MakeStdio(std::vector<StdioEntry>* entries, const std::string& socket_context);

// `launcher` with the level of `vm`: a VM that is bound to its categories could not read a socket
// with the launcher's whole range.
std::string SocketContext(const std::string& launcher, const std::string& vm);

// The question that the kernel will ask about an open descriptor when it is inherited.
// `context` stays empty where the object has none and the kernel therefore asks nothing.
Result<decision::DescriptorQuestion> QuestionAbout(int fd, const std::string& name);

// Whether descriptor `target` of `pid` is the object that `source` is here. `exactly`: the process
// has not run yet, so anything else is an error. Otherwise it may have closed or replaced it itself,
// and only the kernel's replacement is an error. ERR_LAUNCH_DESCRIPTORS.
Status VerifyDescriptors(int procfs, pid_t pid, const std::vector<DescriptorMapping>& descriptors, bool exactly);

}  // namespace vmentry::launch
