// The one funnel from a native Error to a JavaScript one.
#include "binding/environment.h"

namespace vmentry::binding {

Napi::Value Environment::MakeError(Napi::Env env, const Error& error) const {
  if (error_factory_.IsEmpty()) return Napi::Error::New(env, error.message).Value();
  Napi::Object info = Napi::Object::New(env);
  // Node's sign: error.errno is negative.
  if (error.errno_value != 0) info.Set("errno", Napi::Number::New(env, -error.errno_value));
  if (!error.code.empty()) info.Set("code", error.code);
  if (!error.syscall.empty()) info.Set("syscall", error.syscall);
  if (!error.path.empty()) info.Set("path", error.path);
  if (!error.message.empty()) info.Set("message", error.message);
  if (error.fd >= 0) info.Set("fd", Napi::Number::New(env, error.fd));
  const Napi::Value made = error_factory_.Call({info});
  // The factory is ours and does not throw; should it, its exception is the better report.
  if (env.IsExceptionPending()) return env.GetAndClearPendingException().Value();
  return made;
}

Napi::Value Throw(Napi::Env env, const Error& error) {
  napi_throw(env, Environment::Of(env).MakeError(env, error));
  return env.Undefined();
}

}  // namespace vmentry::binding
