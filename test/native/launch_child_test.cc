// The child: what it is given, what it is not, and what is left when any of its steps fails.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "core/fault_injection.h"
#include "core/system_calls.h"
#include "launch/child.h"
#include "launch/child_status.h"
#include "launch/descriptors.h"
#include "launch/tie.h"
#include "skipping.h"

using namespace vmentry;
using namespace vmentry::launch;

namespace {

std::string ProgramDirectory() {
  char path[4096];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  const std::string self(path, static_cast<size_t>(size));
  return self.substr(0, self.rfind('/'));
}

UniqueFd OpenProgram(const std::string& path) { return UniqueFd(::open(path.c_str(), O_PATH | O_CLOEXEC)); }

sys::FdPair Pipe() {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

size_t OpenDescriptors() {
  Result<UniqueFd> procfs = OpenProcfs();
  Result<std::vector<int>> all = ListDescriptors(procfs.value().get(), ::getpid());
  return all.value().size();
}

bool HasNoChild() { return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD; }

// What probe_child wrote: key → all values, in order.
using Report = std::map<std::string, std::vector<std::string>>;
Report ParseReport(const std::string& text) {
  Report report;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find(' ');
    report[line.substr(0, space)].push_back(space == std::string::npos ? "" : line.substr(space + 1));
  }
  return report;
}

struct Run {
  Report report;
  sys::ExitState exit;
};

// Starts probe_child with its stdout on a pipe and waits for it.
Run RunProbe(ChildSpec spec, bool hold = false) {
  const UniqueFd program = OpenProgram(ProgramDirectory() + "/probe_child");
  REQUIRE(program.valid());
  sys::FdPair out = Pipe();
  spec.executable = program.get();
  spec.executable_path = "probe_child";
  if (spec.arguments.empty()) spec.arguments = {"probe_child"};
  spec.descriptors.push_back({out.second.get(), 1});
  spec.hold = hold;
  Result<Child> child = StartChild(spec);
  if (!child.ok()) FAIL(child.error().syscall << " " << child.error().errno_value);
  out.second.Reset();
  if (hold) {
    while (child.value().Peek().value() == Child::Change::kNone) ::usleep(100);
    REQUIRE(child.value().Peek().value() == Child::Change::kStopped);
    REQUIRE(child.value().Continue().ok());
  }
  std::string text;
  char chunk[4096];
  for (ssize_t got; (got = ::read(out.first.get(), chunk, sizeof chunk)) > 0;)
    text.append(chunk, static_cast<size_t>(got));
  const UniqueFd pidfd = child.value().Release();
  Run run;
  run.exit = sys::WaitPidfd(pidfd.get(), true).value();
  run.report = ParseReport(text);
  REQUIRE(run.report.count("end") == 1);
  return run;
}

std::string IdentityOf(int fd) {
  struct stat status = {};
  REQUIRE(::fstat(fd, &status) == 0);
  return std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
}

// Descriptor number → device:inode, as the child saw it.
std::map<int, std::string> DescriptorsOf(const Report& report) {
  std::map<int, std::string> found;
  const auto all = report.find("fd");
  if (all == report.end()) return found;
  for (const std::string& line : all->second) {
    std::istringstream words(line);
    int fd;
    std::string identity;
    words >> fd >> identity;
    found[fd] = identity;
  }
  return found;
}

UniqueFd NewFile() { return UniqueFd(::memfd_create("file", MFD_CLOEXEC)); }

}  // namespace

TEST_CASE("arguments, environment and exit code arrive") {
  ChildSpec spec;
  spec.arguments = {"a b", "", "exit", "7"};
  spec.environment = {"A=1", "B=x=y"};
  const Run run = RunProbe(spec);
  CHECK(run.report.at("arg") == std::vector<std::string>{"a b", "", "exit", "7"});
  CHECK(run.report.at("env") == std::vector<std::string>{"A=1", "B=x=y"});
  CHECK(run.exit.exit_code == 7);
  CHECK(HasNoChild());
}

