#include "launch/child.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <mutex>
#include <utility>

#include "core/fault_injection.h"
#include "core/mapped_memory.h"
#include "core/signals_blocked.h"
#include "core/system_calls.h"
#include "launch/child_status.h"
#include "launch/reaper.h"
#include "selinux/thread_attributes.h"

#ifndef F_SETSIG
#define F_SETSIG 10
#endif

namespace vmentry::launch {
namespace {

// The child's functions are not instrumented: a sanitizer's view of the stack is that of the thread
// that waits, and frames which an exec ends would stay marked.
#define VMENTRY_CHILD __attribute__((no_sanitize("address", "thread", "undefined")))

constexpr const char* kExecAttribute = "thread-self/attr/exec";
constexpr size_t kStackSize = 64 * 1024;
constexpr int kSignals = 64;

// All the child needs, made before the clone: it must not allocate, lock, or call anything that does.
struct Plan {
  const ChildSpec* spec;
  char* const* argv;
  char* const* envp;
  const DescriptorMapping* mappings;  // by ascending target
  size_t mapping_count;
  int* moved;  // room for one descriptor a mapping
  int highest_target;
  int procfs;
  struct open_how attribute_how;
  // Written by the child before it gives up; this thread reads it when clone(2) has returned.
  const char* failed_call = nullptr;
  int failed_errno = 0;
};

// CHILD. syscall(2) only: it touches nothing but errno, which is that of the thread that waits.
VMENTRY_CHILD long Raw(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
  return ::syscall(number, a, b, c, d, e, 0L);
}

template <typename T>
VMENTRY_CHILD long Arg(T* pointer) {
  return reinterpret_cast<long>(pointer);
}

[[noreturn]] VMENTRY_CHILD void GiveUp(Plan* plan, const char* call, int error) {
  plan->failed_call = call;
  plan->failed_errno = error;
  for (;;) Raw(SYS_exit_group, 127);
}

// CHILD. One step: `fault` is its name for the test build, `call` the one for messages.
VMENTRY_CHILD long Step(Plan* plan, const char* fault_name, const char* call, long number, long a = 0, long b = 0,
                        long c = 0, long d = 0, long e = 0) {
  if (const int injected = fault::Take(fault_name); injected != 0) GiveUp(plan, call, injected);
  long result;
  do {
    result = Raw(number, a, b, c, d, e);
  } while (result == -1 && errno == EINTR);
  if (result == -1) GiveUp(plan, call, errno);
  return result;
}

// CHILD. Handlers point into this process's code, and Node ignores SIGPIPE, which an exec would keep.
VMENTRY_CHILD void ResetSignals() {
  // Large enough for the kernel's struct sigaction of every architecture; zero is SIG_DFL.
  unsigned char action[64];
  for (size_t i = 0; i < sizeof action; ++i) static_cast<volatile unsigned char*>(action)[i] = 0;
  for (int signal = 1; signal <= kSignals; ++signal) {
    Raw(SYS_rt_sigaction, signal, Arg(action), 0, kSignals / CHAR_BIT);  // SIGKILL and SIGSTOP refuse
  }
}

// CHILD. Sources first move above the highest target, so that mappings may overlap or form cycles.
VMENTRY_CHILD int MapDescriptors(Plan* plan) {
  const int above = plan->highest_target + 1;
  for (size_t i = 0; i < plan->mapping_count; ++i) {
    plan->moved[i] = static_cast<int>(
        Step(plan, "child:fcntl", "fcntl", SYS_fcntl, plan->mappings[i].source, F_DUPFD_CLOEXEC, above));
  }
  const int executable =
      static_cast<int>(Step(plan, "child:fcntl", "fcntl", SYS_fcntl, plan->spec->executable, F_DUPFD_CLOEXEC, above));
  for (size_t i = 0; i < plan->mapping_count; ++i) {
    Step(plan, "child:dup3", "dup3", SYS_dup3, plan->moved[i], plan->mappings[i].target, 0);
  }
  // Everything else goes: what other code in this process left without close-on-exec, too.
  unsigned first = 0;
  for (size_t i = 0; i <= plan->mapping_count; ++i) {
    const unsigned keep = static_cast<unsigned>(i < plan->mapping_count ? plan->mappings[i].target : executable);
    if (first < keep) Step(plan, "child:close_range", "close_range", SYS_close_range, first, keep - 1, 0);
    first = keep + 1;
  }
  Step(plan, "child:close_range", "close_range", SYS_close_range, first, static_cast<long>(UINT_MAX), 0);
  return executable;
}

// CHILD. Has the kernel stop the new program before its first instruction.
//
// Two connected sockets, both close-on-exec, both with asynchronous notification by SIGSTOP to this
// process. The exec closes them; the first one to be released notifies the other's owner. Their
// release is deferred to the return to user space (fput), so the signal comes after SELinux has
// flushed pending signals, and stops the process before it runs.
VMENTRY_CHILD void ArmHold(Plan* plan) {
  int sockets[2];
  Step(plan, "child:hold", "socketpair", SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, Arg(sockets));
  const long self = Raw(SYS_getpid);
  for (int i = 0; i < 2; ++i) {
    Step(plan, "child:hold", "fcntl", SYS_fcntl, sockets[i], F_SETSIG, SIGSTOP);
    Step(plan, "child:hold", "fcntl", SYS_fcntl, sockets[i], F_SETOWN, self);
    Step(plan, "child:hold", "fcntl", SYS_fcntl, sockets[i], F_SETFL, O_RDWR | O_ASYNC);
  }
}

// CHILD. The context of the next exec, in one write: the kernel takes it whole or not at all. Never
// through libselinux, which remembers per thread what it wrote last; this is that thread's memory,
// and the next launch from it would skip its write and start a VM unlabelled.
VMENTRY_CHILD void WriteExecContext(Plan* plan) {
  const std::string& context = plan->spec->exec_context;
  const int file =
      static_cast<int>(Step(plan, "child:exec-context-open", "openat2 /proc/thread-self/attr/exec", SYS_openat2,
                            plan->procfs, Arg(kExecAttribute), Arg(&plan->attribute_how), sizeof plan->attribute_how));
  constexpr const char* kWrite = "write /proc/thread-self/attr/exec";
  const long written = Step(plan, "child:exec-context-write", kWrite, SYS_write, file, Arg(context.data()),
                            static_cast<long>(context.size()));
  if (written != static_cast<long>(context.size())) GiveUp(plan, kWrite, EIO);
  Raw(SYS_close, file);
}

VMENTRY_CHILD int ChildMain(void* data) {
  Plan* const plan = static_cast<Plan*>(data);
  const ChildSpec& spec = *plan->spec;

  ResetSignals();
  if (spec.tie[0] >= 0) {
    // As the first step: from here on the death of the launching process ends this one.
    const long self = Raw(SYS_getpid);
    for (const int socket : spec.tie) Step(plan, "child:tie", "fcntl", SYS_fcntl, socket, F_SETOWN, self);
  }
  if (spec.new_session) Step(plan, "child:setsid", "setsid", SYS_setsid);
  // "0" is the writer. Before any limit or identity takes the right to do it away.
  if (spec.cgroup_procs >= 0) {
    Step(plan, "child:cgroup", "write cgroup.procs", SYS_write, spec.cgroup_procs, Arg("0"), 1);
  }
  if (!spec.exec_context.empty()) WriteExecContext(plan);
  if (!spec.working_directory.empty()) {
    Step(plan, "child:chdir", "chdir", SYS_chdir, Arg(spec.working_directory.c_str()));
  }
  const int executable = MapDescriptors(plan);
  if (spec.hold) ArmHold(plan);
  // After the descriptors: a low RLIMIT_NOFILE forbids high numbers.
  for (const ResourceLimit& limit : spec.limits) {
    Step(plan, "child:prlimit", "prlimit", SYS_prlimit64, 0, limit.resource, Arg(&limit.value), 0);
  }
  // The raw calls change this task only; libc's would signal all threads of the process, whose list
  // this child shares. Groups first, while there is still the right to change them.
  if (spec.set_groups) {
    Step(plan, "child:setgroups", "setgroups", SYS_setgroups, static_cast<long>(spec.groups.size()),
         Arg(spec.groups.data()));
  }
  if (spec.set_gid) {
    Step(plan, "child:setresgid", "setresgid", SYS_setresgid, static_cast<long>(spec.gid), static_cast<long>(spec.gid),
         static_cast<long>(spec.gid));
  }
  if (spec.set_uid) {
    Step(plan, "child:setresuid", "setresuid", SYS_setresuid, static_cast<long>(spec.uid), static_cast<long>(spec.uid),
         static_cast<long>(spec.uid));
  }
  // Capabilities that this process has to hand on (ambient ones, of a manager that is not root) would stay with the
  // VM, through a change of the user and the exec alike.
  Step(plan, "child:ambient", "prctl", SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  uint64_t no_signals = 0;
  Step(plan, "child:sigmask", "rt_sigprocmask", SYS_rt_sigprocmask, SIG_SETMASK, Arg(&no_signals), 0,
       sizeof no_signals);
  Step(plan, "child:execveat", "execveat", SYS_execveat, executable, Arg(""), Arg(plan->argv), Arg(plan->envp),
       AT_EMPTY_PATH);
  return 127;
}

#ifdef __SANITIZE_THREAD__
// TSan's interceptor takes every clone(2) for a fork: it would mark "the child's" thread state, which is
// this thread's own, as one to be ignored from then on. The same function under its other name.
extern "C" int __clone(int (*function)(void*), void* stack, int flags, void* argument, ...);
constexpr auto CloneChild = &__clone;
#else
constexpr auto CloneChild = &::clone;
#endif

// A child that changes its uid or gid makes the memory it runs in undumpable, and that is this
// process's. Undone when the last such child has its own: with several at once, each would take the
// other's change for the state before, and a lock held so long would let one that hangs stop them all.
std::mutex g_dumpable_mutex;
int g_dumpable_children = 0;  // LOCKED(g_dumpable_mutex)
int g_dumpable_before = 0;    // LOCKED(g_dumpable_mutex)
class DumpableRestored {
 public:
  explicit DumpableRestored(bool credentials_change) : counted_(credentials_change) {
    if (!counted_) return;
    std::lock_guard lock(g_dumpable_mutex);
    if (g_dumpable_children++ == 0) g_dumpable_before = ::prctl(PR_GET_DUMPABLE);
  }
  ~DumpableRestored() {
    if (!counted_) return;
    std::lock_guard lock(g_dumpable_mutex);
    // 2 (suid_dumpable) cannot be set by anybody, and nothing here makes it less.
    if (--g_dumpable_children == 0 && g_dumpable_before == 1) ::prctl(PR_SET_DUMPABLE, 1);
  }
  DumpableRestored(const DumpableRestored&) = delete;
  DumpableRestored& operator=(const DumpableRestored&) = delete;

 private:
  const bool counted_;
};

Result<MappedMemory> MakeStack() {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t size = kStackSize + page;
  VMENTRY_TRY(MappedMemory stack, sys::MapStack(size));
  // Stacks grow down on every architecture that Node runs on: the guard is the lowest page.
  VMENTRY_CHECK(sys::Mprotect(stack.address(), page, PROT_NONE));
  return stack;
}

std::vector<char*> PointersTo(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

Error ChildFailed(const Plan& plan) {
  const bool context = std::strstr(plan.failed_call, kExecAttribute) != nullptr;
  Error error = Error::System(plan.failed_call, plan.failed_errno, plan.spec->executable_path);
  error.code = context ? "ERR_LAUNCH_CONTEXT" : "ERR_LAUNCH_EXEC";
  if (context) {
    error.message = "The context '" + plan.spec->exec_context + "' could not be set for the exec";
  } else if (std::strcmp(plan.failed_call, "execveat") == 0) {
    error.message = "The emulator could not be executed";
    if (plan.failed_errno == ENOENT)
      error.message += ": its ELF interpreter is missing, or it needs one that opens it by name";
  } else {
    error.message = "The emulator's process could not be set up";
  }
  return error;
}

}  // namespace

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)) {}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    Abandon();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
  }
  return *this;
}

