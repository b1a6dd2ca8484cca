// The addon's area `selinux` (types/native-selinux.d.ts): one function of libselinux each, with the
// names of C in camel case. A last argument `raw` says in which form contexts come and go.
#include <napi.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "binding/addon.h"
#include "binding/environment.h"
#include "binding/poll_handle.h"
#include "selinux/contexts.h"
#include "selinux/file_labels.h"
#include "selinux/policy_events.h"
#include "selinux/questions.h"
#include "selinux/state.h"
#include "selinux/system.h"
#include "selinux/thread_attributes.h"

namespace vmentry::binding {
namespace {

using Napi::CallbackInfo;
using Napi::Value;
using selinux::Form;
using selinux::Links;
using selinux::ThreadAttribute;

// Arguments were checked in lib/selinux.ts. One of a wrong type leaves an exception pending and an
// empty value, never undefined behaviour.
std::string Text(const CallbackInfo& info, size_t index) {
  const Value value = info[index];
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}
int32_t Integer(const CallbackInfo& info, size_t index) {
  const Value value = info[index];
  return value.IsNumber() ? value.As<Napi::Number>().Int32Value() : -1;
}
bool Flag(const CallbackInfo& info, size_t index) {
  const Value value = info[index];
  return value.IsBoolean() && value.As<Napi::Boolean>().Value();
}
Form FormOf(const CallbackInfo& info, size_t index) { return Flag(info, index) ? Form::kRaw : Form::kTranslated; }

Value ToJs(Napi::Env env, Unit) { return env.Undefined(); }
Value ToJs(Napi::Env env, bool value) { return Napi::Boolean::New(env, value); }
Value ToJs(Napi::Env env, int value) { return Napi::Number::New(env, value); }
Value ToJs(Napi::Env env, const std::string& value) { return Napi::String::New(env, value); }
Value ToJs(Napi::Env env, const std::optional<std::string>& value) {
  return value.has_value() ? ToJs(env, *value) : env.Null();
}
Value ToJs(Napi::Env env, const std::vector<std::string>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); ++i) array.Set(static_cast<uint32_t>(i), values[i]);
  return array;
}
Value ToJs(Napi::Env env, const selinux::PolicyState& state) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("sequence", state.sequence);
  object.Set("enforcing", state.enforcing);
  object.Set("policyload", state.policyload);
  object.Set("denyUnknown", state.deny_unknown);
  return object;
}
Value ToJs(Napi::Env env, const selinux::ObjectClass& object_class) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("value", static_cast<uint32_t>(object_class.value));
  object.Set("name", object_class.name);
  object.Set("permissions", ToJs(env, object_class.permissions));
  return object;
}
Value ToJs(Napi::Env env, const selinux::AccessAnswer& answer) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("allowed", answer.decision.allowed);
  object.Set("decided", answer.decision.decided);
  object.Set("auditallow", answer.decision.auditallow);
  object.Set("auditdeny", answer.decision.auditdeny);
  object.Set("seqno", answer.decision.seqno);
  object.Set("flags", answer.decision.flags);
  object.Set("objectClass", ToJs(env, answer.object_class));
  return object;
}

template <typename T>
Value Return(const CallbackInfo& info, const Result<T>& result) {
  if (!result.ok()) return Throw(info.Env(), result.error());
  return ToJs(info.Env(), result.value());
}

// --- The running system ---

Value IsSelinuxEnabled(const CallbackInfo& info) {
  const Status enabled = selinux::RequireEnabled();
  if (enabled.ok()) return ToJs(info.Env(), true);
  if (enabled.error().code == "ERR_SELINUX_DISABLED") return ToJs(info.Env(), false);
  // Without the library nobody knows.
  return Throw(info.Env(), enabled.error());
}
Value IsSelinuxMlsEnabled(const CallbackInfo& info) { return Return(info, selinux::IsMlsEnabled()); }
Value SecurityDenyUnknown(const CallbackInfo& info) { return Return(info, selinux::DenyUnknown()); }
Value SecurityRejectUnknown(const CallbackInfo& info) { return Return(info, selinux::RejectUnknown()); }
Value SecurityGetenforce(const CallbackInfo& info) { return Return(info, selinux::GetEnforce()); }
Value SecuritySetenforce(const CallbackInfo& info) { return Return(info, selinux::SetEnforce(Flag(info, 0))); }
Value SecurityPolicyvers(const CallbackInfo& info) { return Return(info, selinux::PolicyVersion()); }
Value SelinuxGetpolicytype(const CallbackInfo& info) { return Return(info, selinux::PolicyType()); }
Value SelinuxStatus(const CallbackInfo& info) { return Return(info, selinux::ReadPolicyState()); }
Value SelinuxSequence(const CallbackInfo& info) { return Napi::Number::New(info.Env(), selinux::PolicySequenceNow()); }