TEST_CASE("any map of descriptors arrives as it was asked for, and nothing else does") {
  std::mt19937 random(20260714);
  // Left open without close-on-exec, as other code in the process may do.
  const UniqueFd leaked(::open("/dev/null", O_RDONLY));
  const UniqueFd far(::fcntl(leaked.get(), F_DUPFD, 900));
  for (int round = 0; round < 60; ++round) {
    std::vector<UniqueFd> files;
    // Sources and targets from the same few numbers, so that they overlap and form cycles.
    for (int i = 0; i < 6; ++i) files.push_back(NewFile());
    std::vector<int> targets;
    for (int i = 2; i < 40; ++i) targets.push_back(i);
    std::shuffle(targets.begin(), targets.end(), random);
    ChildSpec spec;
    std::map<int, std::string> expected;
    for (size_t i = 0; i < files.size(); ++i) {
      // Some sources are given twice.
      const int source = files[random() % 5 == 0 ? 0 : i].get();
      const int target = random() % 3 == 0 ? files[(i + 1) % files.size()].get() : targets[i];
      if (target == 1 || expected.count(target) > 0) continue;
      spec.descriptors.push_back({source, target});
      expected[target] = IdentityOf(source);
    }
    std::map<int, std::string> found = DescriptorsOf(RunProbe(spec).report);
    REQUIRE(found.erase(1) == 1);
    REQUIRE(found == expected);
  }
}

TEST_CASE("an impossible map is refused before anything is started") {
  const UniqueFd file = NewFile();
  for (const std::vector<DescriptorMapping>& bad :
       {std::vector<DescriptorMapping>{{file.get(), 3}, {file.get(), 3}}, {{-1, 3}}, {{file.get(), -1}}}) {
    ChildSpec spec;
    spec.descriptors = bad;
    CHECK(StartChild(spec).error().errno_value == EINVAL);
  }
  ChildSpec spec;
  spec.executable = file.get();
  spec.arguments = {"x"};
  spec.descriptors = {{4000, 3}};
  const Result<Child> refused = StartChild(spec);
  CHECK(refused.error().errno_value == EBADF);
  CHECK(HasNoChild());
}

TEST_CASE("no signal is blocked, ignored or handled in the child") {
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGUSR1, [](int) {});
  sigset_t some, previous;
  sigemptyset(&some);
  sigaddset(&some, SIGTERM);
  sigaddset(&some, SIGRTMAX);
  pthread_sigmask(SIG_BLOCK, &some, &previous);
  const Run run = RunProbe({});
  CHECK(run.report.count("blocked") == 0);
  CHECK(run.report.count("ignored") == 0);
  // And this thread has its own back.
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, &previous, &now);
  CHECK(sigismember(&now, SIGTERM) == 1);
  CHECK(sigismember(&now, SIGUSR2) == 0);
  ::signal(SIGPIPE, SIG_DFL);
  ::signal(SIGUSR1, SIG_DFL);
}

TEST_CASE("session, directory and limits") {
  ChildSpec spec;
  spec.new_session = true;
  spec.working_directory = "/usr/lib";
  spec.limits = {{RLIMIT_NOFILE, {17, 18}}, {RLIMIT_CORE, {0, 0}}};
  const Run run = RunProbe(spec);
  CHECK(run.report.at("sid") == run.report.at("pid"));
  CHECK(run.report.at("cwd").front() == "/usr/lib");
  const std::vector<std::string>& limits = run.report.at("limit");
  CHECK(std::count(limits.begin(), limits.end(), std::to_string(RLIMIT_NOFILE) + " 17 18") == 1);
  CHECK(std::count(limits.begin(), limits.end(), std::to_string(RLIMIT_CORE) + " 0 0") == 1);

  const Run same = RunProbe({});
  CHECK(same.report.at("sid").front() == std::to_string(::getsid(0)));
}

TEST_CASE("a limit below the numbers of the descriptors does not stop them from being mapped") {
  ChildSpec spec;
  const UniqueFd file = NewFile();
  spec.descriptors = {{file.get(), 500}};
  spec.limits = {{RLIMIT_NOFILE, {10, 10}}};
  CHECK(DescriptorsOf(RunProbe(spec).report).count(500) == 1);
}

TEST_CASE("user, group and groups change in the child only, and this process stays dumpable" *
          skipping::Where(::geteuid() != 0, "only root may change them")) {
  REQUIRE(::prctl(PR_GET_DUMPABLE) == 1);
  // Readable by the other user, which the build directory need not be.
  ChildSpec spec;
  spec.set_uid = spec.set_gid = spec.set_groups = true;
  spec.uid = 12345;
  spec.gid = 23456;
  spec.groups = {34567, 34568};
  const Run run = RunProbe(spec);
  CHECK(run.report.at("uid").front() == "12345 12345 12345");
  CHECK(run.report.at("gid").front() == "23456 23456 23456");
  CHECK(run.report.at("groups").front() == "34567 34568");
  CHECK(::geteuid() == 0);
  CHECK(::getegid() == 0);
  CHECK(::prctl(PR_GET_DUMPABLE) == 1);
}

