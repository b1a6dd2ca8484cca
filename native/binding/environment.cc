#include "binding/environment.h"

#include <pthread.h>

#include "core/fault_injection.h"
#include "core/signals_blocked.h"

namespace vmentry::binding {

void Environment::Install(Napi::Env env) {
  auto* self = new Environment(env);
  env.SetInstanceData<Environment>(self);
  // Registered after the threadsafe function was made: hooks run last in, first out, so this one
  // waits for the threads while the function still takes their calls.
  napi_add_env_cleanup_hook(env, OnTeardown, self);
}

Environment::Environment(Napi::Env env) {
  napi_value name;
  napi_create_string_utf8(env, "vm-entrypoint job", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, OnJobDone, &done_);
  // Referenced only while jobs are in flight: an idle addon keeps no event loop alive.
  napi_unref_threadsafe_function(env, done_);
}

Environment::~Environment() = default;

Napi::Promise Environment::Start(std::unique_ptr<Job> job, const char* thread_name) {
  const Napi::Env env = job->deferred().Env();
  const Napi::Promise promise = job->deferred().Promise();
  if (!job->deferred().made()) return promise;
  Job* raw = job.get();
  {
    std::lock_guard lock(mutex_);
    running_.insert(raw);
  }
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  struct Start {
    Environment* environment;
    Job* job;
    const char* name;
  };
  auto start = std::make_unique<Start>(Start{this, raw, thread_name});
  pthread_t thread;
  int failed = fault::Take("pthread_create");
  if (failed == 0) {
    const AllSignalsBlocked blocked;
    // pthread_create instead of std::thread: without exceptions a refused thread (EAGAIN) would
    // abort the process.
    failed = pthread_create(
        &thread, &attributes,
        [](void* data) -> void* {
          const std::unique_ptr<Start> started(static_cast<Start*>(data));
          // By itself: to the one that made it, a detached thread may be gone already, and its pthread_t
          // point to memory that was given back.
          pthread_setname_np(pthread_self(), started->name);
          started->environment->RunOnThread(started->job);
          return nullptr;
        },
        start.get());
    if (failed == 0) (void)start.release();
  }
  pthread_attr_destroy(&attributes);
  if (failed != 0) {
    std::lock_guard lock(mutex_);
    running_.erase(raw);
    job->deferred().Reject(MakeError(env, Error::System("pthread_create", failed)));
    return promise;
  }
  (void)job.release();  // the thread has it now; OnJobDone or RunOnThread deletes it
  if (in_flight_++ == 0) napi_ref_threadsafe_function(env, done_);
  return promise;
}

void Environment::RunOnThread(Job* job) {
  job->Run();
  // Handing the job back and leaving running_ must be one step, or teardown could destroy this
  // object between the two.
  std::unique_lock lock(mutex_);
  const bool handed_over = !closing_ && napi_call_threadsafe_function(done_, job, napi_tsfn_nonblocking) == napi_ok;
  if (!handed_over) delete job;
  running_.erase(job);
  if (running_.empty()) idle_.notify_all();
}

void Environment::OnJobDone(napi_env env, napi_value, void* context, void* data) {
  const std::unique_ptr<Job> job(static_cast<Job*>(data));
  if (env == nullptr) return;  // the environment is gone: the destructor releases what the job made
  auto* self = static_cast<Environment*>(context);
  if (--self->in_flight_ == 0) napi_unref_threadsafe_function(env, self->done_);
  const Napi::HandleScope scope(env);
  job->Settle(env);
}

void Environment::OnTeardown(void* data) {
  auto* self = static_cast<Environment*>(data);
  std::unique_lock lock(self->mutex_);
  self->closing_ = true;
  for (Job* job : self->running_) job->Cancel();
  self->idle_.wait(lock, [self] { return self->running_.empty(); });
  lock.unlock();
  napi_release_threadsafe_function(self->done_, napi_tsfn_abort);
}

}  // namespace vmentry::binding
