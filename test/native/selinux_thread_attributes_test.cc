// The thread's attributes: set and cleared on every way, and what happens when the kernel says no.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <sched.h>
#include <sys/mount.h>

#include <csignal>
#include <optional>

#include "core/fault_injection.h"
#include "selinux_testing.h"
#include "skipping.h"

using namespace vmentry;
using namespace vmentry::selinux;
using namespace selinux_testing;

namespace {

constexpr ThreadAttribute kExec = ThreadAttribute::kExec;

struct Fixture {
  static const FakeHost& Host() {
    static const FakeHost host;
    return host;
  }
  const FakeHost& host = Host();
  Fixture() {
    host.Activate();
    for (const char* name : {"exec", "fscreate", "sockcreate", "keycreate"}) Write(host / "attr/" + name, "");
    fault::Clear();
  }
  ~Fixture() {
    SetAttributeDirectoryForTesting("");
    fault::Clear();
  }
  std::string Exec() const { return Read(host / "attr/exec"); }
};

bool OwnMountNamespace() {
  return ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}
bool MayMount() {
  return InChild([] { return OwnMountNamespace() ? 0 : 1; }) == 0;
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "set, read and cleared") {
  CHECK(ReadThreadAttribute(kExec).value().empty());
  REQUIRE(WriteThreadAttribute(kExec, kVm).ok());
  CHECK(ReadThreadAttribute(kExec).value() == kVm);
  CHECK(ReadThreadAttribute(ThreadAttribute::kFsCreate).value().empty());
  REQUIRE(WriteThreadAttribute(kExec, {}).ok());
  CHECK(ReadThreadAttribute(kExec).value().empty());
  CHECK(ReadThreadAttribute(ThreadAttribute::kCurrent).value() == kLauncher);
}

TEST_CASE_FIXTURE(Fixture, "the kernel's trailing NUL, and a newline, are no part of a context") {
  Write(host / "attr/exec", kVm + std::string(1, '\0'));
  CHECK(ReadThreadAttribute(kExec).value() == kVm);
  Write(host / "attr/exec", "\n");
  CHECK(ReadThreadAttribute(kExec).value().empty());
}

TEST_CASE_FIXTURE(Fixture, "there is no dynamic transition") {
  for (const ThreadAttribute attribute : {ThreadAttribute::kCurrent, ThreadAttribute::kPrevious}) {
    const Status refused = WriteThreadAttribute(attribute, kVm);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().errno_value == EINVAL);
  }
  CHECK(Read(host / "attr/current") == kLauncher);
}

TEST_CASE_FIXTURE(Fixture, "a scope clears on every way out") {
  {
    const auto scope = ScopedThreadAttribute::Set(kExec, kVm);
    REQUIRE(scope.ok());
    CHECK(Exec() == kVm);
  }
  CHECK(Exec().empty());
  {
    auto scope = ScopedThreadAttribute::Set(kExec, kVm);
    REQUIRE(scope.ok());
    CHECK(scope.value().Clear().ok());
    CHECK(Exec().empty());
    Write(host / "attr/exec", "somebody else's");
    CHECK(scope.value().Clear().ok());
  }
  CHECK(Exec() == "somebody else's");
  Write(host / "attr/exec", "");
  {
    std::optional<ScopedThreadAttribute> outer;
    {
      auto scope = ScopedThreadAttribute::Set(kExec, kVm);
      outer.emplace(std::move(scope).value());
    }
    CHECK(Exec() == kVm);
  }
  CHECK(Exec().empty());
}

TEST_CASE_FIXTURE(Fixture, "a refused write changes nothing, and ends nothing") {
  fault::Arm("pwrite", 0, EACCES);
  const auto refused = ScopedThreadAttribute::Set(kExec, kVm);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().errno_value == EACCES);
  CHECK(refused.error().code.empty());
  CHECK(Exec().empty());

  fault::Clear();
  fault::Arm("pwrite", 0, EINVAL);
  const auto unknown = ScopedThreadAttribute::Set(kExec, "no:such:context:s0");
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.error().code == "ERR_SELINUX_CONTEXT_INVALID");
}

