#include "decision/many.h"

#include <pthread.h>
#include <sys/stat.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "disk/image.h"
#include "disk/path_label.h"

namespace vmentry::decision {
namespace {

// Images a thread takes at a time: enough that the counter is not contended, few enough that the last
// ones are shared out.
constexpr size_t kChunk = 32;

Error Cancelled() { return Error::Coded("ERR_ABORTED", "The operation was aborted"); }

// Runs `body` on this thread and up to `threads - 1` more. A thread that cannot be made is one less:
// the work is taken from a common counter.
void RunOnThreads(unsigned threads, const std::function<void()>& body) {
  std::vector<pthread_t> started;
  for (unsigned i = 1; i < threads; ++i) {
    pthread_t thread;
    const auto entry = [](void* data) -> void* {
      (*static_cast<const std::function<void()>*>(data))();
      return nullptr;
    };
    if (pthread_create(&thread, nullptr, entry, const_cast<std::function<void()>*>(&body)) != 0) break;
    pthread_setname_np(thread, "vme-many");
    started.push_back(thread);
  }
  body();
  for (const pthread_t thread : started) pthread_join(thread, nullptr);
}

class Many {
 public:
  Many(const ManyRequest& request, ManyControl* control, const std::atomic<bool>* also_cancelled)
      : request_(request), control_(control), also_cancelled_(also_cancelled) {}

  Result<ManyResult> Run() {
    StartRequest common = request_.common;
    common.boot_object = std::numeric_limits<size_t>::max();  // none of these: each image in its turn
    VMENTRY_TRY(common_, Gather(common));
    // One place in front of the others, for the image.
    common_.objects.insert(common_.objects.begin(), GatheredObject());
    result_.decision_of.assign(request_.names.size(), kNotDecided);

    std::atomic<size_t> next{0};
    RunOnThreads(request_.threads, [&] { LookAtImages(&next); });
    if (IsCancelled()) return Cancelled();
    VMENTRY_CHECK(DecideAll());
    return std::move(result_);
  }

 private:
  // What distinguishes one decision from another.
  using Known = std::unordered_map<std::string, uint32_t>;

  bool IsCancelled() const {
    return control_->cancelled.load(std::memory_order_relaxed) ||
           (also_cancelled_ != nullptr && also_cancelled_->load(std::memory_order_relaxed));
  }

  void LookAtImages(std::atomic<size_t>* next) {
    Known known;  // of this thread, so that most images take no lock
    for (;;) {
      const size_t begin = next->fetch_add(kChunk, std::memory_order_relaxed);
      if (begin >= request_.names.size()) return;
      const size_t end = std::min(begin + kChunk, request_.names.size());
      for (size_t i = begin; i < end; ++i) {
        if (IsCancelled()) return;
        Result<uint32_t> index = LookAt(i, &known);
        if (index.ok()) {
          result_.decision_of[i] = index.value();
        } else {
          std::lock_guard lock(mutex_);
          result_.errors.emplace(static_cast<uint32_t>(i), std::move(index).error());
        }
      }
      control_->done.fetch_add(static_cast<uint32_t>(end - begin), std::memory_order_relaxed);
    }
  }

  Result<uint32_t> LookAt(size_t i, Known* known) {
    const std::string& name = request_.names[i];
    const uint8_t flags = request_.flags[i];
    const bool read_only = (flags & kManyReadOnly) != 0;
    if ((flags & kManyContext) != 0) {
      return OneImage(name, name, (flags & kManyBlockDevice) != 0 ? S_IFBLK : S_IFREG, read_only, known);
    }
    if ((flags & kManyQcow2) == 0 && common_.evaluate) {
      VMENTRY_TRY(const disk::PathLabel label, disk::ReadPathLabel(name));
      return OneImage(name, label.context, label.mode, read_only, known);
    }
    const disk::Format format = (flags & kManyQcow2) != 0 ? disk::Format::kQcow2 : disk::Format::kRaw;
    VMENTRY_TRY(const disk::ImageChain chain, disk::OpenChain({name, -1, format, read_only}, common_.labels));
    if (chain.members.size() == 1) {
      const disk::PinnedFile& file = chain.members[0].file;
      return OneImage(name, file.context, file.status.st_mode, read_only, known);
    }
    // The members below the top have names of their own, which belong into the report.
    std::string key;
    for (const disk::ImageMember& member : chain.members) {
      AppendKey(member.file.context, member.file.status.st_mode, member.read_only, &key);
      if (&member != &chain.members[0]) key.append(member.file.path).push_back('\0');
    }
    return Share(std::move(key), known, [&] { return WithBootChain(common_, 0, chain); });
  }

