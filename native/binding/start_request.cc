#include "binding/start_request.h"

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

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

std::string StringOr(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

bool IsTrue(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  return value.IsBoolean() && value.As<Napi::Boolean>().Value();
}

// The strings come from unions in types/native.d.ts. An unknown one cannot arrive; if it did, it is
// read as the strictest of its kind.
Role RoleFrom(std::string_view name) {
  if (name == "kernel") return Role::kKernel;
  if (name == "initrd") return Role::kInitrd;
  if (name == "firmware") return Role::kFirmware;
  if (name == "state") return Role::kSavedState;
  return Role::kDisk;
}

Action ActionFrom(std::string_view name) {
  if (name == "restore") return Action::kRestore;
  if (name == "migrate_in") return Action::kMigrateIn;
  return Action::kStart;
}

SelinuxMode ModeFrom(std::string_view name) {
  if (name == "prefer") return SelinuxMode::kPrefer;
  if (name == "off") return SelinuxMode::kOff;
  return SelinuxMode::kRequire;
}

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

decision::StartRequest StartRequestFromJs(Napi::Env env, const Napi::Object& request) {
  (void)env;
  decision::StartRequest parsed;
  const Napi::Value objects = request.Get("objects");
  if (objects.IsArray()) {
    const Napi::Array array = objects.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Napi::Value element = array[i];
      if (!element.IsObject()) continue;
      const Napi::Object source = element.As<Napi::Object>();
      ObjectRequest& object = parsed.objects.emplace_back();
      object.role = RoleFrom(StringOr(source, "role"));
      object.read_only = IsTrue(source, "readOnly");
      object.format = StringOr(source, "format") == "qcow2" ? disk::Format::kQcow2 : disk::Format::kRaw;
      object.path = StringOr(source, "path");
      if (const Napi::Value fd = source.Get("fd"); fd.IsNumber()) object.fd = fd.As<Napi::Number>().Int32Value();
      object.context = StringOr(source, "context");
      object.mode = StringOr(source, "objectClass") == "blk_file" ? S_IFBLK : S_IFREG;
      if (IsTrue(source, "boot")) parsed.boot_object = parsed.objects.size() - 1;
    }
  }
  parsed.client = StringOr(request, "client");
  parsed.launcher = StringOr(request, "launcher");
  parsed.emulator_path = StringOr(request, "emulatorPath");
  parsed.emulator_context = StringOr(request, "emulatorContext");
  parsed.rule = StringOr(request, "rule") == "change" ? Rule::kChange : Rule::kTransition;
  parsed.action = ActionFrom(StringOr(request, "action"));
  parsed.selinux = ModeFrom(StringOr(request, "selinux"));
  return parsed;
}

Napi::Object DecisionToJs(Napi::Env env, const Decision& decision) { return DecisionWriter(env).Write(decision); }

}  // namespace vmentry::binding
