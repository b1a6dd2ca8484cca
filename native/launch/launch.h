// The launch, from an allowed decision to a verified process:
//
//   Prepare   what was asked for is opened, labelled and decided about (disk/, decision/)
//   Spawn     sockets, final descriptors, labels read again, decision made again with everything that
//             is inherited, audit, clone and exec (child.h), verification, first instruction
//
// Both run on a native thread of their own. Nothing is named by a path between the two.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/unique_fd.h"
#include "decision/gather.h"
#include "decision/start_decision.h"
#include "launch/child.h"
#include "launch/descriptors.h"
#include "launch/tie.h"

namespace vmentry::launch {

struct PreparedLaunch {
  decision::Gathered gathered;
  decision::Decision decision;
};

// A denial is a value: look at decision.allowed.
Result<PreparedLaunch> Prepare(const decision::StartRequest& request);

struct SpawnRequest {
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::string working_directory;  // empty: inherit
  std::vector<StdioEntry> stdio;
  std::vector<std::vector<int>> image_targets;  // the child's numbers, [object][member]; -1: not given to it
  std::vector<int> reopened;                    // the child's numbers of images that it opens again itself
  bool detached = false;                        // a session of its own
  bool tied = false;                            // dies with this process
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<std::vector<gid_t>> groups;
  std::string cgroup;  // a cgroup v2 directory; empty: inherit
  std::vector<ResourceLimit> limits;
};

// Running, in its context, with its descriptors. Destroying it kills it.
struct Spawned {
  Child child;
  Tie tie;                        // armed; Disarm unless the VM shall die with this process
  std::string context;            // empty where nothing was evaluated
  std::vector<UniqueFd> sockets;  // one for each stdio entry, invalid where it is no socket
};

struct SpawnResult {
  // With everything that is inherited. Not allowed: nothing was started, `spawned` is empty.
  decision::Decision decision;
  std::optional<Spawned> spawned;
};

// ERR_LAUNCH_CANCELLED when `cancelled` says so meanwhile. A thread of its own per call: the launch
// sets attributes of the thread it runs on.
Result<SpawnResult> Spawn(PreparedLaunch prepared, SpawnRequest request, const std::function<bool()>& cancelled);

}  // namespace vmentry::launch
