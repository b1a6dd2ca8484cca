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
#include <set>
#include <string>
#include <vector>

#include "core/fault_injection.h"
#include "core/system_calls.h"
#include "launch/child_status.h"
#include "launch/launch.h"
#include "selinux/state.h"

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

bool Unlabelled() { return !Labelled() && ::access("/sys/fs/selinux/enforce", F_OK) == 0; }

}  // namespace

TEST_CASE("a launch gives a running process, verified, with what it was given") {
  if (Unlabelled()) return;
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

TEST_CASE("given up by its caller, at every point where it looks") {
  if (Unlabelled()) return;
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

TEST_CASE("every call of a launch, made to fail: no process, no descriptor, and the next launch works") {
  if (Unlabelled()) return;
  fault::Clear();
  {
    Result<SpawnResult> result = Launch();
    REQUIRE(result.ok());
    CHECK(result.value().spawned->child.KillAndReap().ok());
  }
  const std::vector<fault::Seen> calls = fault::Calls();
  CHECK(Launch().ok());  // dropped: starts the reaper, which keeps a descriptor of its own
  while (!HasNoChild()) ::usleep(5000);
  ::usleep(50'000);
  const size_t before = OpenDescriptors();
  size_t failed = 0, survived = 0;
  for (const auto& [name, count] : calls) {
    for (unsigned call = 0; call < count; ++call) {
      CAPTURE(name);
      CAPTURE(call);
      fault::Clear();
      fault::Arm(name.c_str(), call, EDOM);
      {
        Result<SpawnResult> result = Launch();
        fault::Clear();  // what follows is not the launch
        // Without effect where a failure only means less: labels that are not asked about.
        if (result.ok()) CHECK(result.value().spawned->child.KillAndReap().ok());
        ++(result.ok() ? survived : failed);
      }
      fault::Clear();
      // The reaper closes after it has reaped.
      for (int i = 0; i < 400 && (!HasNoChild() || OpenDescriptors() != before); ++i) ::usleep(5000);
      REQUIRE(HasNoChild());
      REQUIRE(OpenDescriptors() == before);
    }
  }
  MESSAGE(failed << " failures, " << survived << " without effect, of " << calls.size() << " calls by name");
  CHECK(failed >= 40);
  CHECK(Launch().ok());
  while (!HasNoChild()) ::usleep(5000);
}

TEST_CASE("killed at every call of a launch, the launcher leaves no VM behind") {
  if (Unlabelled()) return;
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
}
