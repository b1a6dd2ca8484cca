#include "launch/reaper.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
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
    if (!epoll_.valid()) epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!running_) running_ = epoll_.valid() && StartThread();
    for (auto& [fd, orphan] : orphans_) {
      if (orphan.watched || !epoll_.valid()) continue;
      struct epoll_event event = {};
      event.events = EPOLLIN;
      event.data.fd = fd;
      orphan.watched = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
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
      struct epoll_event event;
      if (::epoll_wait(epoll_.get(), &event, 1, -1) != 1) continue;
      std::lock_guard lock(mutex_);
      const auto found = orphans_.find(event.data.fd);
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
