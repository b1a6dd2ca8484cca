// The test build's switchboard: which call is to fail, which calls were made, and which file stands
// in for libselinux. None of it exists in the shipped addon.
#ifdef VMENTRY_FAULTS

#include <dlfcn.h>
#include <napi.h>

#include <cerrno>
#include <string>

#include "binding/addon.h"
#include "core/fault_injection.h"
#include "selinux/library.h"
#include "selinux/thread_attributes.h"

namespace vmentry::binding {
namespace {

void Arm(const Napi::CallbackInfo& info) {
  fault::Arm(
      info[0].As<Napi::String>().Utf8Value().c_str(), info[1].As<Napi::Number>().Uint32Value(),
      info[2].As<Napi::Number>().Int32Value(),
      info[3].IsBoolean() && info[3].As<Napi::Boolean>().Value() ? fault::Lasting::kFromThenOn : fault::Lasting::kOnce);
}

void Clear(const Napi::CallbackInfo&) { fault::Clear(); }

Napi::Value Calls(const Napi::CallbackInfo& info) {
  Napi::Object calls = Napi::Object::New(info.Env());
  for (const fault::Seen& seen : fault::Calls()) calls.Set(seen.name, seen.count);
  return calls;
}

Napi::Value Paused(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), fault::Paused()); }

void Release(const Napi::CallbackInfo&) { fault::Release(); }

std::string g_library_path;

void UseLibrary(const Napi::CallbackInfo& info) {
  g_library_path = info[0].As<Napi::String>().Utf8Value();
  selinux::Library::SetPathForTesting(g_library_path);
}

// security_load_policy(3) of the stand-in, which plays the kernel. Returns 0 or the errno.
Napi::Value LoadPolicy(const Napi::CallbackInfo& info) {
  const auto image = info[0].As<Napi::Buffer<char>>();
  void* library = dlopen(g_library_path.c_str(), RTLD_NOW | RTLD_NOLOAD);
  if (library == nullptr) return Napi::Number::New(info.Env(), ENOENT);
  const auto load = reinterpret_cast<int (*)(void*, size_t)>(dlsym(library, "security_load_policy"));
  const int failed = load(image.Data(), image.Length()) == 0 ? 0 : errno;
  dlclose(library);
  return Napi::Number::New(info.Env(), failed);
}

// Loads a library and keeps it, so that whoever looks for the name it has inside finds this one.
void Preload(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) {
    Napi::Error::New(info.Env(), dlerror()).ThrowAsJavaScriptException();
  }
}

void SetAttributeDirectory(const Napi::CallbackInfo& info) {
  selinux::SetAttributeDirectoryForTesting(info[0].As<Napi::String>().Utf8Value());
}

}  // namespace

Napi::Object MakeFaults(Napi::Env env) {
  Napi::Object faults = Napi::Object::New(env);
  faults.Set("arm", Napi::Function::New(env, Arm, "arm"));
  faults.Set("clear", Napi::Function::New(env, Clear, "clear"));
  faults.Set("calls", Napi::Function::New(env, Calls, "calls"));
  faults.Set("paused", Napi::Function::New(env, Paused, "paused"));
  faults.Set("release", Napi::Function::New(env, Release, "release"));
  faults.Set("useLibrary", Napi::Function::New(env, UseLibrary, "useLibrary"));
  faults.Set("loadPolicy", Napi::Function::New(env, LoadPolicy, "loadPolicy"));
  faults.Set("preload", Napi::Function::New(env, Preload, "preload"));
  faults.Set("setAttributeDirectory", Napi::Function::New(env, SetAttributeDirectory, "setAttributeDirectory"));
  return faults;
}

}  // namespace vmentry::binding

#endif  // VMENTRY_FAULTS
