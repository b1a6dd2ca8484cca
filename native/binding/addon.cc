// Module initialisation: one object per area, each filled by its own file.
#include "binding/addon.h"

#include <napi.h>

#include "binding/environment.h"

namespace vmentry::binding {
namespace {

void Initialize(const Napi::CallbackInfo& info) {
  if (info[0].IsFunction()) {
    Environment::Of(info.Env()).SetErrorFactory(info[0].As<Napi::Function>());
  } else {
    Throw(info.Env(), Error::Coded("ERR_INVALID_ARG_TYPE", "There must be a function that makes errors"));
  }
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  Environment::Install(env);
  exports.Set("initialize", Napi::Function::New(env, Initialize, "initialize"));
  exports.Set("selinux", MakeSelinux(env));
  exports.Set("decision", MakeDecision(env));
  exports.Set("launch", MakeLaunch(env));
#ifdef VMENTRY_FAULTS
  exports.Set("faults", MakeFaults(env));
#endif
  return exports;
}

}  // namespace
}  // namespace vmentry::binding

static Napi::Object InitModule(Napi::Env env, Napi::Object exports) { return vmentry::binding::Init(env, exports); }
NODE_API_MODULE(NODE_GYP_MODULE_NAME, InitModule)
