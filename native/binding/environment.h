// Environment: what the addon keeps for one JavaScript environment (the main thread or a Worker),
// and Job: work on a native thread that settles a promise of that environment. Nothing here is
// process-wide, because Workers load the addon several times into one process.
#pragma once

#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "core/result.h"

namespace vmentry::binding {

class Environment;

// A promise and what settles it. Node's wrapper leaves both undefined where an environment that is being ended can
// make none; here they are null, and settling does nothing.
class Deferred {
 public:
  explicit Deferred(Napi::Env env) : env_(env) {
    if (napi_create_promise(env, &deferred_, &promise_) != napi_ok) deferred_ = nullptr, promise_ = nullptr;
  }
  Napi::Env Env() const { return env_; }
  // Only valid where it was made: in the scope of the JavaScript call.
  Napi::Promise Promise() const { return {env_, promise_}; }
  bool made() const { return deferred_ != nullptr; }
  void Resolve(napi_value value) const {
    if (deferred_ != nullptr && value != nullptr) (void)napi_resolve_deferred(env_, deferred_, value);
  }
  void Reject(napi_value value) const {
    if (deferred_ != nullptr && value != nullptr) (void)napi_reject_deferred(env_, deferred_, value);
  }

 private:
  Napi::Env env_;
  napi_deferred deferred_ = nullptr;
  napi_value promise_ = nullptr;
};

// THREADS: the constructor, Settle and the destructor after Settle run on the JS thread; Run runs on
// the job's own thread, where no Node-API call is allowed. A job whose environment went away before
// it could settle is destroyed on whichever thread noticed; its destructor must release everything
// it made (a launched child that nobody will hear of is killed by its owner's destructor).
class Job {
 public:
  explicit Job(Napi::Env env) : deferred_(env) {}
  virtual ~Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // Set when the environment is being torn down. Long work polls it. (What a caller aborts has a flag of
  // its own: Handle::cancelled, ManyControl.)
  const std::atomic<bool>& cancelled() const { return cancelled_; }
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }

 protected:
  virtual void Run() = 0;
  virtual void Settle(Napi::Env env) = 0;
  const Deferred& deferred() const { return deferred_; }

 private:
  friend class Environment;
  Deferred deferred_;
  std::atomic<bool> cancelled_{false};
};

class Environment {
 public:
  static Environment& Of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }
  // Makes the instance and registers the teardown hook. Once, at module initialisation.
  static void Install(Napi::Env env);
  ~Environment();

  // Starts `job` on a thread of its own and returns its promise. A thread and not the libuv pool:
  // a launch waits for an exec and must not starve (or be starved by) file system calls.
  Napi::Promise Start(std::unique_ptr<Job> job, const char* thread_name);

  // How JS errors are made: lib/errors.ts owns the classes and hands one function in.
  void SetErrorFactory(Napi::Function factory) { error_factory_ = Napi::Persistent(factory); }
  Napi::Value MakeError(Napi::Env env, const Error& error) const;

 private:
  explicit Environment(Napi::Env env);
  static void OnTeardown(void* self);
  static void OnJobDone(napi_env env, napi_value unused, void* self, void* job);
  void RunOnThread(Job* job);

  napi_threadsafe_function done_ = nullptr;
  Napi::FunctionReference error_factory_;
  std::mutex mutex_;  // guards running_ and closing_
  std::condition_variable idle_;
  std::set<Job*> running_;  // jobs whose thread has not yet handed them back
  bool closing_ = false;
  unsigned in_flight_ = 0;  // JS THREAD only: jobs not yet settled
};

// Throws `error` as a JS exception; returns undefined for `return Throw(env, e);`.
Napi::Value Throw(Napi::Env env, const Error& error);

// The job for work that yields a Result<T>.
template <typename T>
class ResultJob final : public Job {
 public:
  using Work = std::function<Result<T>(const std::atomic<bool>& cancelled)>;
  using Convert = std::function<Napi::Value(Napi::Env, T)>;

  ResultJob(Napi::Env env, Work work, Convert convert)
      : Job(env), work_(std::move(work)), convert_(std::move(convert)) {}

 protected:
  void Run() override { result_.emplace(work_(cancelled())); }
  void Settle(Napi::Env env) override {
    if (!result_->ok()) {
      deferred().Reject(Environment::Of(env).MakeError(env, result_->error()));
      return;
    }
    const Napi::Value value = convert_(env, std::move(*result_).value());
    if (env.IsExceptionPending()) {
      deferred().Reject(env.GetAndClearPendingException().Value());
    } else {
      deferred().Resolve(value);
    }
  }

 private:
  Work work_;
  Convert convert_;
  std::optional<Result<T>> result_;
};

template <typename T>
Napi::Promise RunJob(Napi::Env env, const char* thread_name, typename ResultJob<T>::Work work,
                     typename ResultJob<T>::Convert convert) {
  return Environment::Of(env).Start(std::make_unique<ResultJob<T>>(env, std::move(work), std::move(convert)),
                                    thread_name);
}

}  // namespace vmentry::binding
