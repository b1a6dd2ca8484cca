// AllSignalsBlocked: in its scope no signal handler runs on the calling thread, nor on what is started from
// it, which inherits the mask: a thread of ours must not run the handlers of the program that embeds us, and
// a clone shares the memory they would work on.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace vmentry {

class [[nodiscard]] AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &previous_);
  }
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &previous_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t previous_;
};

}  // namespace vmentry
