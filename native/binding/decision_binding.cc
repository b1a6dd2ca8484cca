// The `decision` area of the addon: questions to the policy, from JavaScript. The two hot functions
// (verdict, askAccess) speak Node-API directly: what a wrapper adds there is as much as the decision.
#include <napi.h>

#include <limits.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "binding/addon.h"
#include "binding/environment.h"
#include "binding/reader.h"
#include "binding/start_request.h"
#include "decision/access_cache.h"
#include "decision/access_question.h"
#include "decision/gather.h"
#include "decision/many.h"
#include "decision/prepared.h"
#include "decision/start_decision.h"

namespace vmentry::binding {
namespace {

using decision::AccessCache;
using decision::AccessQuestion;
using decision::Decision;
using decision::PreparedDecision;

constexpr uint32_t kNoVerdict = 0xffffffff;

Result<Decision> GatherAndDecide(const decision::StartRequest& request) {
  VMENTRY_TRY(const decision::Gathered gathered, decision::Gather(request));
  return decision::Decide(gathered);
}

Napi::Value Decide(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Result<decision::StartRequest> request = StartRequestFromJs(info[0]);
  if (!request.ok()) return Throw(env, request.error());
  const Result<Decision> decided = GatherAndDecide(request.value());
  if (!decided.ok()) return Throw(env, decided.error());
  return DecisionToJs(env, decided.value());
}

Napi::Value DecideAsync(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Result<decision::StartRequest> parsed = StartRequestFromJs(info[0]);
  if (!parsed.ok()) return Throw(env, parsed.error());
  const auto request = std::make_shared<decision::StartRequest>(std::move(parsed).value());
  Result<std::vector<UniqueFd>> taken = TakeDescriptors(request.get());
  if (!taken.ok()) return Throw(env, taken.error());
  const auto descriptors = std::make_shared<std::vector<UniqueFd>>(std::move(taken).value());
  return RunJob<Decision>(
      env, "vme-decide", [request, descriptors](const std::atomic<bool>&) { return GatherAndDecide(*request); },
      [](Napi::Env settle_env, const Decision& decision) -> Napi::Value { return DecisionToJs(settle_env, decision); });
}

// --- Prepared decisions ----------------------------------------------------------------------

using SharedPrepared = std::shared_ptr<PreparedDecision>;

// Node-API calls nothing back with an exception pending, and a native error has become one.
napi_value ThrowRaw(napi_env env, const Error& error) {
  Throw(Napi::Env(env), error);
  return nullptr;
}

napi_value Integer(napi_env env, uint32_t value) {
  napi_value result = nullptr;
  napi_create_uint32(env, value, &result);
  return result;
}

napi_value Verdict(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  const Result<uint32_t> verdict = (*static_cast<SharedPrepared*>(data))->Verdict();
  return verdict.ok() ? Integer(env, verdict.value()) : ThrowRaw(env, verdict.error());
}

napi_value VerdictOn(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_value argument = nullptr;
  size_t count = 1;
  napi_get_cb_info(env, info, &count, &argument, nullptr, &data);
  // What does not fit is cut off between two characters, so up to three bytes short of the end: with room
  // for those, a path that was cut is always too long.
  std::array<char, PATH_MAX + 4> path;
  size_t length = 0;
  if (napi_get_value_string_utf8(env, argument, path.data(), path.size(), &length) != napi_ok) {
    return ThrowRaw(env, Error::Coded("ERR_INVALID_ARG_TYPE", "The path of an image must be a string"));
  }
  // As the kernel would refuse the whole.
  if (length >= PATH_MAX) return ThrowRaw(env, Error::System("fstatat", ENAMETOOLONG));
  const Result<uint32_t> verdict = (*static_cast<SharedPrepared*>(data))->VerdictOn(std::string(path.data(), length));
  return verdict.ok() ? Integer(env, verdict.value()) : ThrowRaw(env, verdict.error());
}

napi_value DecidePrepared(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  const Result<Decision> decided = (*static_cast<SharedPrepared*>(data))->Decide();
  return decided.ok() ? napi_value(DecisionToJs(env, decided.value())) : ThrowRaw(env, decided.error());
}

// A function that owns a share of what it is bound to.
void BindMethod(Napi::Env env, Napi::Object object, const char* name, napi_callback method,
                const SharedPrepared& prepared) {
  auto share = std::make_unique<SharedPrepared>(prepared);
  napi_value function = nullptr;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, method, share.get(), &function) != napi_ok) return;
  const auto release = [](napi_env, void* data, void*) { delete static_cast<SharedPrepared*>(data); };
  if (napi_add_finalizer(env, function, share.get(), release, nullptr, nullptr) != napi_ok) return;
  (void)share.release();
  object.Set(name, Napi::Function(env, function));
}

