// The addon's area `selinux` (types/native-selinux.d.ts): one function of libselinux each, with the
// names of C in camel case. A last argument `raw` says in which form contexts come and go.
#include <napi.h>

#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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

// One function of the area, with the types of its arguments: s string, S string or null, o string or
// undefined, i integer, c name or number of a class, b boolean, a array, f function. Their values were
// checked in lib/selinux.ts. One of another type is refused here before anything is asked: what it would
// be read as (an empty path, "permissive") might be something that somebody could have meant.
struct Entry {
  const char* name;  // in JavaScript; where `attribute` matters, of the C function too
  Value (*function)(const CallbackInfo&);
  const char* arguments;
  ThreadAttribute attribute = ThreadAttribute::kCurrent;
};

bool IsInteger(const Value& value, double first, double last) {
  if (!value.IsNumber()) return false;
  const double number = value.As<Napi::Number>().DoubleValue();
  return number >= first && number <= last && number == std::trunc(number);
}

bool Matches(const Value& value, char type) {
  switch (type) {
    case 's':
      return value.IsString();
    case 'S':
      return value.IsString() || value.IsNull();
    case 'o':
      return value.IsString() || value.IsUndefined();
    case 'i':
      return IsInteger(value, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max());
    case 'c':
      return value.IsString() || IsInteger(value, 1, std::numeric_limits<uint16_t>::max());
    case 'b':
      return value.IsBoolean();
    case 'a':
      return value.IsArray();
    case 'f':
      return value.IsFunction();
    default:
      return false;
  }
}

Error WrongArguments(std::string_view function) {
  return Error::Coded("ERR_INVALID_ARG_TYPE", "Wrong arguments for " + std::string(function));
}

bool Match(const CallbackInfo& info, std::string_view types) {
  for (size_t i = 0; i < types.size(); ++i) {
    if (!Matches(info[i], types[i])) return false;
  }
  return true;
}

Value CallChecked(const CallbackInfo& info) {
  const auto* entry = static_cast<const Entry*>(info.Data());
  if (!Match(info, entry->arguments)) return Throw(info.Env(), WrongArguments(entry->name));
  return entry->function(info);
}

