// ProcessHandle: a launched process in one JavaScript environment. Its exit arrives on that
// environment's own event loop, through its pidfd; no signal handler and no thread is involved.
#pragma once

#include <napi.h>

#include "launch/launch.h"

namespace vmentry::binding {

// JS THREAD. The NativeProcess of types/native.d.ts. Until `onExit` was called the object owns the
// process and kills it when it is collected; from then on the process lives until it ends by itself.
Napi::Object MakeProcessHandle(Napi::Env env, launch::Spawned spawned);

}  // namespace vmentry::binding
