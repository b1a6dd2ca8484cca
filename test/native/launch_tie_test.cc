// The tie: whatever this process dies of, and whenever, the VM ends with it; and untied it does not.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include "core/fault_injection.h"
#include "core/system_calls.h"
#include "launch/child.h"
#include "launch/reaper.h"
#include "launch/tie.h"

using namespace vmentry;
using namespace vmentry::launch;

namespace {

// Runs `manager` in a process of its own, which starts a VM with `start` and then dies by `die`.
// Returns whether the VM was still alive a while after.
enum class Fate { kAlive, kGone, kNeverStarted };
Fate FateOfVm(const std::function<void(int report)>& manager) {
  // Orphans come to this process, so that it can see them end.
  REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  int report[2];
  REQUIRE(::pipe2(report, O_CLOEXEC) == 0);
  const pid_t manager_pid = ::fork();
  if (manager_pid == 0) {
    ::close(report[0]);
    for (const int signal : {SIGTERM, SIGABRT}) ::signal(signal, SIG_DFL);  // doctest's handlers
    manager(report[1]);
    ::_exit(99);
  }
  ::close(report[1]);
  pid_t vm = 0;
  const ssize_t got = ::read(report[0], &vm, sizeof vm);
  ::close(report[0]);
  int status;
  ::waitpid(manager_pid, &status, 0);
  if (got != sizeof vm) return Fate::kNeverStarted;
  for (int i = 0; i < 40; ++i) {
    if (::waitpid(vm, &status, WNOHANG) == vm) {
      CHECK(WIFSIGNALED(status));
      CHECK(WTERMSIG(status) == SIGKILL);
      return Fate::kGone;
    }
    ::usleep(10'000);
  }
  ::kill(vm, SIGKILL);
  ::waitpid(vm, &status, 0);
  return Fate::kAlive;
}

Result<Child> StartSleeper(const Tie* tie) {
  const UniqueFd program(::open("/bin/sleep", O_PATH | O_CLOEXEC));
  ChildSpec spec;
  spec.executable = program.get();
  spec.arguments = {"sleep", "60"};
  if (tie != nullptr) {
    spec.tie[0] = tie->first();
    spec.tie[1] = tie->second();
  }
  return StartChild(spec);
}

void Report(int report, pid_t pid) { CHECK(::write(report, &pid, sizeof pid) == sizeof pid); }

}  // namespace

TEST_CASE("a tied VM dies with its manager") {
  for (const int death : {SIGKILL, SIGTERM, SIGABRT, 0}) {
    CAPTURE(death);
    CHECK(FateOfVm([&](int report) {
            Tie tie = Tie::Make().value();
            Child child = StartSleeper(&tie).value();
            Report(report, child.pid());
            (void)child.Release().Release();
            if (death == 0) ::_exit(0);
            ::raise(death);
          }) == Fate::kGone);
  }
}

TEST_CASE("a VM lives on when it was never tied, or was untied") {
  CHECK(FateOfVm([](int report) {
          Child child = StartSleeper(nullptr).value();
          Report(report, child.pid());
          (void)child.Release().Release();
          ::raise(SIGKILL);
        }) == Fate::kAlive);
  CHECK(FateOfVm([](int report) {
          Tie tie = Tie::Make().value();
          Child child = StartSleeper(&tie).value();
          CHECK(tie.Disarm().ok());
          Report(report, child.pid());
          (void)child.Release().Release();
          ::raise(SIGKILL);
        }) == Fate::kAlive);
}

TEST_CASE("other children of the manager do not keep the tie from working") {
  CHECK(FateOfVm([](int report) {
          Tie tie = Tie::Make().value();
          Child child = StartSleeper(&tie).value();
          Child bystander = StartSleeper(nullptr).value();
          const pid_t forked = ::fork();
          if (forked == 0) ::execl("/bin/sleep", "sleep", "2", static_cast<char*>(nullptr));
          ::usleep(50'000);
          Report(report, child.pid());
          (void)child.Release().Release();
          ::raise(SIGKILL);
        }) == Fate::kGone);
}

TEST_CASE("a reaper that was refused something takes it up again with the next process") {
  for (const char* call : {"epoll_create1", "epoll_ctl", "epoll_wait"}) {
    CAPTURE(call);
    Child first = StartSleeper(nullptr).value(), second = StartSleeper(nullptr).value();
    const pid_t pids[] = {first.pid(), second.pid()};
    fault::Clear();
    fault::Arm(call, 0, ENOMEM);
    Reaper::Adopt(first.Release(), Tie());
    Reaper::Adopt(second.Release(), Tie());
    for (const pid_t pid : pids) ::kill(pid, SIGKILL);
    for (const pid_t pid : pids) {
      for (int i = 0; i < 200 && ::kill(pid, 0) == 0; ++i) ::usleep(10'000);
      CHECK(::kill(pid, 0) == -1);
    }
    fault::Clear();
  }
}

TEST_CASE("the reaper takes processes over, and kills none of them by that") {
  std::vector<pid_t> pids;
  for (int i = 0; i < 5; ++i) {
    Child child = StartSleeper(nullptr).value();
    pids.push_back(child.pid());
    Reaper::Adopt(child.Release(), Tie());
  }
  ::usleep(50'000);
  for (const pid_t pid : pids) CHECK(::kill(pid, 0) == 0);
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  for (const pid_t pid : pids) {
    for (int i = 0; i < 200 && ::kill(pid, 0) == 0; ++i) ::usleep(10'000);
    CHECK(::kill(pid, 0) == -1);  // no zombie either
  }
}