Child::~Child() { Abandon(); }

// Does not wait: this may be the JS thread of an environment that goes away.
void Child::Abandon() {
  if (!pidfd_.valid()) return;
  (void)sys::PidfdSendSignal(pidfd_.get(), SIGKILL);
  Reaper::Adopt(std::move(pidfd_), Tie());
  pid_ = -1;
}

Result<Child::Change> Child::Peek() const { return sys::PeekPidfd(pidfd_.get()); }

Status Child::Continue() const {
  Status sent = sys::PidfdSendSignal(pidfd_.get(), SIGCONT);
  // Gone meanwhile, because somebody killed it: an exit like any other.
  if (!sent.ok() && sent.error().errno_value == ESRCH) return Ok();
  return sent;
}

Status Child::KillAndReap() {
  if (!pidfd_.valid()) return Ok();
  Status killed = sys::PidfdSendSignal(pidfd_.get(), SIGKILL);
  if (!killed.ok()) {
    // One that has ended already needs no signal.
    const Result<Change> change = Peek();
    if (change.ok() && change.value() == Change::kExited) killed = Ok();
  }
  // Waiting for a process that was not killed could take for ever.
  if (killed.ok() && sys::WaitPidfd(pidfd_.get(), true).ok()) {
    pidfd_.Reset();
  } else {
    Reaper::Adopt(std::move(pidfd_), Tie());
  }
  pid_ = -1;
  return killed;
}