Napi::Value Prepare(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Result<decision::StartRequest> request = StartRequestFromJs(info[0]);
  if (!request.ok()) return Throw(env, request.error());
  Result<PreparedDecision> made = PreparedDecision::Make(request.value());
  if (!made.ok()) return Throw(env, made.error());
  const auto prepared = std::make_shared<PreparedDecision>(std::move(made).value());
  Napi::Object object = Napi::Object::New(env);
  BindMethod(env, object, "verdict", Verdict, prepared);
  BindMethod(env, object, "verdictOn", VerdictOn, prepared);
  BindMethod(env, object, "decide", DecidePrepared, prepared);
  return object;
}

// --- Many --------------------------------------------------------------------------------------

// What a run leaves behind for its accessors.
struct ManyAnswers {
  decision::ManyRequest request;
  decision::ManyControl control;
  decision::ManyResult result;
};

Napi::Value DecideOneOfMany(const Napi::CallbackInfo& info, const std::shared_ptr<ManyAnswers>& answers) {
  const Napi::Env env = info.Env();
  const uint32_t index = info[0].As<Napi::Number>().Uint32Value();
  const decision::ManyResult& result = answers->result;
  if (index >= result.decision_of.size() || result.decision_of[index] == decision::kNotDecided) {
    return Throw(env, Error::Coded("ERR_OUT_OF_RANGE", "There is no decision with this index"));
  }
  Result<Decision> decided = Decision();
  if (result.evaluated) {
    decision::StartQuestion question = result.decisions[result.decision_of[index]].question;
    question.objects[question.boot_object].name = answers->request.names[index];
    const Result<AccessCache*> cache = decision::KernelAccessCache();
    decided = cache.ok() ? decision::DecideStart(*cache.value(), question) : Result<Decision>(cache.error());
  } else {
    decision::Gathered nothing;
    nothing.evaluate = false;
    decided = decision::Decide(nothing);
  }
  if (!decided.ok()) return Throw(env, decided.error());
  return DecisionToJs(env, decided.value());
}

Napi::Value ManyToJs(Napi::Env env, const std::shared_ptr<ManyAnswers>& answers) {
  const decision::ManyResult& result = answers->result;
  const size_t count = result.decision_of.size();
  Napi::Object object = Napi::Object::New(env);
  object.Set("evaluated", result.evaluated);
  object.Set("enforcing", result.enforcing);
  object.Set("policySequence", result.policy_sequence);

  // Many images, few domains.
  Napi::Array contexts = Napi::Array::New(env);
  std::unordered_map<std::string, uint32_t> context_index;
  std::vector<uint32_t> context_of(result.decisions.size(), decision::kNotDecided);
  for (size_t i = 0; i < result.decisions.size(); ++i) {
    const std::string& context = result.decisions[i].vm_context;
    if (context.empty()) continue;
    const auto [place, is_new] = context_index.try_emplace(context, static_cast<uint32_t>(context_index.size()));
    if (is_new) contexts.Set(place->second, context);
    context_of[i] = place->second;
  }
  Napi::Uint32Array verdicts = Napi::Uint32Array::New(env, count);
  Napi::Uint32Array vm_contexts = Napi::Uint32Array::New(env, count);
  // Empty where the environment is being ended: then nobody will hear of this.
  if (verdicts.IsEmpty() || vm_contexts.IsEmpty() || verdicts.ElementLength() != count ||
      vm_contexts.ElementLength() != count) {
    return Napi::Value();
  }
  for (size_t i = 0; i < count; ++i) {
    const uint32_t index = result.decision_of[i];
    verdicts[i] = index == decision::kNotDecided ? kNoVerdict : result.decisions[index].verdict;
    vm_contexts[i] = index == decision::kNotDecided ? decision::kNotDecided : context_of[index];
  }
  object.Set("verdicts", verdicts);
  object.Set("vmContexts", vm_contexts);
  object.Set("contexts", contexts);

  const Napi::Value map = env.Global().Get("Map");
  if (!map.IsFunction()) return Napi::Value();
  const Napi::Object errors = map.As<Napi::Function>().New({});
  if (errors.IsEmpty()) return Napi::Value();
  const Napi::Value set_value = errors.Get("set");
  if (!set_value.IsFunction()) return Napi::Value();
  const Napi::Function set = set_value.As<Napi::Function>();
  for (const auto& [index, error] : result.errors) {
    const Napi::Value made = Environment::Of(env).MakeError(env, error);
    if (made.IsEmpty()) return Napi::Value();
    set.Call(errors, {Napi::Number::New(env, index), made});
  }
  object.Set("errors", errors);
  object.Set("decide",
             Napi::Function::New(
                 env, [answers](const Napi::CallbackInfo& info) { return DecideOneOfMany(info, answers); }, "decide"));
  return object;
}