std::string Text(const CallbackInfo& info, size_t index) { return info[index].As<Napi::String>().Utf8Value(); }
int32_t Integer(const CallbackInfo& info, size_t index) { return info[index].As<Napi::Number>().Int32Value(); }
bool Flag(const CallbackInfo& info, size_t index) { return info[index].As<Napi::Boolean>().Value(); }
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
Value ToJs(Napi::Env env, const selinux::AvAnswer& answer) {
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

// The attribute files are read and written directly, but what failed is the function that was called.
template <typename T>
Result<T> Under(const char* name, Result<T> result) {
  if (!result.ok() && result.error().errno_value != 0) result.error().syscall = name;
  return result;
}

Value GetAttribute(const CallbackInfo& info) {
  const auto* function = static_cast<const Entry*>(info.Data());
  const Result<std::string> raw = Under(function->name, selinux::ReadThreadAttribute(function->attribute));
  if (!raw.ok()) return Throw(info.Env(), raw.error());
  if (raw.value().empty()) return info.Env().Null();
  return Return(info, selinux::FromRaw(raw.value(), FormOf(info, 0)));
}

Value SetAttribute(const CallbackInfo& info) {
  const auto* function = static_cast<const Entry*>(info.Data());
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
                             if (!Match(call, "sib")) return Throw(call.Env(), WrongArguments("lookup"));
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
  const auto names = info[0].As<Napi::Array>();
  const auto settings = info[1].As<Napi::Array>();
  const uint32_t count = names.Length();
  std::vector<std::pair<std::string, bool>> values;
  for (uint32_t i = 0; i < count; ++i) {
    const Value name = names.Get(i), setting = settings.Get(i);
    if (!name.IsString() || !setting.IsBoolean()) break;
    values.emplace_back(name.As<Napi::String>().Utf8Value(), setting.As<Napi::Boolean>().Value());
  }
  if (values.size() != count || settings.Length() != count) {
    return Throw(info.Env(), WrongArguments("securitySetBooleanList"));
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

constexpr Entry kEntries[] = {
    {"isSelinuxEnabled", IsSelinuxEnabled, ""},
    {"isSelinuxMlsEnabled", IsSelinuxMlsEnabled, ""},
    {"securityDenyUnknown", SecurityDenyUnknown, ""},
    {"securityRejectUnknown", SecurityRejectUnknown, ""},
    {"securityGetenforce", SecurityGetenforce, ""},
    {"securitySetenforce", SecuritySetenforce, "b"},
    {"securityPolicyvers", SecurityPolicyvers, ""},
    {"selinuxGetpolicytype", SelinuxGetpolicytype, ""},
    {"selinuxStatus", SelinuxStatus, ""},
    {"selinuxSequence", SelinuxSequence, ""},
    {"openPolicyEvents", OpenPolicyEvents, "f"},

    {"getcon", Getcon, "b"},
    {"getprevcon", Getprevcon, "b"},
    {"getpidcon", Getpidcon, "ib"},
    {"getpidprevcon", Getpidprevcon, "ib"},
    {"getpeercon", Getpeercon, "ib"},
    {"getexeccon", GetAttribute, "b", ThreadAttribute::kExec},
    {"setexeccon", SetAttribute, "Sb", ThreadAttribute::kExec},
    {"getfscreatecon", GetAttribute, "b", ThreadAttribute::kFsCreate},
    {"setfscreatecon", SetAttribute, "Sb", ThreadAttribute::kFsCreate},
    {"getsockcreatecon", GetAttribute, "b", ThreadAttribute::kSockCreate},
    {"setsockcreatecon", SetAttribute, "Sb", ThreadAttribute::kSockCreate},
    {"getkeycreatecon", GetAttribute, "b", ThreadAttribute::kKeyCreate},
    {"setkeycreatecon", SetAttribute, "Sb", ThreadAttribute::kKeyCreate},
    {"securityCheckContext", SecurityCheckContext, "sb"},
    {"securityCanonicalizeContext", SecurityCanonicalizeContext, "sb"},
    {"selinuxTransToRawContext", SelinuxTransToRawContext, "s"},
    {"selinuxRawToTransContext", SelinuxRawToTransContext, "s"},

    {"getfilecon", Getfilecon, "sb"},
    {"lgetfilecon", Lgetfilecon, "sb"},
    {"fgetfilecon", Fgetfilecon, "ib"},
    {"setfilecon", Setfilecon, "ssb"},
    {"lsetfilecon", Lsetfilecon, "ssb"},
    {"fsetfilecon", Fsetfilecon, "isb"},
    {"selabelOpen", SelabelOpen, "s"},

    {"findClass", FindClass, "c"},
    {"securityComputeAv", SecurityComputeAv, "sssb"},
    {"securityComputeCreate", SecurityComputeCreate, "sssob"},
    {"securityComputeRelabel", SecurityComputeRelabel, "sssb"},
    {"securityComputeMember", SecurityComputeMember, "sssb"},

    {"securityGetBooleanNames", SecurityGetBooleanNames, ""},
    {"securityGetBooleanActive", SecurityGetBooleanActive, "s"},
    {"securityGetBooleanPending", SecurityGetBooleanPending, "s"},
    {"securitySetBoolean", SecuritySetBoolean, "sb"},
    {"securityCommitBooleans", SecurityCommitBooleans, ""},
    {"securitySetBooleanList", SecuritySetBooleanList, "aa"},
};

}  // namespace

Napi::Object MakeSelinux(Napi::Env env) {
  Napi::Object area = Napi::Object::New(env);
  for (const Entry& entry : kEntries) {
    area.Set(entry.name, Napi::Function::New(env, CallChecked, entry.name, const_cast<Entry*>(&entry)));
  }
  return area;
}

}  // namespace vmentry::binding
