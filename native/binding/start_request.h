// Between JavaScript and the decision: a NativeStartRequest (types/native.d.ts) becomes a
// decision::StartRequest, and a decision::Decision becomes the Decision of types/public.d.ts.
// `decide` and `launch` share both.
#pragma once

#include <napi.h>

#include <utility>
#include <vector>

#include "core/result.h"
#include "core/system_calls.h"
#include "core/unique_fd.h"
#include "decision/gather.h"
#include "decision/start_decision.h"

namespace vmentry::binding {

// JS THREAD. The request was validated by lib/start-request.ts. One that was not, and says something unknown
// or of another type, is ERR_INVALID_ARG_TYPE as a whole: nothing in it is replaced by a default.
Result<decision::StartRequest> StartRequestFromJs(const Napi::Value& js);

// JS THREAD. Makes the request's descriptors its own, before JS runs on: the caller may close a number
// at once, and somebody else get it, while another thread still reads the request. The result owns them.
inline Result<std::vector<UniqueFd>> TakeDescriptors(decision::StartRequest* request) {
  std::vector<UniqueFd> owned;
  for (decision::ObjectRequest& object : request->objects) {
    if (object.fd < 0) continue;
    VMENTRY_TRY(UniqueFd copy, sys::DupCloexec(object.fd));
    object.fd = copy.get();
    owned.push_back(std::move(copy));
  }
  return owned;
}

// JS THREAD.
Napi::Object DecisionToJs(Napi::Env env, const decision::Decision& decision);

}  // namespace vmentry::binding