Napi::Value DecideMany(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader request(info[0]);
  const auto answers = std::make_shared<ManyAnswers>();
  answers->request.threads = request.Unsigned("threads");
  const Napi::Value names_given = request.Get("names");
  const Napi::Value flags_given = request.Get("flags");
  request.Check(names_given.IsArray());
  request.Check(flags_given.IsTypedArray() && flags_given.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array);
  if (!request.complete()) return Throw(env, Error::Coded("ERR_INVALID_ARG_TYPE", "Not a request about many images"));
  Result<decision::StartRequest> common = StartRequestFromJs(request.Get("common"));
  if (!common.ok()) return Throw(env, common.error());
  answers->request.common = std::move(common).value();
  const Napi::Array names = names_given.As<Napi::Array>();
  const Napi::Uint8Array flags = flags_given.As<Napi::Uint8Array>();
  const uint32_t count = names.Length();
  if (flags.ElementLength() != count) {
    return Throw(env, Error::Coded("ERR_INVALID_ARG_VALUE", "There must be as many flags as names"));
  }
  answers->request.names.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    const Napi::HandleScope scope(env);
    // Without the wrapper, which ends the process where the environment is being ended meanwhile.
    napi_value name = nullptr;
    if (napi_get_element(env, names, i, &name) != napi_ok) return env.Undefined();
    answers->request.names.push_back(Napi::String(env, name).Utf8Value());
  }
  answers->request.flags.assign(flags.Data(), flags.Data() + count);
  if (env.IsExceptionPending()) return env.Undefined();

  const Napi::Promise promise = RunJob<Unit>(
      env, "vme-many",
      [answers](const std::atomic<bool>& torn_down) -> Status {
        // Two ways to be told to stop: the caller's signal, and the end of the environment.
        VMENTRY_TRY(answers->result, decision::DecideMany(answers->request, &answers->control, &torn_down));
        return Ok();
      },
      [answers](Napi::Env settle_env, Unit) { return ManyToJs(settle_env, answers); });
  Napi::Object run = Napi::Object::New(env);
  run.Set("promise", promise);
  run.Set("cancel", Napi::Function::New(
                        env, [answers](const Napi::CallbackInfo&) { answers->control.cancelled = true; }, "cancel"));
  run.Set("progress", Napi::Function::New(
                          env,
                          [answers](const Napi::CallbackInfo& call) {
                            return Napi::Number::New(call.Env(), answers->control.done.load());
                          },
                          "progress"));
  return run;
}

// --- Single questions --------------------------------------------------------------------------

// What the single questions of one environment need. JS THREAD.
struct AccessArea {
  static constexpr size_t kArguments = 3;
  static constexpr size_t kMaxQuestions = 65536;

  double* arguments = nullptr;   // source, target, question; the memory of `accessArguments`
  AccessCache* cache = nullptr;  // once it was made
  std::vector<std::unique_ptr<AccessQuestion>> questions;
  Napi::Reference<Napi::Value> keep_arguments;
};

// A number that JavaScript wrote: anything but a non-negative integer in range becomes `bad`.
uint64_t IdFrom(double value, uint64_t last, uint64_t bad) {
  return value >= 0 && value <= static_cast<double>(last) ? static_cast<uint64_t>(value) : bad;
}

napi_value AskAccessSlowly(napi_env env, AccessArea* area, AccessQuestion* question, uint64_t source, uint64_t target) {
  const Result<AccessCache*> cache = decision::KernelAccessCache();
  if (!cache.ok()) return ThrowRaw(env, cache.error());
  area->cache = cache.value();
  const Result<uint32_t> denied = question->Ask(*area->cache, source, target);
  return denied.ok() ? Integer(env, denied.value()) : ThrowRaw(env, denied.error());
}

napi_value AskAccess(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  auto* const area = static_cast<AccessArea*>(data);
  const uint64_t source = IdFrom(area->arguments[0], decision::kMaxContextId, decision::kNoContext);
  const uint64_t target = IdFrom(area->arguments[1], decision::kMaxContextId, decision::kNoContext);
  const uint64_t number = IdFrom(area->arguments[2], AccessArea::kMaxQuestions, AccessArea::kMaxQuestions);
  if (number >= area->questions.size()) {
    return ThrowRaw(env, Error::Coded("ERR_STALE_HANDLE", "There is no access question with this number"));
  }
  AccessQuestion* const question = area->questions[number].get();
  uint32_t denied;
  if (area->cache != nullptr && question->FromCache(*area->cache, source, target, &denied)) {
    area->cache->CountHits(1);
    return Integer(env, denied);
  }
  return AskAccessSlowly(env, area, question, source, target);
}