TEST_CASE_FIXTURE(Fixture, "a write that cannot be read back is taken back") {
  fault::Arm("pread", 0, EIO);
  const auto unread = ScopedThreadAttribute::Set(kExec, kVm);
  REQUIRE_FALSE(unread.ok());
  CHECK(unread.error().errno_value == EIO);
  CHECK(Exec().empty());
}

TEST_CASE_FIXTURE(Fixture, "a kernel that takes the write and does nothing is an error") {
  // /dev/null stands for such a kernel.
  ::unlink((host / "attr/exec").c_str());
  REQUIRE(::symlink("/dev/null", (host / "attr/exec").c_str()) == 0);
  const int outcome = InChild([] {
    const auto ignored = ScopedThreadAttribute::Set(kExec, kVm);
    return !ignored.ok() && ignored.error().code == "ERR_SELINUX_ATTRIBUTE" ? 0 : 1;
  });
  ::unlink((host / "attr/exec").c_str());
  CHECK(outcome == 0);
}

TEST_CASE_FIXTURE(Fixture, "clearing is tried again, through a fresh descriptor too") {
  auto scope = ScopedThreadAttribute::Set(kExec, kVm);
  REQUIRE(scope.ok());
  fault::Clear();
  fault::Arm("pwrite", 0, EPERM);
  CHECK(scope.value().Clear().ok());
  CHECK(Exec().empty());
}

TEST_CASE_FIXTURE(Fixture, "an attribute that cannot be cleared ends the process") {
  CHECK(InChild([] {
          // No message and no core file from a death that is meant.
          ::close(2);
          auto scope = ScopedThreadAttribute::Set(kExec, kVm);
          if (!scope.ok()) return 1;
          fault::Arm("pwrite", 0, EACCES, fault::Lasting::kFromThenOn);
          const Status cleared = scope.value().Clear();
          return !cleared.ok() && cleared.error().errno_value == EACCES ? 0 : 2;
        }) == -SIGABRT);
}

TEST_CASE_FIXTURE(Fixture, "unless the thread ends, and the attribute with it") {
  CHECK(InChild([] {
          auto scope = ScopedThreadAttribute::Set(kExec, kVm);
          if (!scope.ok()) return 1;
          fault::Arm("pwrite", 0, EACCES, fault::Lasting::kFromThenOn);
          if (scope.value().Clear().ok()) return 2;
          scope.value().Abandon();
          return 0;
        }) == 0);
}

TEST_CASE_FIXTURE(Fixture, "a short write is not taken for success") {
  fault::Clear();
  // Nothing may be written to a full device.
  ::unlink((host / "attr/exec").c_str());
  REQUIRE(::symlink("/dev/full", (host / "attr/exec").c_str()) == 0);
  CHECK(InChild([] {
          const auto refused = ScopedThreadAttribute::Set(kExec, kVm);
          return !refused.ok() && refused.error().errno_value != 0 ? 0 : 1;
        }) == 0);
  ::unlink((host / "attr/exec").c_str());
}

TEST_CASE_FIXTURE(Fixture, "contexts of other processes") {
  Write(host / "attr/process", kVm);
  CHECK(ReadProcessContext(1).value() == kVm);
  Write(host / "attr/process", "");
  const auto none = ReadProcessContext(1);
  REQUIRE_FALSE(none.ok());
  CHECK(none.error().code == "ERR_SELINUX_ATTRIBUTE");
}

