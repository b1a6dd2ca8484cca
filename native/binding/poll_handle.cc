#include "binding/poll_handle.h"

#include <utility>

#include "core/fault_injection.h"

namespace vmentry::binding {

Result<std::shared_ptr<PollHandle>> PollHandle::Start(napi_env env, UniqueFd fd, std::function<bool()> ready) {
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  std::shared_ptr<PollHandle> self(new PollHandle(std::move(fd), std::move(ready)));
  int failed = -fault::Take("uv_poll_init");
  if (failed == 0) failed = uv_poll_init(loop, &self->poll_, self->fd_.get());
  if (failed != 0) return Error::System("uv_poll_init", -failed);
  self->poll_.data = self.get();
  // From here on libuv knows the handle, and only Close may end it.
  self->self_ = self;
  // Asynchronous, because an environment must not end before libuv has let go.
  napi_add_async_cleanup_hook(env, OnTeardown, self.get(), &self->hook_);
  self->Unref();
  failed = -fault::Take("uv_poll_start");
  if (failed == 0) failed = uv_poll_start(&self->poll_, UV_READABLE, OnReadable);
  if (failed != 0) {
    self->Close();
    return Error::System("uv_poll_start", -failed);
  }
  return self;
}

void PollHandle::Close() {
  if (std::exchange(closing_, true)) return;
  // libuv closes no descriptor, and wants it open until it has stopped polling.
  uv_poll_stop(&poll_);
  fd_.Reset();
  ready_ = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    auto* poll = static_cast<PollHandle*>(handle->data);
    const std::shared_ptr<PollHandle> last = std::move(poll->self_);
    napi_remove_async_cleanup_hook(poll->hook_);
  });
}

void PollHandle::Ref() {
  if (!closing_) uv_ref(reinterpret_cast<uv_handle_t*>(&poll_));
}

void PollHandle::Unref() {
  if (!closing_) uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
}

void PollHandle::OnReadable(uv_poll_t* handle, int status, int) {
  // `ready` may close this handle.
  const std::shared_ptr<PollHandle> self = static_cast<PollHandle*>(handle->data)->shared_from_this();
  const std::function<bool()> ready = self->ready_;
  const bool stop = status < 0 || !ready();
  if (stop && !self->closing_) uv_poll_stop(handle);
}

void PollHandle::OnTeardown(napi_async_cleanup_hook_handle, void* self) { static_cast<PollHandle*>(self)->Close(); }

}  // namespace vmentry::binding