// --- Contexts ---

Value Getcon(const CallbackInfo& info) { return Return(info, selinux::CurrentContext(FormOf(info, 0))); }
Value Getprevcon(const CallbackInfo& info) { return Return(info, selinux::PreviousContext(FormOf(info, 0))); }
Value Getpidcon(const CallbackInfo& info) {
  return Return(info, selinux::ProcessContext(Integer(info, 0), FormOf(info, 1)));
}
Value Getpidprevcon(const CallbackInfo& info) {
  return Return(info, selinux::PreviousProcessContext(Integer(info, 0), FormOf(info, 1)));
}
Value Getpeercon(const CallbackInfo& info) {
  return Return(info, selinux::PeerContext(Integer(info, 0), FormOf(info, 1)));
}

struct AttributeFunction {
  ThreadAttribute attribute;
  const char* name;  // the C function, for errors
};
constexpr AttributeFunction kAttributeGetters[] = {
    {ThreadAttribute::kExec, "getexeccon"},
    {ThreadAttribute::kFsCreate, "getfscreatecon"},
    {ThreadAttribute::kSockCreate, "getsockcreatecon"},
    {ThreadAttribute::kKeyCreate, "getkeycreatecon"},
};
constexpr AttributeFunction kAttributeSetters[] = {
    {ThreadAttribute::kExec, "setexeccon"},
    {ThreadAttribute::kFsCreate, "setfscreatecon"},
    {ThreadAttribute::kSockCreate, "setsockcreatecon"},
    {ThreadAttribute::kKeyCreate, "setkeycreatecon"},
};

// The attribute files are read and written directly, but what failed is the function that was called.
template <typename T>
Result<T> Under(const char* name, Result<T> result) {
  if (!result.ok() && result.error().errno_value != 0) result.error().syscall = name;
  return result;
}

Value GetAttribute(const CallbackInfo& info) {
  const auto* function = static_cast<const AttributeFunction*>(info.Data());
  const Result<std::string> raw = Under(function->name, selinux::ReadThreadAttribute(function->attribute));
  if (!raw.ok()) return Throw(info.Env(), raw.error());
  if (raw.value().empty()) return info.Env().Null();
  return Return(info, selinux::FromRaw(raw.value(), FormOf(info, 0)));
}

Value SetAttribute(const CallbackInfo& info) {
  const auto* function = static_cast<const AttributeFunction*>(info.Data());
  if (info[0].IsNull())
    return Return(info, Under(function->name, selinux::WriteThreadAttribute(function->attribute, {})));
  const Result<std::string> raw = selinux::ToRaw(function->name, Text(info, 0), FormOf(info, 1));
  if (!raw.ok()) return Throw(info.Env(), raw.error());
  return Return(info, Under(function->name, selinux::WriteThreadAttribute(function->attribute, raw.value())));
}

Value SecurityCheckContext(const CallbackInfo& info) {
  return Return(info, selinux::CheckContext(Text(info, 0), FormOf(info, 1)));
}
Value SecurityCanonicalizeContext(const CallbackInfo& info) {
  return Return(info, selinux::CanonicalizeContext(Text(info, 0), FormOf(info, 1)));
}
Value SelinuxTransToRawContext(const CallbackInfo& info) {
  return Return(info, selinux::TranslatedToRaw(Text(info, 0)));
}
Value SelinuxRawToTransContext(const CallbackInfo& info) {
  return Return(info, selinux::RawToTranslated(Text(info, 0)));
}

// --- File labels ---

