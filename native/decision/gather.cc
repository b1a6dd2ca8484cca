#include "decision/gather.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <utility>

#include "core/system_calls.h"
#include "decision/thread_status.h"
#include "selinux/state.h"
#include "selinux/thread_attributes.h"

namespace vmentry::decision {
namespace {

bool IsEntrypointRole(Role role) { return role != Role::kDisk; }

// Whether the running kernel has SELinux switched on: only then it registers the file system selinuxfs.
// Asked of the kernel and not of libselinux, whose library may only be out of reach for a moment.
Result<bool> KernelHasSelinux() {
  constexpr const char* kFileSystems = "/proc/filesystems";
  VMENTRY_TRY(const UniqueFd file, sys::OpenAt(AT_FDCWD, kFileSystems, O_RDONLY));
  VMENTRY_TRY(const std::string list, sys::ReadSmallFile(file.get(), 1 << 20, kFileSystems));
  return list.find("\tselinuxfs\n") != std::string::npos;
}

// Turns enforcement off only where the request says so, and only for the reason it names: any other
// failure to find SELinux is a failure to evaluate.
Result<bool> MustEvaluate(SelinuxMode mode) {
  if (mode == SelinuxMode::kOff) return false;
  Status enabled = selinux::RequireEnabled();
  if (enabled.ok()) return true;
  const std::string& code = enabled.error().code;
  if (mode == SelinuxMode::kPrefer && (code == "ERR_SELINUX_DISABLED" || code == "ERR_SELINUX_LIBRARY")) {
    VMENTRY_TRY(const bool present, KernelHasSelinux());
    if (!present) return false;
  }
  return std::move(enabled).error();
}

ObjectQuestion QuestionAbout(const disk::ImageMember& member, bool entrypoint) {
  ObjectQuestion question;
  question.name = member.file.path;
  question.context = member.file.context;
  question.mode = member.file.status.st_mode;
  question.writable = !member.read_only;
  question.entrypoint = entrypoint;
  return question;
}

Error Unlabeled(Error error) {
  error.code = "ERR_SELINUX_UNLABELED";
  error.message = "the emulator has no usable SELinux label to decide about: label it with chcon or restorecon";
  return error;
}

// Replaces the questions of one object and keeps the index of the one that chooses the domain right.
StartQuestion WithBootQuestions(const Gathered& gathered, size_t object, const std::vector<ObjectQuestion>& about) {
  StartQuestion question = gathered.question;
  const GatheredObject& replaced = gathered.objects[object];
  const auto first = question.objects.begin() + static_cast<std::ptrdiff_t>(replaced.first_question);
  const auto at = question.objects.erase(first, first + static_cast<std::ptrdiff_t>(replaced.question_count));
  question.objects.insert(at, about.begin(), about.end());
  question.boot_object = replaced.first_question;
  return question;
}

}  // namespace

StartQuestion WithBootChain(const Gathered& gathered, size_t object, const disk::ImageChain& chain) {
  std::vector<ObjectQuestion> about;
  for (const disk::ImageMember& member : chain.members) about.push_back(QuestionAbout(member, true));
  return WithBootQuestions(gathered, object, about);
}

StartQuestion WithBootImage(const Gathered& gathered, size_t object, const std::string& name,
                            const std::string& context, mode_t mode, bool read_only) {
  ObjectQuestion about;
  about.name = name;
  about.context = context;
  about.mode = mode;
  about.writable = !read_only;
  about.entrypoint = true;
  return WithBootQuestions(gathered, object, {about});
}

Result<PinnedEmulator> PinEmulator(const std::string& path, disk::Labels labels) {
  PinnedEmulator emulator;
  emulator.path = path;
  VMENTRY_TRY(emulator.fd, sys::OpenAt(AT_FDCWD, path, O_PATH));
  VMENTRY_TRY(emulator.status, sys::Fstat(emulator.fd.get(), path));
  // As execve(2) answers for a directory or a device.
  if (!S_ISREG(emulator.status.st_mode)) return Error::System("execveat", EACCES, path);
  VMENTRY_TRY(const struct statfs mount, sys::Fstatfs(emulator.fd.get(), path));
  emulator.nosuid = (static_cast<unsigned long>(mount.f_flags) & ST_NOSUID) != 0;
  Result<std::string> label = sys::SecurityLabel(emulator.fd.get(), path);
  if (label.ok()) {
    emulator.context = std::move(label).value();
    if (!disk::IsPlainLabel(emulator.context)) return Unlabeled(Error::System("fgetxattr", EINVAL, path));
  } else if (labels == disk::Labels::kRequired) {
    const int reason = label.error().errno_value;
    if (reason != ENODATA && reason != EOPNOTSUPP) return std::move(label).error();
    return Unlabeled(std::move(label).error());
  }
  return emulator;
}

Result<Gathered> Gather(const StartRequest& request) {
  Gathered gathered;
  VMENTRY_TRY(gathered.evaluate, MustEvaluate(request.selinux));
  gathered.labels = gathered.evaluate ? disk::Labels::kRequired : disk::Labels::kOptional;

  StartQuestion& question = gathered.question;
  question.rule = request.rule;
  question.action = request.action;
  question.client = request.client;
  question.launcher = request.launcher;
  if (gathered.evaluate && (question.client.empty() || question.launcher.empty())) {
    VMENTRY_TRY(const std::string self, selinux::ReadThreadAttribute(selinux::ThreadAttribute::kCurrent));
    if (question.client.empty()) question.client = self;
    if (question.launcher.empty()) question.launcher = self;
  }

  for (size_t i = 0; i < request.objects.size(); ++i) {
    const ObjectRequest& object = request.objects[i];
    const bool boot = i == request.boot_object;
    const bool entrypoint = boot || IsEntrypointRole(object.role);
    GatheredObject& result = gathered.objects.emplace_back();
    result.role = object.role;
    result.first_question = question.objects.size();
    // The top of the chain is its first member, and its label chooses the domain.
    if (boot) question.boot_object = result.first_question;
    if (!object.context.empty()) {
      ObjectQuestion& asked = question.objects.emplace_back();
      asked.name = object.path.empty() ? object.context : object.path;
      asked.context = object.context;
      asked.mode = object.mode;
      asked.writable = !object.read_only;
      asked.entrypoint = entrypoint;
      result.question_count = 1;
      continue;
    }
    VMENTRY_TRY(result.chain,
                disk::OpenChain({object.path, object.fd, object.format, object.read_only}, gathered.labels));
    for (const disk::ImageMember& member : result.chain.members) {
      question.objects.push_back(QuestionAbout(member, entrypoint));
    }
    result.question_count = result.chain.members.size();
  }

  if (!request.emulator_path.empty()) {
    VMENTRY_TRY(gathered.emulator, PinEmulator(request.emulator_path, gathered.labels));
    question.emulator.push_back({gathered.emulator.path, gathered.emulator.context, gathered.emulator.nosuid});
  } else if (!request.emulator_context.empty()) {
    question.emulator.push_back({request.emulator_context, request.emulator_context, false});
  }
  if (gathered.evaluate) {
    VMENTRY_TRY(const ThreadStatus status, ReadThreadStatus());
    question.no_new_privileges = status.no_new_privileges;
  }
  return gathered;
}

Result<Decision> Decide(const Gathered& gathered) {
  if (!gathered.evaluate) {
    Decision decision;
    decision.allowed = true;
    decision.evaluated = false;
    decision.enforcing = false;
    return decision;
  }
  VMENTRY_TRY(AccessCache* const cache, KernelAccessCache());
  return DecideStart(*cache, gathered.question);
}

}  // namespace vmentry::decision