UniqueFd Child::Release() {
  pid_ = -1;
  return std::move(pidfd_);
}

Result<Child> StartChild(const ChildSpec& spec) {
  std::vector<DescriptorMapping> mappings = spec.descriptors;
  std::sort(mappings.begin(), mappings.end(), [](const auto& a, const auto& b) { return a.target < b.target; });
  for (size_t i = 0; i < mappings.size(); ++i) {
    if (mappings[i].target < 0 || mappings[i].source < 0 || (i > 0 && mappings[i].target == mappings[i - 1].target)) {
      return Error::System("dup3", EINVAL, spec.executable_path);
    }
  }
  std::vector<int> moved(mappings.size());
  const std::vector<char*> arguments = PointersTo(spec.arguments);
  const std::vector<char*> environment = PointersTo(spec.environment);
  UniqueFd procfs;
  if (!spec.exec_context.empty()) {
    VMENTRY_TRY(procfs, OpenProcfs());
#ifdef VMENTRY_FAULTS
    const std::string directory = selinux::AttributeDirectoryForTesting();
    if (!directory.empty()) procfs.Reset(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
#endif
  }
  VMENTRY_TRY(const MappedMemory stack, MakeStack());

  Plan plan = {};
  plan.spec = &spec;
  plan.argv = arguments.data();
  plan.envp = environment.data();
  plan.mappings = mappings.data();
  plan.mapping_count = mappings.size();
  plan.moved = moved.data();
  plan.highest_target = mappings.empty() ? -1 : mappings.back().target;
  plan.procfs = procfs.get();
  plan.attribute_how.flags = O_WRONLY | O_CLOEXEC;
  plan.attribute_how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH;

  if (const int injected = fault::Take("clone"); injected != 0) return Error::System("clone", injected);
  int pidfd = -1;
  pid_t pid;
  {
    const DumpableRestored dumpable(spec.set_uid || spec.set_gid);
    // No handler of this process may run in the child, whose memory is this process's own.
    const AllSignalsBlocked blocked;
    pid = CloneChild(ChildMain, static_cast<char*>(stack.address()) + stack.size(),
                     CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &pidfd);
    if (pid < 0) return Error::System("clone", errno);
  }
  Child child(pid, UniqueFd(pidfd));
  if (plan.failed_call != nullptr) {
    // It has ended by itself.
    (void)child.KillAndReap().ok();
    return ChildFailed(plan);
  }
  return child;
}

}  // namespace vmentry::launch
