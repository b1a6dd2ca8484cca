#include "binding/process_handle.h"

#include <signal.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "binding/environment.h"
#include "binding/poll_handle.h"
#include "core/system_calls.h"
#include "launch/reaper.h"

namespace vmentry::binding {
namespace {

// JS THREAD only. Held by the functions of the JS object and, while the process is watched, by the watch.
class ProcessHandle : public std::enable_shared_from_this<ProcessHandle> {
 public:
  explicit ProcessHandle(launch::Spawned spawned)
      : child_(std::move(spawned.child)), tie_(std::move(spawned.tie)), sockets_(std::move(spawned.sockets)) {}
  ProcessHandle(const ProcessHandle&) = delete;
  ProcessHandle& operator=(const ProcessHandle&) = delete;
  ~ProcessHandle() = default;  // never watched: child_ kills

  void OnExit(Napi::Env env, Napi::Function callback);
  bool Kill(Napi::Env env, int signal);
  void Discard();
  // The caller's end of stdio entry `index`, which is the caller's to close from now on; -1: none.
  int TakeSocket(size_t index) { return index < sockets_.size() ? sockets_[index].Release() : -1; }
  void Ref() {
    if (poll_) poll_->Ref();
  }
  void Unref() {
    if (poll_) poll_->Unref();
  }

 private:
  // From onExit to the exit, or to the end of the environment: then the VM lives on, unless it is tied
  // to the process, and somebody has to reap it.
  struct Watch {
    Watch(std::shared_ptr<ProcessHandle> process, Napi::Function function)
        : owner(std::move(process)),
          callback(Napi::Persistent(function)),
          async(function.Env(), "vm-entrypoint:VirtualMachine") {}
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch() {
      if (owner->pidfd_.valid()) launch::Reaper::Adopt(std::move(owner->pidfd_), std::move(owner->tie_));
    }
    std::shared_ptr<ProcessHandle> owner;
    Napi::FunctionReference callback;
    Napi::AsyncContext async;
  };

  bool CheckExit(const std::shared_ptr<Watch>& watch);

  launch::Child child_;  // until onExit
  UniqueFd pidfd_;       // from then on, until it is reaped
  launch::Tie tie_;
  // Here until JS makes streams of them: numbers in a promise would be lost with their environment.
  std::vector<UniqueFd> sockets_;
  std::shared_ptr<PollHandle> poll_;
};

void ProcessHandle::OnExit(Napi::Env env, Napi::Function callback) {
  if (!callback.IsFunction()) {
    Throw(env, Error::Coded("ERR_INVALID_ARG_TYPE", "There must be a function to call"));
    return;
  }
  if (child_.pidfd() < 0) {
    Throw(env, Error::Coded("ERR_BUSY", "onExit was called already"));
    return;
  }
  Result<UniqueFd> watched = sys::DupCloexec(child_.pidfd());
  if (!watched.ok()) {
    Throw(env, watched.error());
    return;
  }
  auto watch = std::make_shared<Watch>(shared_from_this(), callback);
  Result<std::shared_ptr<PollHandle>> poll =
      PollHandle::Start(env, std::move(watched).value(), [watch] { return watch->owner->CheckExit(watch); });
  if (!poll.ok()) {
    Throw(env, poll.error());
    return;
  }
  poll_ = std::move(poll).value();
  poll_->Ref();  // a running child keeps the loop alive, as with child_process
  pidfd_ = child_.Release();
}

bool ProcessHandle::Kill(Napi::Env env, int signal) {
  const int pidfd = pidfd_.valid() ? pidfd_.get() : child_.pidfd();
  if (pidfd < 0) return false;
  const Status sent = sys::PidfdSendSignal(pidfd, signal);
  if (sent.ok()) return true;
  if (sent.error().errno_value != ESRCH) Throw(env, sent.error());
  return false;
}

void ProcessHandle::Discard() {
  sockets_.clear();
  if (pidfd_.valid()) {
    (void)sys::PidfdSendSignal(pidfd_.get(), SIGKILL);
  } else {
    child_ = launch::Child();
    tie_ = launch::Tie();
  }
}

bool ProcessHandle::CheckExit(const std::shared_ptr<Watch>& watch) {
  const Result<sys::ExitState> reaped = sys::WaitPidfd(pidfd_.get(), false);
  if (reaped.ok() && !reaped.value().exited) return true;
  // An error (ECHILD) means that somebody else in this process reaped it: it has ended, and how is not known. Should it
  // be another, the reaper tries once more.
  if (!reaped.ok()) launch::Reaper::Adopt(std::move(pidfd_), std::move(tie_));
  const sys::ExitState state = reaped.ok() ? reaped.value() : sys::ExitState{};
  const Napi::Env env = watch->callback.Env();
  const Napi::HandleScope scope(env);
  // Ours is done before anybody is told: the listener may end the environment.
  pidfd_.Reset();
  tie_ = launch::Tie();
  sockets_.clear();
  poll_->Close();
  const Napi::Value code = state.exit_code >= 0 ? Napi::Value(Napi::Number::New(env, state.exit_code)) : env.Null();
  const Napi::Value signal = state.signal > 0 ? Napi::Value(Napi::Number::New(env, state.signal)) : env.Null();
  watch->callback.MakeCallback(env.Global(), {code, signal}, watch->async);
  // As an exception in a listener of a ChildProcess: uncaught. (Pending and unreported, it would be
  // thrown by whatever runs next.)
  if (env.IsExceptionPending()) napi_fatal_exception(env, env.GetAndClearPendingException().Value());
  return true;  // nothing left to stop: it is closed
}

}  // namespace

Napi::Object MakeProcessHandle(Napi::Env env, launch::Spawned spawned) {
  const auto handle = std::make_shared<ProcessHandle>(std::move(spawned));
  Napi::Object process = Napi::Object::New(env);
  process.Set(
      "onExit",
      Napi::Function::New(
          env, [handle](const Napi::CallbackInfo& info) { handle->OnExit(info.Env(), info[0].As<Napi::Function>()); },
          "onExit"));
  process.Set("kill", Napi::Function::New(
                          env,
                          [handle](const Napi::CallbackInfo& info) -> Napi::Value {
                            const bool sent = handle->Kill(info.Env(), info[0].As<Napi::Number>().Int32Value());
                            return Napi::Boolean::New(info.Env(), sent);
                          },
                          "kill"));
  process.Set("takeSocket", Napi::Function::New(
                                env,
                                [handle](const Napi::CallbackInfo& info) -> Napi::Value {
                                  const uint32_t index = info[0].As<Napi::Number>().Uint32Value();
                                  return Napi::Number::New(info.Env(), handle->TakeSocket(index));
                                },
                                "takeSocket"));
  process.Set("discard", Napi::Function::New(
                             env, [handle](const Napi::CallbackInfo&) { handle->Discard(); }, "discard"));
  process.Set("ref", Napi::Function::New(
                         env, [handle](const Napi::CallbackInfo&) { handle->Ref(); }, "ref"));
  process.Set("unref", Napi::Function::New(
                           env, [handle](const Napi::CallbackInfo&) { handle->Unref(); }, "unref"));
  return process;
}

}  // namespace vmentry::binding
