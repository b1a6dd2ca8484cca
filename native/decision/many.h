// DecideMany: one start decision for each of many images, on several threads. Images with the same
// labels share one decision, so what is left per image is reading its label.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "decision/gather.h"
#include "decision/start_decision.h"

namespace vmentry::decision {

// What goes with each image of a ManyRequest.
enum ManyFlags : uint8_t {
  kManyQcow2 = 1,
  kManyReadOnly = 2,
  kManyContext = 4,      // the name is a context, nothing is opened
  kManyBlockDevice = 8,  // with kManyContext: the object class is blk_file
};

struct ManyRequest {
  StartRequest common;             // its objects are the kernel, initrd, … that go with every image
  std::vector<std::string> names;  // of the boot disks: paths or contexts
  std::vector<uint8_t> flags;      // one for each name
  unsigned threads = 1;
};

inline constexpr uint32_t kNotDecided = 0xffffffff;

// One answer for all images whose contexts, classes and modes are the same.
struct SharedDecision {
  StartQuestion question;
  uint32_t verdict = 0;
  std::string vm_context;
};

// All answers belong to one policy, even when it was reloaded meanwhile.
struct ManyResult {
  bool evaluated = true;
  bool enforcing = true;
  uint32_t policy_sequence = 0;
  std::vector<uint32_t> decision_of;  // for each name an index in decisions, or kNotDecided
  std::vector<SharedDecision> decisions;
  std::map<uint32_t, Error> errors;  // index of the name: why it could not be decided about
};

// Progress counts the images that were looked at. Both may be used by other threads meanwhile.
struct ManyControl {
  std::atomic<bool> cancelled{false};
  std::atomic<uint32_t> done{0};
};

// ERR_ABORTED when it was cancelled, by `control` or by `also_cancelled` (may be null). A failure that concerns one
// image is its own; one that concerns all of them (no SELinux, no class, no client) is the result.
Result<ManyResult> DecideMany(const ManyRequest& request, ManyControl* control,
                              const std::atomic<bool>* also_cancelled = nullptr);

}  // namespace vmentry::decision