Value Getfilecon(const CallbackInfo& info) {
  return Return(info, selinux::FileContext(Text(info, 0), Links::kFollow, FormOf(info, 1)));
}
Value Lgetfilecon(const CallbackInfo& info) {
  return Return(info, selinux::FileContext(Text(info, 0), Links::kNoFollow, FormOf(info, 1)));
}
Value Fgetfilecon(const CallbackInfo& info) {
  return Return(info, selinux::FileContext(Integer(info, 0), FormOf(info, 1)));
}
Value Setfilecon(const CallbackInfo& info) {
  return Return(info, selinux::SetFileContext(Text(info, 0), Links::kFollow, Text(info, 1), FormOf(info, 2)));
}
Value Lsetfilecon(const CallbackInfo& info) {
  return Return(info, selinux::SetFileContext(Text(info, 0), Links::kNoFollow, Text(info, 1), FormOf(info, 2)));
}
Value Fsetfilecon(const CallbackInfo& info) {
  return Return(info, selinux::SetFileContext(Integer(info, 0), Text(info, 1), FormOf(info, 2)));
}

// An object with `lookup` and `close`, which own the table together.
Value SelabelOpen(const CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Result<selinux::FileContextTable> opened = selinux::FileContextTable::Open(Text(info, 0));
  if (!opened.ok()) return Throw(env, opened.error());
  const auto table = std::make_shared<std::optional<selinux::FileContextTable>>(std::move(opened).value());
  Napi::Object handle = Napi::Object::New(env);
  handle.Set("lookup", Napi::Function::New(
                           env,
                           [table](const CallbackInfo& call) -> Value {
                             if (!table->has_value()) {
                               return Throw(call.Env(),
                                            Error::Coded("ERR_CLOSED", "The table of file contexts is closed"));
                             }
                             const auto mode = static_cast<mode_t>(Integer(call, 1));
                             return Return(call, (*table)->Lookup(Text(call, 0), mode, FormOf(call, 2)));
                           },
                           "lookup"));
  handle.Set("close", Napi::Function::New(
                          env, [table](const CallbackInfo&) { table->reset(); }, "close"));
  return handle;
}

// --- Questions ---

Value FindClass(const CallbackInfo& info) {
  if (info[0].IsNumber()) return Return(info, selinux::FindClass(static_cast<uint16_t>(Integer(info, 0))));
  return Return(info, selinux::FindClass(Text(info, 0)));
}
Value SecurityComputeAv(const CallbackInfo& info) {
  return Return(info, selinux::ComputeAv(Text(info, 0), Text(info, 1), Text(info, 2), FormOf(info, 3)));
}
Value SecurityComputeCreate(const CallbackInfo& info) {
  std::optional<std::string> object_name;
  if (info[3].IsString()) object_name = Text(info, 3);
  return Return(info, selinux::ComputeContext(selinux::NewContext::kCreate, Text(info, 0), Text(info, 1), Text(info, 2),
                                              object_name, FormOf(info, 4)));
}
Value SecurityComputeRelabel(const CallbackInfo& info) {
  return Return(info, selinux::ComputeContext(selinux::NewContext::kRelabel, Text(info, 0), Text(info, 1),
                                              Text(info, 2), std::nullopt, FormOf(info, 3)));
}
Value SecurityComputeMember(const CallbackInfo& info) {
  return Return(info, selinux::ComputeContext(selinux::NewContext::kMember, Text(info, 0), Text(info, 1), Text(info, 2),
                                              std::nullopt, FormOf(info, 3)));
}

// --- Booleans ---

Value SecurityGetBooleanNames(const CallbackInfo& info) { return Return(info, selinux::BooleanNames()); }
Value SecurityGetBooleanActive(const CallbackInfo& info) {
  return Return(info, selinux::GetBoolean(Text(info, 0), selinux::BooleanValue::kActive));
}
Value SecurityGetBooleanPending(const CallbackInfo& info) {
  return Return(info, selinux::GetBoolean(Text(info, 0), selinux::BooleanValue::kPending));
}
Value SecuritySetBoolean(const CallbackInfo& info) {
  return Return(info, selinux::SetBoolean(Text(info, 0), Flag(info, 1)));
}
Value SecurityCommitBooleans(const CallbackInfo& info) { return Return(info, selinux::CommitBooleans()); }
// ([name, …], [value, …])
Value SecuritySetBooleanList(const CallbackInfo& info) {
  std::vector<std::pair<std::string, bool>> values;
  if (info[0].IsArray() && info[1].IsArray()) {
    const auto names = info[0].As<Napi::Array>();
    const auto settings = info[1].As<Napi::Array>();
    for (uint32_t i = 0; i < names.Length(); ++i) {
      const Value name = names.Get(i), setting = settings.Get(i);
      if (name.IsString() && setting.IsBoolean()) {
        values.emplace_back(name.As<Napi::String>().Utf8Value(), setting.As<Napi::Boolean>().Value());
      }
    }
  }
  return Return(info, selinux::SetBooleans(values));
}

