#include "launch/reaper.h"

#include <pthread.h>

#include <map>
#include <mutex>
#include <utility>

#include "core/signals_blocked.h"
#include "core/system_calls.h"

namespace vmentry::launch {
namespace {

// One for the process, never destroyed: its thread may run until the process ends. (The addon is
// linked with nodelete.)
class Orphanage {
 public:
  static Orphanage& Get() {
    static Orphanage* const instance = new Orphanage;
    return *instance;
  }

  void Adopt(UniqueFd pidfd, Tie tie) {
    std::lock_guard lock(mutex_);
    const int number = pidfd.get();
    orphans_.emplace(number, Orphan{std::move(pidfd), std::move(tie)});
    // A refused thread or epoll entry (no memory, no descriptors) is tried again with the next one.
    if (!epoll_.valid()) {
      Result<UniqueFd> epoll = sys::EpollCreate();
      if (!epoll.ok()) return;
      epoll_ = std::move(epoll).value();
    }
    if (!running_) running_ = StartThread();
    for (auto& [fd, orphan] : orphans_) {
      if (!orphan.watched) orphan.watched = sys::EpollAdd(epoll_.get(), fd).ok();
    }
  }

 private:
  struct Orphan {
    UniqueFd pidfd;
    Tie tie;
    bool watched = false;
  };

  bool StartThread() {
    const AllSignalsBlocked blocked;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    const bool started = pthread_create(
                             &thread, &attributes,
                             [](void* self) -> void* {
                               static_cast<Orphanage*>(self)->Run();
                               return nullptr;
                             },
                             this) == 0;
    if (started) pthread_setname_np(thread, "vm-reaper");
    pthread_attr_destroy(&attributes);
    return started;
  }

  [[noreturn]] void Run() {
    for (;;) {
      const Result<int> ready = sys::EpollWait(epoll_.get());
      if (!ready.ok()) continue;
      std::lock_guard lock(mutex_);
      const auto found = orphans_.find(ready.value());
      if (found == orphans_.end()) continue;
      // Readable means that it has exited; an error (somebody else reaped it) ends our part as well.
      const Result<sys::ExitState> state = sys::WaitPidfd(found->first, false);
      if (state.ok() && !state.value().exited) continue;
      orphans_.erase(found);  // closes the pidfd, which leaves the epoll set with it
    }
  }

  std::mutex mutex_;  // guards everything below
  std::map<int, Orphan> orphans_;
  UniqueFd epoll_;
  bool running_ = false;
};

}  // namespace

void Reaper::Adopt(UniqueFd pidfd, Tie tie) { Orphanage::Get().Adopt(std::move(pidfd), std::move(tie)); }

}  // namespace vmentry::launch