Napi::Value MakeAccessQuestion(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* const area = static_cast<AccessArea*>(info.Data());
  std::string tclass = info[0].As<Napi::String>().Utf8Value();
  const Napi::Array array = info[1].As<Napi::Array>();
  std::vector<std::string> permissions;
  for (uint32_t i = 0; i < array.Length(); ++i) permissions.push_back(array.Get(i).As<Napi::String>().Utf8Value());
  if (env.IsExceptionPending()) return env.Undefined();
  if (permissions.empty() || permissions.size() > AccessQuestion::kMaxPermissions) {
    return Throw(env, Error::Coded("ERR_INVALID_ARG_VALUE", "An access question has 1 to 32 permissions"));
  }
  // The same question has one number, however often it is made.
  for (size_t i = 0; i < area->questions.size(); ++i) {
    const AccessQuestion& known = *area->questions[i];
    if (known.class_name() == tclass && known.permissions() == permissions) {
      return Napi::Number::New(env, static_cast<double>(i));
    }
  }
  if (area->questions.size() >= AccessArea::kMaxQuestions) {
    return Throw(env, Error::Coded("ERR_OUT_OF_RANGE", "There are too many different access questions"));
  }
  area->questions.push_back(std::make_unique<AccessQuestion>(std::move(tclass), std::move(permissions)));
  return Napi::Number::New(env, static_cast<double>(area->questions.size() - 1));
}

Napi::Value InternContext(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Result<AccessCache*> cache = decision::KernelAccessCache();
  if (!cache.ok()) return Throw(env, cache.error());
  const std::string context = info[0].As<Napi::String>().Utf8Value();
  if (env.IsExceptionPending()) return env.Undefined();
  return Napi::Number::New(env, static_cast<double>(cache.value()->contexts().Intern(context)));
}

// --- The cache -----------------------------------------------------------------------------------

void SetCacheLimit(const Napi::CallbackInfo& info) {
  const double bytes = info[0].As<Napi::Number>().DoubleValue();
  decision::SetKernelAccessCacheLimit(
      static_cast<size_t>(IdFrom(bytes, decision::kMaxCacheLimit, decision::kMinCacheLimit)));
}

Napi::Value CacheStatistics(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const AccessCache* const cache = decision::KernelAccessCacheIfMade();
  const decision::CacheStatistics statistics = cache != nullptr ? cache->Statistics() : decision::CacheStatistics();
  Napi::Object object = Napi::Object::New(env);
  object.Set("bytes", static_cast<double>(statistics.bytes));
  object.Set("contexts", static_cast<double>(statistics.contexts));
  object.Set("vectors", static_cast<double>(statistics.vectors));
  object.Set("transitions", static_cast<double>(statistics.transitions));
  object.Set("hits", static_cast<double>(statistics.hits));
  object.Set("misses", static_cast<double>(statistics.misses));
  return object;
}

void FlushCache(const Napi::CallbackInfo&) {
  if (AccessCache* const cache = decision::KernelAccessCacheIfMade()) cache->Flush();
}

void AddSingleQuestions(Napi::Env env, Napi::Object area) {
  auto access = std::make_unique<AccessArea>();
  Napi::Float64Array arguments = Napi::Float64Array::New(env, AccessArea::kArguments);
  access->arguments = arguments.Data();
  access->keep_arguments = Napi::Persistent(Napi::Value(arguments));
  area.Set("accessArguments", arguments);
  area.Set("accessQuestion", Napi::Function::New(env, MakeAccessQuestion, "accessQuestion", access.get()));
  napi_value ask = nullptr;
  if (napi_create_function(env, "askAccess", NAPI_AUTO_LENGTH, AskAccess, access.get(), &ask) == napi_ok) {
    area.Set("askAccess", Napi::Function(env, ask));
  }
  // Functions of the area may be called until the environment ends, and not after.
  env.AddCleanupHook([](AccessArea* data) { delete data; }, access.release());
}

}  // namespace

Napi::Object MakeDecision(Napi::Env env) {
  Napi::Object area = Napi::Object::New(env);
  area.Set("decide", Napi::Function::New(env, Decide, "decide"));
  area.Set("decideAsync", Napi::Function::New(env, DecideAsync, "decideAsync"));
  area.Set("decideMany", Napi::Function::New(env, DecideMany, "decideMany"));
  area.Set("prepare", Napi::Function::New(env, Prepare, "prepare"));
  AddSingleQuestions(env, area);
  area.Set("internContext", Napi::Function::New(env, InternContext, "internContext"));
  area.Set("setCacheLimit", Napi::Function::New(env, SetCacheLimit, "setCacheLimit"));
  area.Set("cacheStatistics", Napi::Function::New(env, CacheStatistics, "cacheStatistics"));
  area.Set("flushCache", Napi::Function::New(env, FlushCache, "flushCache"));
  return area;
}

}  // namespace vmentry::binding
