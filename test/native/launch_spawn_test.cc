// A whole launch, from the request to the running process: every call on its way made to fail, and its
// process killed at every one of them. On a host with SELinux it needs an image and an emulator with
// labels, from VMENTRY_LAUNCH_IMAGE and VMENTRY_LAUNCH_EMULATOR (a copy of sleep), and the client that
// may start them, from VMENTRY_LAUNCH_CLIENT: the lab runs it so, in the launcher's domain.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/fault_injection.h"
#include "core/system_calls.h"
#include "launch/child_status.h"
#include "launch/launch.h"
#include "selinux/state.h"
#include "skipping.h"

using namespace vmentry;
using namespace vmentry::launch;

namespace {

std::string ImagePath() {
  // Never destroyed: the handler below needs it last of all.
  static const std::string& path = *new std::string([] {
    char name[] = "/tmp/vm-entrypoint-launch-XXXXXX";
    const UniqueFd file(::mkstemp(name));
    REQUIRE(::ftruncate(file.get(), 4096) == 0);
    std::atexit([] { ::unlink(ImagePath().c_str()); });
    return std::string(name);
  }());
  return path;
}

bool Labelled() { return ::getenv("VMENTRY_LAUNCH_IMAGE") != nullptr; }

decision::StartRequest Request() {
  decision::StartRequest request;
  decision::ObjectRequest disk;
  disk.read_only = false;
  request.emulator_path = "/bin/sleep";
  request.selinux = decision::SelinuxMode::kOff;
  if (Labelled()) {
    disk.path = ::getenv("VMENTRY_LAUNCH_IMAGE");
    request.emulator_path = ::getenv("VMENTRY_LAUNCH_EMULATOR");
    request.client = ::getenv("VMENTRY_LAUNCH_CLIENT");
    request.selinux = decision::SelinuxMode::kRequire;
  } else {
    disk.path = ImagePath();
  }
  request.objects.push_back(disk);
  return request;
}

SpawnRequest How() {
  SpawnRequest how;
  how.arguments = {"sleep", "60"};
  how.working_directory = "/";
  how.detached = true;
  how.image_targets = {{10}};
  how.limits = {{RLIMIT_CORE, {0, 0}}};
  for (const StdioEntry::Kind kind : {StdioEntry::Kind::kIgnore, StdioEntry::Kind::kSocket, StdioEntry::Kind::kFd}) {
    StdioEntry& entry = how.stdio.emplace_back();
    entry.target = static_cast<int>(how.stdio.size()) - 1;
    entry.kind = kind;
    if (kind == StdioEntry::Kind::kFd) entry.source = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  }
  return how;
}

Result<SpawnResult> Launch() {
  VMENTRY_TRY(PreparedLaunch prepared, Prepare(Request()));
  return Spawn(std::move(prepared), How(), [] { return false; });
}

size_t OpenDescriptors() {
  Result<UniqueFd> procfs = OpenProcfs();
  return ListDescriptors(procfs.value().get(), ::getpid()).value().size();
}

bool HasNoChild() { return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD; }

doctest::skip WithoutLabels() {
  return skipping::Where(!Labelled() && skipping::SelinuxHost(),
                         "a host with SELinux, and VMENTRY_LAUNCH_IMAGE is not set");
}

// What the kernel says of a process; nothing where it has no SELinux.
std::string ContextOf(pid_t pid) {
  const UniqueFd file(::open(("/proc/" + std::to_string(pid) + "/attr/current").c_str(), O_RDONLY | O_CLOEXEC));
  char context[4096];
  const ssize_t size = ::read(file.get(), context, sizeof context);
  if (size <= 0) return {};
  return std::string(context, ::strnlen(context, static_cast<size_t>(size)));
}

// A failure of these means less, and never a VM in another context. With SELinux: clearing the thread's attribute is
// tried again through a fresh descriptor, and emptying the cache of classes cannot fail. Without: labels are not asked
// about, and the program is not held where the kernel might not let it go on.
std::set<std::string> Harmless() {
  if (Labelled()) return {"pread", "pwrite", "selinux_flush_class_cache"};
  return {"fgetxattr", "getxattr", "is_selinux_enabled"};
}

std::string Joined(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " ") + name;
  return text;
}