TEST_CASE_FIXTURE(Fixture, "a kernel whose attributes are not SELinux's is an error, not an empty attribute" *
                               skipping::Where(skipping::SelinuxHost(), "a host with SELinux")) {
  // The real files of this kernel, while libselinux (the fake one) says that SELinux is on.
  SetAttributeDirectoryForTesting("");
  const auto exec = ReadThreadAttribute(kExec);
  REQUIRE_FALSE(exec.ok());
  CHECK(exec.error().code == "ERR_SELINUX_ATTRIBUTE");
  const Status set = WriteThreadAttribute(kExec, kVm);
  REQUIRE_FALSE(set.ok());
  const auto gone = ReadProcessContext(0x3ffffffe);
  REQUIRE_FALSE(gone.ok());
  CHECK(gone.error().errno_value == ENOENT);
  CHECK(gone.error().code.empty());
}

TEST_CASE_FIXTURE(Fixture, "the file is reached below a procfs, or not at all") {
  SetAttributeDirectoryForTesting("");
  for (const char* call : {"openat", "fstatfs", "fstat", "readlinkat", "openat2"}) {
    CAPTURE(call);
    fault::Clear();
    fault::Arm(call, 0, EIO);
    const auto failed = ReadThreadAttribute(kExec);
    REQUIRE_FALSE(failed.ok());
    CHECK(failed.error().errno_value == EIO);
  }
  // A kernel without openat2 (before 5.6) cannot say what is mounted over what: nothing is opened.
  fault::Clear();
  fault::Arm("openat2", 0, ENOSYS);
  const auto old_kernel = ReadThreadAttribute(kExec);
  REQUIRE_FALSE(old_kernel.ok());
  CHECK(old_kernel.error().errno_value == ENOSYS);
  fault::Clear();
  fault::Arm("openat2", 0, EXDEV);
  const auto covered = ReadThreadAttribute(kExec);
  REQUIRE_FALSE(covered.ok());
  CHECK(covered.error().code == "ERR_SELINUX_ATTRIBUTE");
  CHECK(covered.error().message.find("mounted over") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "a file mounted over the attribute is refused" *
                               skipping::Without(MayMount(), "mounting is not allowed")) {
  const int outcome = InChild([this] {
    if (!OwnMountNamespace()) return 77;
    const std::string attribute =
        "/proc/" + std::to_string(::getpid()) + "/task/" + std::to_string(::gettid()) + "/attr/exec";
    if (::mount((host / "policy").c_str(), attribute.c_str(), nullptr, MS_BIND, nullptr) != 0) return 77;
    SetAttributeDirectoryForTesting("");
    const auto covered = WriteThreadAttribute(kExec, kVm);
    return !covered.ok() && covered.error().code == "ERR_SELINUX_ATTRIBUTE" ? 0 : 1;
  });
  CHECK(outcome == 0);
}

TEST_CASE_FIXTURE(Fixture, "a part of procfs in the place of /proc is refused") {
  const int outcome = InChild([] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 77;
    if (::mount("/proc/self", "/proc", nullptr, MS_BIND, nullptr) != 0) return 77;
    SetAttributeDirectoryForTesting("");
    const auto read = ReadThreadAttribute(kExec);
    return !read.ok() && read.error().code == "ERR_SELINUX_ATTRIBUTE" && read.error().path == "/proc" ? 0 : 1;
  });
  if (outcome == 77) {
    MESSAGE("not allowed to mount: skipped");
    return;
  }
  CHECK(outcome == 0);
}

TEST_CASE_FIXTURE(Fixture, "the procfs of another pid namespace is refused, where numbers mean other processes") {
  const int outcome = InChild([] {
    if (::unshare(CLONE_NEWPID) != 0) return 77;
    // Only children are in the new namespace, and /proc is still that of the old one.
    return InChild([] {
      SetAttributeDirectoryForTesting("");
      for (const Error& error : {ReadThreadAttribute(kExec).error(), WriteThreadAttribute(kExec, kVm).error(),
                                 ReadProcessContext(1).error()}) {
        if (error.code != "ERR_SELINUX_ATTRIBUTE" || error.message.find("pid namespace") == std::string::npos) return 1;
      }
      return 0;
    });
  });
  if (outcome == 77) {
    MESSAGE("not allowed to make a pid namespace: skipped");
    return;
  }
  CHECK(outcome == 0);
}
