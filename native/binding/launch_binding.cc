// The area `launch` of the addon: prepare, spawn, discard, withExecContext.
#include <fcntl.h>
#include <napi.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "binding/addon.h"
#include "binding/environment.h"
#include "binding/process_handle.h"
#include "binding/reader.h"
#include "binding/start_request.h"
#include "core/system_calls.h"
#include "launch/launch.h"
#include "policy/policy_source.h"
#include "selinux/thread_attributes.h"

namespace vmentry::binding {
namespace {

// Random: tells our externals from those of other addons.
constexpr napi_type_tag kHandleTag = {0x5d0c1e8a7b2f4396, 0x9e41c7d05a63b8f2};

struct Prepared {
  launch::PreparedLaunch launch;
  std::vector<launch::StdioEntry> stdio;
};

// A launch between prepare and spawn. JS holds it by an external; a running spawn holds it too.
struct Handle {
  std::atomic<bool> cancelled{false};
  std::mutex mutex;
  std::unique_ptr<Prepared> prepared;  // LOCKED(mutex); empty: spawned or discarded
};
using SharedHandle = std::shared_ptr<Handle>;

Napi::Value HandleToJs(Napi::Env env, const SharedHandle& handle) {
  auto shared = std::make_unique<SharedHandle>(handle);
  auto external =
      Napi::External<SharedHandle>::New(env, shared.get(), [](Napi::Env, SharedHandle* data) { delete data; });
  // Nothing can be made for an environment that is being ended.
  if (external.IsEmpty()) return env.Undefined();
  (void)shared.release();  // the finalizer's
  napi_type_tag_object(env, external, &kHandleTag);
  return external;
}

// Empty, with an exception pending, when `value` is something else.
SharedHandle HandleFromJs(Napi::Env env, const Napi::Value& value) {
  bool ours = false;
  if (!value.IsExternal() || napi_check_object_type_tag(env, value, &kHandleTag, &ours) != napi_ok || !ours) {
    Throw(env, Error::Coded("ERR_INVALID_ARG_TYPE", "Not the handle of a prepared launch"));
    return nullptr;
  }
  return *value.As<Napi::External<SharedHandle>>().Data();
}

const char* NameOf(decision::Role role) {
  switch (role) {
    case decision::Role::kDisk:
      return "disk";
    case decision::Role::kKernel:
      return "kernel";
    case decision::Role::kInitrd:
      return "initrd";
    case decision::Role::kFirmware:
      return "firmware";
    case decision::Role::kSavedState:
      return "state";
  }
  return "";
}

Napi::Object ImageToJs(Napi::Env env, const decision::GatheredObject& object, bool boot) {
  Napi::Array members = Napi::Array::New(env);
  for (uint32_t i = 0; i < object.chain.members.size(); ++i) {
    const disk::ImageMember& member = object.chain.members[i];
    Napi::Object js = Napi::Object::New(env);
    js.Set("path", member.file.path);
    js.Set("format", member.format == disk::Format::kQcow2 ? "qcow2" : "raw");
    js.Set("readOnly", member.read_only);
    js.Set("backing", member.backing);
    js.Set("dataFile", member.data_file);
    js.Set("blockDevice", S_ISBLK(member.file.status.st_mode));
    js.Set("size", Napi::BigInt::New(env, static_cast<int64_t>(member.file.status.st_size)));
    members.Set(i, js);
  }
  Napi::Object image = Napi::Object::New(env);
  image.Set("role", NameOf(object.role));
  image.Set("boot", boot);
  image.Set("members", members);
  return image;
}

// Every descriptor that JS names by number is duplicated before JS runs on: its owner may close it at once, and
// somebody else get the number, as with child_process.spawn.
Result<std::vector<launch::StdioEntry>> StdioFromJs(const Napi::Value& js) {
  std::vector<launch::StdioEntry> entries;
  Reader reader(js);
  for (Reader& entry : reader.Objects("stdio")) {
    launch::StdioEntry& parsed = entries.emplace_back();
    parsed.target = entry.Integer("target");
    parsed.kind = entry.OneOf<launch::StdioEntry::Kind>("kind", {{"ignore", launch::StdioEntry::Kind::kIgnore},
                                                                 {"socket", launch::StdioEntry::Kind::kSocket},
                                                                 {"fd", launch::StdioEntry::Kind::kFd}});
    if (parsed.kind == launch::StdioEntry::Kind::kFd) {
      const int fd = entry.Integer("fd");
      if (entry.complete()) {
        VMENTRY_TRY(parsed.source, sys::DupCloexec(fd));
      }
    }
    reader.Merge(entry);
  }
  if (!reader.complete()) return Error::Coded("ERR_INVALID_ARG_TYPE", "Not a launch request");
  return entries;
}

Napi::Value PreparedToJs(Napi::Env env, Prepared prepared) {
  const launch::PreparedLaunch& launch = prepared.launch;
  Napi::Object result = Napi::Object::New(env);
  result.Set("decision", DecisionToJs(env, launch.decision));
  Napi::Array images = Napi::Array::New(env);
  for (uint32_t i = 0; i < launch.gathered.objects.size(); ++i) {
    const decision::GatheredObject& object = launch.gathered.objects[i];
    images.Set(i, ImageToJs(env, object, object.first_question == launch.gathered.question.boot_object));
  }
  result.Set("images", images);
  const auto handle = std::make_shared<Handle>();
  handle->prepared = std::make_unique<Prepared>(std::move(prepared));
  result.Set("handle", HandleToJs(env, handle));
  return result;
}

Napi::Value Prepare(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Result<decision::StartRequest> read = StartRequestFromJs(info[0]);
  if (!read.ok()) return Throw(env, read.error());
  const auto request = std::make_shared<decision::StartRequest>(std::move(read).value());
  Result<std::vector<UniqueFd>> taken = TakeDescriptors(request.get());
  if (!taken.ok()) return Throw(env, taken.error());
  const auto descriptors = std::make_shared<std::vector<UniqueFd>>(std::move(taken).value());
  Result<std::vector<launch::StdioEntry>> parsed = StdioFromJs(info[0]);
  if (!parsed.ok()) return Throw(env, parsed.error());
  const auto stdio = std::make_shared<std::vector<launch::StdioEntry>>(std::move(parsed).value());
  return RunJob<Prepared>(
      env, "vm-prepare",
      [request, descriptors, stdio](const std::atomic<bool>&) -> Result<Prepared> {
        VMENTRY_TRY(launch::PreparedLaunch prepared, launch::Prepare(*request));
        return Prepared{std::move(prepared), std::move(*stdio)};
      },
      PreparedToJs);
}

Result<launch::SpawnRequest> SpawnRequestFromJs(const Napi::Value& js) {
  launch::SpawnRequest request;
  Reader reader(js);
  for (const Napi::Value& text : reader.Array("arguments")) request.arguments.push_back(reader.StringFrom(text));
  for (const Napi::Value& text : reader.Array("environment")) request.environment.push_back(reader.StringFrom(text));
  request.working_directory = reader.StringOrEmpty("cwd");
  request.cgroup = reader.StringOrEmpty("cgroup");
  request.detached = reader.Boolean("detached");
  request.tied = reader.Boolean("tied");
  if (reader.Has("uid")) request.uid = reader.Unsigned("uid");
  if (reader.Has("gid")) request.gid = reader.Unsigned("gid");
  if (reader.Has("groups")) {
    std::vector<gid_t>& groups = request.groups.emplace();
    for (const Napi::Value& group : reader.Array("groups")) groups.push_back(reader.UnsignedFrom(group));
  }
  for (Reader& limit : reader.Objects("rlimits")) {
    launch::ResourceLimit& parsed = request.limits.emplace_back();
    parsed.resource = limit.Integer("resource");
    parsed.value.rlim_cur = limit.BigInt("soft");
    parsed.value.rlim_max = limit.BigInt("hard");
    reader.Merge(limit);
  }
  for (const Napi::Value& members : reader.Array("imageTargets")) {
    std::vector<int>& targets = request.image_targets.emplace_back();
    for (const Napi::Value& target : reader.ArrayFrom(members)) targets.push_back(reader.IntegerFrom(target));
  }
  for (const Napi::Value& target : reader.Array("reopened")) request.reopened.push_back(reader.IntegerFrom(target));
  if (!reader.complete()) return Error::Coded("ERR_INVALID_ARG_TYPE", "Not a launch request");
  return request;
}

Napi::Value SpawnedToJs(Napi::Env env, launch::SpawnResult result, bool tied) {
  Napi::Object js = Napi::Object::New(env);
  js.Set("decision", DecisionToJs(env, result.decision));
  if (!result.spawned) {
    js.Set("spawned", env.Null());
    return js;
  }
  launch::Spawned& spawned = *result.spawned;
  if (!tied) {
    if (const Status disarmed = spawned.tie.Disarm(); !disarmed.ok()) return Throw(env, disarmed.error());
  }
  Napi::Object process = Napi::Object::New(env);
  process.Set("pid", spawned.child.pid());
  process.Set("context", spawned.context.empty() ? env.Null() : Napi::Value(Napi::String::New(env, spawned.context)));
  process.Set("process", MakeProcessHandle(env, std::move(spawned)));
  js.Set("spawned", process);
  return js;
}

Napi::Value Spawn(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const SharedHandle handle = HandleFromJs(env, info[0]);
  if (!handle) return env.Undefined();
  Result<launch::SpawnRequest> parsed = SpawnRequestFromJs(info[1]);
  if (!parsed.ok()) return Throw(env, parsed.error());
  auto request = std::make_shared<launch::SpawnRequest>(std::move(parsed).value());
  std::shared_ptr<Prepared> prepared;
  {
    std::lock_guard lock(handle->mutex);
    prepared = std::move(handle->prepared);
  }
  if (!prepared) return Throw(env, Error::Coded("ERR_CLOSED", "This launch was spawned or discarded already"));
  request->stdio = std::move(prepared->stdio);
  const bool tied = request->tied;
  return RunJob<launch::SpawnResult>(
      env, "vm-launch",
      // `cancelled` of the job is set when the environment goes away, the handle's when the caller gives up.
      [handle, prepared, request](const std::atomic<bool>& ended) {
        return launch::Spawn(std::move(prepared->launch), std::move(*request), [&] {
          return ended.load(std::memory_order_relaxed) || handle->cancelled.load(std::memory_order_relaxed);
        });
      },
      [tied](Napi::Env settling, launch::SpawnResult result) {
        return SpawnedToJs(settling, std::move(result), tied);
      });
}

void Discard(const Napi::CallbackInfo& info) {
  const SharedHandle handle = HandleFromJs(info.Env(), info[0]);
  if (!handle) return;
  handle->cancelled.store(true, std::memory_order_relaxed);
  std::lock_guard lock(handle->mutex);
  handle->prepared.reset();
}

// For callers that keep their own child_process.spawn: what `body` starts on this thread, it starts in
// `context`. The attribute belongs to the thread and is inherited by every child, so it must never
// outlive this call.
Napi::Value WithExecContext(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string context = info[0].As<Napi::String>().Utf8Value();
  const Napi::Function body = info[1].As<Napi::Function>();

  Result<policy::PolicySource*> source = policy::KernelPolicySource();
  if (!source.ok()) return Throw(env, source.error());
  const Result<bool> known = source.value()->CheckContext(context);
  if (!known.ok()) return Throw(env, known.error());
  if (!known.value()) {
    return Throw(env,
                 Error::Coded("ERR_SELINUX_CONTEXT_INVALID", "The policy does not know the context '" + context + "'"));
  }
  const Result<std::string> before = selinux::ReadThreadAttribute(selinux::ThreadAttribute::kExec);
  if (!before.ok()) return Throw(env, before.error());
  if (!before.value().empty()) {
    return Throw(env, Error::Coded("ERR_BUSY", "This thread has an exec context already: '" + before.value() + "'"));
  }

  Napi::Value result = env.Undefined();
  {
    Result<selinux::ScopedThreadAttribute> scope =
        selinux::ScopedThreadAttribute::Set(selinux::ThreadAttribute::kExec, context);
    if (!scope.ok()) return Throw(env, scope.error());
    const Napi::Value returned = body.Call(std::initializer_list<napi_value>{});
    if (!env.IsExceptionPending()) result = returned;
    // Its destructor clears, and ends the process where it cannot: the next child of this thread would
    // run in the VM's domain.
  }
  return result;  // an exception of the body is pending, and is thrown
}

}  // namespace

Napi::Object MakeLaunch(Napi::Env env) {
  Napi::Object launch = Napi::Object::New(env);
  launch.Set("prepare", Napi::Function::New(env, Prepare, "prepare"));
  launch.Set("spawn", Napi::Function::New(env, Spawn, "spawn"));
  launch.Set("discard", Napi::Function::New(env, Discard, "discard"));
  launch.Set("withExecContext", Napi::Function::New(env, WithExecContext, "withExecContext"));
  return launch;
}

}  // namespace vmentry::binding