unsigned TimesCalled(const std::string& name) {
  for (const fault::Seen& seen : fault::Calls()) {
    if (seen.name == name) return seen.count;
  }
  return 0;
}

// How the error of a launch calls the call that fault injection knows by `name`.
bool IsReportedAs(const std::string& name, const std::string& syscall) {
  static const std::map<std::string, std::set<std::string>> others = {
      {"reopen", {"openat"}},
      {"getxattr", {"fgetxattr"}},
      {"child:tie", {"fcntl"}},
      {"child:hold", {"socketpair", "fcntl"}},
      {"child:ambient", {"prctl"}},
      {"child:cgroup", {"write cgroup.procs"}},
      {"child:sigmask", {"rt_sigprocmask"}},
      {"child:exec-context-open", {"openat2 /proc/thread-self/attr/exec"}},
      {"child:exec-context-write", {"write /proc/thread-self/attr/exec"}},
  };
  const auto found = others.find(name);
  if (found != others.end()) return found->second.contains(syscall);
  constexpr std::string_view kChild = "child:";
  return syscall == (name.starts_with(kChild) ? name.substr(kChild.size()) : name);
}

}  // namespace

TEST_CASE("a launch gives a running process, verified, with what it was given" * WithoutLabels()) {
  const size_t before = OpenDescriptors();
  {
    Result<SpawnResult> result = Launch();
    REQUIRE(result.ok());
    REQUIRE(result.value().spawned);
    Spawned& spawned = *result.value().spawned;
    CHECK(result.value().decision.allowed);
    CHECK(result.value().decision.evaluated == Labelled());
    CHECK(spawned.context.empty() != Labelled());
    CHECK(spawned.child.Peek().value() == Child::Change::kNone);
    CHECK(!spawned.sockets[0].valid());
    CHECK(spawned.sockets[1].valid());
    const UniqueFd procfs = OpenProcfs().value();
    // The program runs by now, and has opened nothing by itself that stays open.
    ::usleep(50'000);
    CHECK(ListDescriptors(procfs.get(), spawned.child.pid()).value() == std::vector<int>{0, 1, 2, 10});
    CHECK(ReadProcessStatus(procfs.get(), spawned.child.pid()).value().state != 'T');
    CHECK(spawned.child.KillAndReap().ok());
  }
  CHECK(HasNoChild());
  CHECK(OpenDescriptors() == before);
}

TEST_CASE("given up by its caller, at every point where it looks" * WithoutLabels()) {
  const size_t before = OpenDescriptors();
  for (int at = 0; at < 3; ++at) {
    int looked = 0;
    Result<PreparedLaunch> prepared = Prepare(Request());
    REQUIRE(prepared.ok());
    const Result<SpawnResult> result = Spawn(std::move(prepared).value(), How(), [&] { return looked++ == at; });
    REQUIRE(!result.ok());
    CHECK(result.error().code == "ERR_LAUNCH_CANCELLED");
    CHECK(looked == at + 1);
  }
  CHECK(HasNoChild());
  CHECK(OpenDescriptors() == before);
}

TEST_CASE("every call of a launch, made to fail: the right error, no process, no descriptor, and the next one works" *
          WithoutLabels()) {
  fault::Clear();
  std::vector<fault::Seen> calls;
  std::string context;
  {
    Result<SpawnResult> result = Launch();
    calls = fault::Calls();
    REQUIRE(result.ok());
    context = result.value().spawned->context;
    CHECK(ContextOf(result.value().spawned->child.pid()) == context);
    CHECK(result.value().spawned->child.KillAndReap().ok());
  }
  CHECK(Launch().ok());  // dropped: starts the reaper, which keeps a descriptor of its own
  while (!HasNoChild()) ::usleep(5000);
  ::usleep(50'000);
  const size_t before = OpenDescriptors();
  std::set<std::string> survived;
  size_t failed = 0;
  for (const auto& [name, count] : calls) {
    for (unsigned call = 0; call < count; ++call) {
      CAPTURE(name);
      CAPTURE(call);
      fault::Clear();
      fault::Arm(name.c_str(), call, EDOM);
      {
        Result<SpawnResult> result = Launch();
        // It polls, so the number of calls is not the same every time.
        const bool reached = TimesCalled(name) > call;
        fault::Clear();  // what follows is not the launch
        if (result.ok()) {
          if (reached) survived.insert(name);
          REQUIRE(result.value().spawned);
          CHECK(result.value().spawned->context == context);
          CHECK(ContextOf(result.value().spawned->child.pid()) == context);
          CHECK(result.value().spawned->child.KillAndReap().ok());
        } else {
          ++failed;
          const Error& error = result.error();
          CHECK(error.errno_value == EDOM);
          CHECK_MESSAGE(IsReportedAs(name, error.syscall), error.syscall);
          const bool in_child = name.starts_with("child:");
          CHECK(error.code == (!in_child                            ? ""
                               : name.starts_with("child:exec-con") ? "ERR_LAUNCH_CONTEXT"
                                                                    : "ERR_LAUNCH_EXEC"));
        }
      }
      // The reaper closes after it has reaped.
      for (int i = 0; i < 400 && (!HasNoChild() || OpenDescriptors() != before); ++i) ::usleep(5000);
      REQUIRE(HasNoChild());
      REQUIRE(OpenDescriptors() == before);
    }
  }
  MESSAGE(failed << " failures of " << calls.size() << " calls by name");
  // As text, so that a failure says which.
  CHECK(Joined(survived) == Joined(Harmless()));
  CHECK(failed >= 40);
  CHECK(Launch().ok());
  while (!HasNoChild()) ::usleep(5000);
}

TEST_CASE("killed at every call of a launch, the launcher leaves no VM behind, and nothing that stops the next start" *
          WithoutLabels()) {
  fault::Clear();
  {
    Result<SpawnResult> result = Launch();
    REQUIRE(result.ok());
    CHECK(result.value().spawned->child.KillAndReap().ok());
  }
  const std::vector<fault::Seen> calls = fault::Calls();
  // What it leaves comes to this process.
  REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  size_t killed = 0;
  std::set<std::string> names;
  for (const auto& [name, count] : calls) {
    for (unsigned call = 0; call < count; ++call) {
      CAPTURE(name);
      CAPTURE(call);
      const pid_t launcher = ::fork();
      if (launcher == 0) {
        fault::Clear();
        fault::Arm(name.c_str(), call, fault::kKillProcess);
        const Result<SpawnResult> result = Launch();
        ::_exit(result.ok() ? 3 : 4);  // not reached where the call was made
      }
      int status = 0;
      REQUIRE(::waitpid(launcher, &status, 0) == launcher);
      // It polls, so the number of calls is not the same every time.
      if (WIFSIGNALED(status)) {
        CHECK(WTERMSIG(status) == SIGKILL);
        ++killed;
        names.insert(name);
      }
      // The child of its last moments dies by the tie; nothing waits for anybody.
      bool gone = false;
      for (int i = 0; i < 400 && !gone; ++i) {
        const pid_t orphan = ::waitpid(-1, &status, WNOHANG);
        gone = orphan == -1 && errno == ECHILD;
        if (orphan > 0) {
          const bool by_tie = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
          CHECK_MESSAGE(by_tie, status);
        } else if (!gone) {
          ::usleep(5000);
        }
      }
      REQUIRE(gone);
    }
  }
  MESSAGE(killed << " deaths");
  CHECK(killed >= 40);
  CHECK(names.count("child:execveat") == 1);
  CHECK(names.count("child:tie") == 1);
  CHECK(names.count("pidfd_send_signal") == 1);
  CHECK(names.count("child:hold") == 1);
  CHECK(names.count("child:exec-context-write") == (Labelled() ? 1 : 0));

  fault::Clear();
  const size_t before = OpenDescriptors();
  {
    Result<SpawnResult> next = Launch();
    REQUIRE(next.ok());
    CHECK(ContextOf(next.value().spawned->child.pid()) == next.value().spawned->context);
    CHECK(next.value().spawned->child.KillAndReap().ok());
  }
  CHECK(HasNoChild());
  CHECK(OpenDescriptors() == before);
}