  Result<uint32_t> OneImage(const std::string& name, const std::string& context, mode_t mode, bool read_only,
                            Known* known) {
    std::string key;
    key.reserve(context.size() + 4);
    AppendKey(context, mode, read_only, &key);
    return Share(std::move(key), known, [&] { return WithBootImage(common_, 0, name, context, mode, read_only); });
  }

  // Unambiguous, because neither a context nor a path contains NUL.
  static void AppendKey(const std::string& context, mode_t mode, bool read_only, std::string* key) {
    key->append(context).push_back('\0');
    key->push_back(S_ISBLK(mode) ? 'b' : 'f');
    key->push_back(read_only ? 'r' : 'w');
  }

  template <typename MakeQuestion>
  uint32_t Share(std::string key, Known* known, MakeQuestion make_question) {
    if (const auto found = known->find(key); found != known->end()) return found->second;
    uint32_t index;
    {
      std::lock_guard lock(mutex_);
      const auto [place, is_new] = shared_.try_emplace(key, static_cast<uint32_t>(result_.decisions.size()));
      index = place->second;
      if (is_new) result_.decisions.push_back({make_question(), 0, {}});
    }
    known->emplace(std::move(key), index);
    return index;
  }

  // Each distinct question once; all again when the policy changed before the last one was answered.
  Status DecideAll() {
    result_.evaluated = common_.evaluate;
    if (!common_.evaluate) {
      result_.enforcing = false;
      return Ok();
    }
    VMENTRY_TRY(AccessCache* const cache, KernelAccessCache());
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      Result<Epoch> epoch = cache->Begin();
      if (!epoch.ok()) {
        if (epoch.error().code == "ERR_SELINUX_POLICY_CHANGED") continue;
        return std::move(epoch).error();
      }
      result_.enforcing = epoch.value().enforcing;
      result_.policy_sequence = epoch.value().sequence;
      std::atomic<size_t> next{0};
      std::optional<Error> failure;
      std::map<uint32_t, Error> unanswered;  // index in result_.decisions
      RunOnThreads(request_.threads, [&] {
        for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < result_.decisions.size();) {
          if (IsCancelled()) return;
          SharedDecision& shared = result_.decisions[i];
          Result<Decision> decision = DecideStart(*cache, shared.question);
          if (!decision.ok()) {
            std::lock_guard lock(mutex_);
            // The call itself failed for these contexts: a label can be too long for the kernel's one page,
            // and its owner must not take the others' answers away with it.
            if (decision.error().code.empty()) {
              unanswered.emplace(static_cast<uint32_t>(i), std::move(decision).error());
              continue;
            }
            if (!failure) failure = std::move(decision).error();
            next.store(result_.decisions.size(), std::memory_order_relaxed);
            return;
          }
          shared.verdict = VerdictOf(decision.value());
          shared.vm_context = std::move(decision.value().vm_context);
        }
      });
      if (IsCancelled()) return Cancelled();
      // No class, no right to ask, …: that concerns all of them.
      if (failure) return std::move(*failure);
      if (cache->IsCurrent(epoch.value())) {
        LeaveUndecided(unanswered);
        return Ok();
      }
    }
    return Error::Coded("ERR_SELINUX_POLICY_CHANGED",
                        "The policy kept changing while the images were decided about: try again");
  }

  void LeaveUndecided(const std::map<uint32_t, Error>& unanswered) {
    if (unanswered.empty()) return;
    for (size_t i = 0; i < result_.decision_of.size(); ++i) {
      const auto found = unanswered.find(result_.decision_of[i]);
      if (found == unanswered.end()) continue;
      result_.decision_of[i] = kNotDecided;
      result_.errors.insert_or_assign(static_cast<uint32_t>(i), found->second);
    }
  }

  const ManyRequest& request_;
  ManyControl* const control_;
  const std::atomic<bool>* const also_cancelled_;
  Gathered common_;
  std::mutex mutex_;  // guards shared_, result_.decisions while images are looked at, and result_.errors
  Known shared_;
  ManyResult result_;
};

}  // namespace

Result<ManyResult> DecideMany(const ManyRequest& request, ManyControl* control,
                              const std::atomic<bool>* also_cancelled) {
  return Many(request, control, also_cancelled).Run();
}

}  // namespace vmentry::decision
