// PollHandle: a descriptor watched by the event loop of one JavaScript environment. Closed by its
// owner or with the environment, whichever comes first.
#pragma once

#include <node_api.h>
#include <uv.h>

#include <functional>
#include <memory>

#include "core/result.h"
#include "core/unique_fd.h"

namespace vmentry::binding {

// JS THREAD for everything.
class PollHandle : public std::enable_shared_from_this<PollHandle> {
 public:
  // Takes `fd`. `ready` runs on the event loop, outside any JavaScript call, whenever `fd` is readable;
  // it returns false to stop. Starts without keeping the loop alive.
  static Result<std::shared_ptr<PollHandle>> Start(napi_env env, UniqueFd fd, std::function<bool()> ready);

  PollHandle(const PollHandle&) = delete;
  PollHandle& operator=(const PollHandle&) = delete;
  ~PollHandle() = default;

  // Idempotent. `ready` is not called any more, and what it holds is released.
  void Close();
  void Ref();
  void Unref();

 private:
  PollHandle(UniqueFd fd, std::function<bool()> ready) : fd_(std::move(fd)), ready_(std::move(ready)) {}

  static void OnReadable(uv_poll_t* poll, int status, int events);
  static void OnTeardown(napi_async_cleanup_hook_handle hook, void* self);

  UniqueFd fd_;
  std::function<bool()> ready_;
  uv_poll_t poll_ = {};
  napi_async_cleanup_hook_handle hook_ = nullptr;
  // libuv keeps a pointer to poll_ until it has called back from uv_close: until then this object
  // holds itself.
  std::shared_ptr<PollHandle> self_;
  bool closing_ = false;
};

}  // namespace vmentry::binding
