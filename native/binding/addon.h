// The areas of the addon's surface (types/native.d.ts), one function per file of this folder.
#pragma once

#include <napi.h>

namespace vmentry::binding {

Napi::Object MakeSelinux(Napi::Env env);   // selinux_binding.cc
Napi::Object MakeDecision(Napi::Env env);  // decision_binding.cc
Napi::Object MakeLaunch(Napi::Env env);    // launch_binding.cc
#ifdef VMENTRY_FAULTS
Napi::Object MakeFaults(Napi::Env env);  // faults_binding.cc, only in the test build
#endif

}  // namespace vmentry::binding