// --- Notices of policy loads ---

// Calls `changed` after each notice; the object returned has `close`.
Value OpenPolicyEvents(const CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsFunction())
    return Throw(env, Error::Coded("ERR_INVALID_ARG_TYPE", "There must be a function to call"));
  Result<UniqueFd> socket = selinux::OpenPolicyEvents();
  if (!socket.ok()) return Throw(env, socket.error());
  const int fd = socket.value().get();
  struct Listener {
    Napi::FunctionReference changed;
    Napi::AsyncContext context;
  };
  const auto listener = std::make_shared<Listener>(
      Listener{Napi::Persistent(info[0].As<Napi::Function>()), Napi::AsyncContext(env, "vm-entrypoint policy events")});
  auto started = PollHandle::Start(env, std::move(socket).value(), [env, fd, listener] {
    const bool usable = selinux::DrainPolicyEvents(fd).ok();
    const Napi::HandleScope scope(env);
    listener->changed.MakeCallback(env.Global(), {}, listener->context);
    // Nobody is above this call to catch what a listener threw.
    if (env.IsExceptionPending()) napi_fatal_exception(env, env.GetAndClearPendingException().Value());
    return usable;
  });
  if (!started.ok()) return Throw(env, started.error());
  const std::shared_ptr<PollHandle> poll = std::move(started).value();
  Napi::Object events = Napi::Object::New(env);
  events.Set("close", Napi::Function::New(
                          env, [poll](const CallbackInfo&) { poll->Close(); }, "close"));
  return events;
}

}  // namespace

Napi::Object MakeSelinux(Napi::Env env) {
  Napi::Object area = Napi::Object::New(env);
  const auto add = [&](const char* name, Value (*function)(const CallbackInfo&),
                       const AttributeFunction* data = nullptr) {
    area.Set(name, Napi::Function::New(env, function, name, const_cast<AttributeFunction*>(data)));
  };
  add("isSelinuxEnabled", IsSelinuxEnabled);
  add("isSelinuxMlsEnabled", IsSelinuxMlsEnabled);
  add("securityDenyUnknown", SecurityDenyUnknown);
  add("securityRejectUnknown", SecurityRejectUnknown);
  add("securityGetenforce", SecurityGetenforce);
  add("securitySetenforce", SecuritySetenforce);
  add("securityPolicyvers", SecurityPolicyvers);
  add("selinuxGetpolicytype", SelinuxGetpolicytype);
  add("selinuxStatus", SelinuxStatus);
  add("selinuxSequence", SelinuxSequence);
  add("openPolicyEvents", OpenPolicyEvents);

  add("getcon", Getcon);
  add("getprevcon", Getprevcon);
  add("getpidcon", Getpidcon);
  add("getpidprevcon", Getpidprevcon);
  add("getpeercon", Getpeercon);
  for (const AttributeFunction& getter : kAttributeGetters) add(getter.name, GetAttribute, &getter);
  for (const AttributeFunction& setter : kAttributeSetters) add(setter.name, SetAttribute, &setter);
  add("securityCheckContext", SecurityCheckContext);
  add("securityCanonicalizeContext", SecurityCanonicalizeContext);
  add("selinuxTransToRawContext", SelinuxTransToRawContext);
  add("selinuxRawToTransContext", SelinuxRawToTransContext);

  add("getfilecon", Getfilecon);
  add("lgetfilecon", Lgetfilecon);
  add("fgetfilecon", Fgetfilecon);
  add("setfilecon", Setfilecon);
  add("lsetfilecon", Lsetfilecon);
  add("fsetfilecon", Fsetfilecon);
  add("selabelOpen", SelabelOpen);

  add("findClass", FindClass);
  add("securityComputeAv", SecurityComputeAv);
  add("securityComputeCreate", SecurityComputeCreate);
  add("securityComputeRelabel", SecurityComputeRelabel);
  add("securityComputeMember", SecurityComputeMember);

  add("securityGetBooleanNames", SecurityGetBooleanNames);
  add("securityGetBooleanActive", SecurityGetBooleanActive);
  add("securityGetBooleanPending", SecurityGetBooleanPending);
  add("securitySetBoolean", SecuritySetBoolean);
  add("securityCommitBooleans", SecurityCommitBooleans);
  add("securitySetBooleanList", SecuritySetBooleanList);
  return area;
}

}  // namespace vmentry::binding