TEST_CASE("a held program has not run, and then runs") {
  for (int round = 0; round < 50; ++round) {
    sys::FdPair out = Pipe();
    const UniqueFd program = OpenProgram(ProgramDirectory() + "/probe_child");
    ChildSpec spec;
    spec.executable = program.get();
    spec.arguments = {"probe"};
    spec.descriptors = {{out.second.get(), 1}};
    spec.hold = true;
    Result<Child> child = StartChild(spec);
    REQUIRE(child.ok());
    while (child.value().Peek().value() == Child::Change::kNone) ::usleep(50);
    REQUIRE(child.value().Peek().value() == Child::Change::kStopped);
    // It is the new program already, with just the descriptors it was given.
    const UniqueFd procfs = OpenProcfs().value();
    const ProcessStatus status = ReadProcessStatus(procfs.get(), child.value().pid()).value();
    CHECK(status.executed);
    CHECK(status.state == 'T');
    CHECK(ListDescriptors(procfs.get(), child.value().pid()).value() == std::vector<int>{1});
    CHECK(VerifyDescriptors(procfs.get(), child.value().pid(), spec.descriptors, true).ok());
    out.second.Reset();
    CHECK(::fcntl(out.first.get(), F_SETFL, O_NONBLOCK) == 0);
    char byte;
    CHECK(::read(out.first.get(), &byte, 1) == -1);
    REQUIRE(child.value().Continue().ok());
    CHECK(::fcntl(out.first.get(), F_SETFL, 0) == 0);
    CHECK(::read(out.first.get(), &byte, 1) == 1);
    CHECK(child.value().KillAndReap().ok());
    REQUIRE(HasNoChild());
  }
}

TEST_CASE("descriptors that are not the given ones are found out") {
  const UniqueFd program = OpenProgram(ProgramDirectory() + "/probe_child");
  const UniqueFd one = NewFile(), other = NewFile();
  ChildSpec spec;
  spec.executable = program.get();
  spec.arguments = {"probe", "stay"};
  spec.descriptors = {{one.get(), 3}, {other.get(), 4}};
  spec.hold = true;
  Result<Child> child = StartChild(spec);
  REQUIRE(child.ok());
  while (child.value().Peek().value() == Child::Change::kNone) ::usleep(50);
  const UniqueFd procfs = OpenProcfs().value();
  const pid_t pid = child.value().pid();
  CHECK(VerifyDescriptors(procfs.get(), pid, spec.descriptors, true).ok());
  for (const std::vector<DescriptorMapping>& wrong : {std::vector<DescriptorMapping>{{one.get(), 3}, {one.get(), 4}},
                                                      {{one.get(), 3}},
                                                      {{one.get(), 3}, {other.get(), 4}, {other.get(), 5}}}) {
    CHECK(VerifyDescriptors(procfs.get(), pid, wrong, true).error().code == "ERR_LAUNCH_DESCRIPTORS");
    // Once it runs it may do with them what it likes, and only the kernel's replacement is wrong.
    CHECK(VerifyDescriptors(procfs.get(), pid, wrong, false).ok());
  }
}

TEST_CASE("a child that nobody takes over is killed") {
  const UniqueFd program = OpenProgram(ProgramDirectory() + "/probe_child");
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  pid_t pid;
  {
    ChildSpec spec;
    spec.executable = program.get();
    spec.arguments = {"probe", "stay"};
    spec.descriptors = {{null.get(), 1}};
    Result<Child> child = StartChild(spec);
    REQUIRE(child.ok());
    pid = child.value().pid();
    CHECK(::kill(pid, 0) == 0);
  }
  for (int i = 0; i < 500 && !HasNoChild(); ++i) ::usleep(10'000);
  CHECK(HasNoChild());
  CHECK(::kill(pid, 0) == -1);
}

TEST_CASE("a script, a directory and a missing interpreter are errors of the exec") {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const auto& [path, error] : std::map<std::string, int>{{"/etc/passwd", EACCES}, {"/usr", EACCES}}) {
    const UniqueFd program = OpenProgram(path);
    ChildSpec spec;
    spec.executable = program.get();
    spec.executable_path = path;
    spec.arguments = {path};
    spec.descriptors = {{null.get(), 0}};
    const Result<Child> refused = StartChild(spec);
    REQUIRE(!refused.ok());
    CHECK(refused.error().code == "ERR_LAUNCH_EXEC");
    CHECK(refused.error().syscall == "execveat");
    CHECK(refused.error().errno_value == error);
    CHECK(refused.error().path == path);
  }
  CHECK(HasNoChild());
}

