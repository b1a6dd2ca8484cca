#include "binding/start_request.h"

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "binding/reader.h"

namespace vmentry::binding {
namespace {

using decision::Action;
using decision::Check;
using decision::Decision;
using decision::ObjectRequest;
using decision::Question;
using decision::Refusal;
using decision::Role;
using decision::Rule;
using decision::SelinuxMode;

const char* NameOf(Question question) {
  switch (question) {
    case Question::kReadDisk:
      return "read-disk";
    case Question::kVmDomain:
      return "vm-domain";
    case Question::kEntrypoint:
      return "entrypoint";
    case Question::kStart:
      return "start";
    case Question::kExec:
      return "exec";
    case Question::kInherit:
      return "inherit";
    case Question::kCount:
      break;
  }
  return "";
}

const char* NameOf(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone:
      return "";
    case Refusal::kDenied:
      return "denied";
    case Refusal::kNoTransition:
      return "no-transition";
    case Refusal::kInvalidContext:
      return "invalid-context";
  }
  return "";
}

// Makes the objects of one decision. Its checks name the same few contexts, permissions and properties
// over and over: each becomes a JS string once, which is most of the cost of the conversion.
class DecisionWriter {
 public:
  explicit DecisionWriter(Napi::Env env) : env_(env) {}

  Napi::Object Write(const Decision& decision) {
    Napi::Array checks = Napi::Array::New(env_, decision.checks.size());
    for (uint32_t i = 0; i < decision.checks.size(); ++i) checks.Set(i, Write(decision.checks[i]));
    Napi::Object object = Napi::Object::New(env_);
    Set(object, "allowed", Boolean(decision.allowed));
    Set(object, "evaluated", Boolean(decision.evaluated));
    Set(object, "refusal", TextOrNull(NameOf(decision.refusal)));
    Set(object, "vmContext", TextOrNull(decision.vm_context));
    Set(object, "checks", checks);
    Set(object, "enforcing", Boolean(decision.enforcing));
    Set(object, "policySequence", Napi::Number::New(env_, decision.policy_sequence));
    return object;
  }

 private:
  Napi::Object Write(const Check& check) {
    Napi::Object object = Napi::Object::New(env_);
    Set(object, "question", Text(NameOf(check.question)));
    Set(object, "subject", Text(check.subject));
    Set(object, "source", Text(check.source));
    Set(object, "target", Text(check.target));
    Set(object, "objectClass", Text(check.tclass));
    Set(object, "requested", List(check.requested));
    Set(object, "denied", List(check.denied));
    Set(object, "permissive", Boolean(check.permissive));
    Set(object, "auditable", Boolean(check.auditable));
    Set(object, "constraint", Boolean(check.constraint));
    Set(object, "invalidContext", TextOrNull(check.invalid_context));
    Set(object, "rule", TextOrNull(check.rule));
    return object;
  }

  // `text` must live as long as this object: the decision, or a literal.
  Napi::Value Text(std::string_view text) {
    const auto [place, is_new] = texts_.try_emplace(text);
    if (is_new) place->second = Napi::String::New(env_, text.data(), text.size());
    return place->second;
  }
  Napi::Value TextOrNull(std::string_view text) { return text.empty() ? env_.Null() : Text(text); }
  Napi::Value Boolean(bool value) { return Napi::Boolean::New(env_, value); }
  Napi::Array List(const std::vector<std::string>& texts) {
    Napi::Array array = Napi::Array::New(env_, texts.size());
    for (uint32_t i = 0; i < texts.size(); ++i) array.Set(i, Text(texts[i]));
    return array;
  }
  void Set(Napi::Object& object, std::string_view key, Napi::Value value) { object.Set(Text(key), value); }

  const Napi::Env env_;
  std::unordered_map<std::string_view, Napi::Value> texts_;  // handles of the running call's scope
};

}  // namespace

Result<decision::StartRequest> StartRequestFromJs(const Napi::Value& js) {
  decision::StartRequest parsed;
  Reader request(js);
  bool boot_known = false;
  for (Reader& source : request.Objects("objects")) {
    ObjectRequest& object = parsed.objects.emplace_back();
    object.role = source.OneOf<Role>("role", {{"disk", Role::kDisk},
                                              {"kernel", Role::kKernel},
                                              {"initrd", Role::kInitrd},
                                              {"firmware", Role::kFirmware},
                                              {"state", Role::kSavedState}});
    object.read_only = source.Boolean("readOnly");
    object.format =
        source.OneOf<disk::Format>("format", {{"raw", disk::Format::kRaw}, {"qcow2", disk::Format::kQcow2}});
    object.path = source.StringOrEmpty("path");
    if (source.Has("fd")) {
      object.fd = source.Integer("fd");
      source.Check(object.fd >= 0);
    }
    object.context = source.StringOrEmpty("context");
    object.mode = source.OneOfOrFirst<mode_t>("objectClass", {{"file", S_IFREG}, {"blk_file", S_IFBLK}});
    if (source.Boolean("boot")) {
      // Between two labels that choose the domain there is no choice.
      source.Check(!std::exchange(boot_known, true));
      parsed.boot_object = parsed.objects.size() - 1;
    }
    request.Merge(source);
  }
  parsed.client = request.StringOrEmpty("client");
  parsed.launcher = request.StringOrEmpty("launcher");
  parsed.emulator_path = request.StringOrEmpty("emulatorPath");
  parsed.emulator_context = request.StringOrEmpty("emulatorContext");
  parsed.rule = request.OneOf<Rule>("rule", {{"transition", Rule::kTransition}, {"change", Rule::kChange}});
  parsed.action = request.OneOf<Action>(
      "action", {{"start", Action::kStart}, {"restore", Action::kRestore}, {"migrate_in", Action::kMigrateIn}});
  parsed.selinux = request.OneOf<SelinuxMode>(
      "selinux", {{"require", SelinuxMode::kRequire}, {"prefer", SelinuxMode::kPrefer}, {"off", SelinuxMode::kOff}});
  if (!request.complete()) return Error::Coded("ERR_INVALID_ARG_TYPE", "Not a start request");
  return parsed;
}

Napi::Object DecisionToJs(Napi::Env env, const Decision& decision) { return DecisionWriter(env).Write(decision); }

}  // namespace vmentry::binding
