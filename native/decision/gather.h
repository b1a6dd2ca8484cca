// Gather: the step between a start request and the question to policy. Everything that is opened or
// read is opened or read here, once: images with their chains, the emulator, the contexts of this
// process. `decide` asks with the result and drops it; `launch` goes on with its descriptors.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/unique_fd.h"
#include "decision/start_decision.h"
#include "disk/image.h"

namespace vmentry::decision {

enum class SelinuxMode : uint8_t {
  kRequire,  // a host without SELinux is an error
  kPrefer,   // such a host is not evaluated; where SELinux is on, it decides
  kOff,      // nothing is evaluated
};

// One object as it was asked for. Exactly one of path, fd and context names it; with fd, path may
// carry a name for messages.
struct ObjectRequest {
  Role role = Role::kDisk;
  bool read_only = true;
  disk::Format format = disk::Format::kRaw;
  std::string path;
  int fd = -1;
  std::string context;    // asked about without opening anything
  mode_t mode = S_IFREG;  // the object class that goes with `context`
};

struct StartRequest {
  std::vector<ObjectRequest> objects;
  size_t boot_object = 0;        // index in objects: whose label chooses the domain
  std::string client;            // empty: this process
  std::string launcher;          // empty: this process
  std::string emulator_path;     // pinned and labelled; empty: none
  std::string emulator_context;  // asked about without opening anything; empty: none
  Rule rule = Rule::kTransition;
  Action action = Action::kStart;
  SelinuxMode selinux = SelinuxMode::kRequire;
};

// The VMM binary behind one O_PATH descriptor, to be run by execveat(AT_EMPTY_PATH).
struct PinnedEmulator {
  UniqueFd fd;
  std::string path;
  struct stat status = {};
  std::string context;  // empty only where nothing is evaluated
  bool nosuid = false;
};

struct GatheredObject {
  Role role = Role::kDisk;
  disk::ImageChain chain;     // no members: the request named only a context
  size_t first_question = 0;  // chain.members[i] is question.objects[first_question + i]
  size_t question_count = 0;
};

struct Gathered {
  bool evaluate = true;  // false: enforcement is off, by an explicit option
  disk::Labels labels = disk::Labels::kRequired;
  StartQuestion question;
  std::vector<GatheredObject> objects;  // one for each of the request's, in its order
  PinnedEmulator emulator;              // fd invalid: none was named by path
};

// Opens, reads and labels what the request names. Touches no path where contexts are given.
Result<Gathered> Gather(const StartRequest& request);

// The question that was gathered, about another image in place of boot object `object` (an index of
// gathered.objects): a whole chain, or one image of which only type and label are known.
StartQuestion WithBootChain(const Gathered& gathered, size_t object, const disk::ImageChain& chain);
StartQuestion WithBootImage(const Gathered& gathered, size_t object, const std::string& name,
                            const std::string& context, mode_t mode, bool read_only);

// Pins a program: symbolic links are followed (it is the administrator's path, and what is run is
// the descriptor), everything but a regular file is refused.
Result<PinnedEmulator> PinEmulator(const std::string& path, disk::Labels labels);

// The decision about what was gathered, from the running kernel's policy; `evaluated: false` where
// enforcement is off.
Result<Decision> Decide(const Gathered& gathered);

}  // namespace vmentry::decision