TEST_CASE("without SELinux a context cannot be set, and then nothing is started" *
          skipping::Where(skipping::SelinuxHost(), "a host with SELinux")) {
  const UniqueFd program = OpenProgram("/bin/true");
  ChildSpec spec;
  spec.executable = program.get();
  spec.arguments = {"true"};
  spec.exec_context = "system_u:system_r:vm_t:s0";
  const Result<Child> refused = StartChild(spec);
  REQUIRE(!refused.ok());
  CHECK(refused.error().code == "ERR_LAUNCH_CONTEXT");
  CHECK(HasNoChild());
}

// In the lab launch_spawn_test does it.
TEST_CASE("every step of the child, made to fail, is reported, and leaves no process and no descriptor" *
          skipping::Where(skipping::SelinuxHost(), "a host with SELinux")) {
  const UniqueFd program = OpenProgram("/bin/true");
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd procs = NewFile();  // takes the write that a cgroup takes
  ChildSpec spec;
  spec.executable = program.get();
  spec.arguments = {"true"};
  spec.descriptors = {{null.get(), 0}, {null.get(), 1}, {null.get(), 7}};
  spec.new_session = true;
  spec.working_directory = "/";
  spec.limits = {{RLIMIT_CORE, {0, 0}}};
  spec.cgroup_procs = procs.get();
  spec.set_groups = spec.set_gid = spec.set_uid = ::geteuid() == 0;
  spec.hold = true;

  Tie tie = Tie::Make().value();
  spec.tie[0] = tie.first();
  spec.tie[1] = tie.second();
  fault::Clear();
  {
    Result<Child> child = StartChild(spec);
    REQUIRE(child.ok());
    CHECK(child.value().KillAndReap().ok());
  }
  const std::vector<fault::Seen> steps = fault::Calls();
  std::set<std::string> names;
  const size_t before = OpenDescriptors();
  size_t failures = 0;
  for (const auto& [name, count] : steps) {
    names.insert(name);
    const bool in_child = name.starts_with("child:");
    if (!in_child && name != "clone" && name != "mmap" && name != "mprotect") continue;
    for (unsigned call = 0; call < count; ++call) {
      fault::Clear();
      fault::Arm(name.c_str(), call, EDOM);
      const Result<Child> child = StartChild(spec);
      REQUIRE_MESSAGE(!child.ok(), name);
      CHECK(child.error().errno_value == EDOM);
      if (in_child) CHECK(child.error().code == "ERR_LAUNCH_EXEC");
      REQUIRE(HasNoChild());
      REQUIRE(OpenDescriptors() == before);
      ++failures;
    }
  }
  fault::Clear();
  CHECK(failures >= 20);
  for (const char* expected : {"child:tie", "child:setsid", "child:cgroup", "child:chdir", "child:fcntl", "child:dup3",
                               "child:close_range", "child:hold", "child:prlimit", "child:sigmask", "child:execveat"}) {
    CHECK_MESSAGE(names.count(expected) == 1, expected);
  }
}

TEST_CASE("what a step of the child failed with names the system call") {
  const UniqueFd program = OpenProgram("/bin/true");
  ChildSpec spec;
  spec.executable = program.get();
  spec.executable_path = "/bin/true";
  spec.arguments = {"true"};
  spec.working_directory = "/nonexistent";
  const Result<Child> refused = StartChild(spec);
  CHECK(refused.error().syscall == "chdir");
  CHECK(refused.error().errno_value == ENOENT);
  CHECK(refused.error().code == "ERR_LAUNCH_EXEC");
}

TEST_CASE("many threads start children at once, each with its own descriptors") {
  const UniqueFd program = OpenProgram(ProgramDirectory() + "/probe_child");
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) {
        sys::FdPair out = Pipe();
        const UniqueFd file = NewFile();
        ChildSpec spec;
        spec.executable = program.get();
        spec.arguments = {"probe"};
        spec.descriptors = {{out.second.get(), 1}, {file.get(), 3}};
        Result<Child> child = StartChild(spec);
        if (!child.ok()) continue;
        out.second.Reset();
        std::string text;
        char chunk[4096];
        for (ssize_t got; (got = ::read(out.first.get(), chunk, sizeof chunk)) > 0;) {
          text.append(chunk, static_cast<size_t>(got));
        }
        const UniqueFd pidfd = child.value().Release();
        const bool ended = sys::WaitPidfd(pidfd.get(), true).value().exit_code == 0;
        struct stat status = {};
        ::fstat(file.get(), &status);
        const auto found = DescriptorsOf(ParseReport(text));
        const auto at = found.find(3);
        if (ended && found.size() == 2 && at != found.end() &&
            at->second == std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino)) {
          ++right;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 100);
  CHECK(HasNoChild());
}
