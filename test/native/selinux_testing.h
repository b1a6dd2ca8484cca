// What the selinux tests share: a host with SELinux made of the fake library, and processes of their own
// for what a process finds out only once.
#pragma once

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "selinux/library.h"
#include "selinux/thread_attributes.h"

namespace selinux_testing {

inline const std::string kClient = "user_u:user_r:client_t:s0";
inline const std::string kLauncher = "user_u:user_r:launcher_t:s0-s0:c0.c7";
inline const std::string kPlain = "system_u:object_r:plain_t:s0";
inline const std::string kVm = "user_u:user_r:vm_t:s0";

inline void Write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

inline std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// How the process ended that ran `body`: its return value, or minus the signal that killed it.
template <typename Body>
int InChild(Body body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    // The test framework's handler would report a death that is wanted as a crash.
    ::signal(SIGABRT, SIG_DFL);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// The files that make up the usual test policy.
inline const std::vector<std::string> kUsualPolicy = {"test/fixtures/policy/base.cil", "policy/vm_entrypoint.cil",
                                                      "test/fixtures/policy/vm.cil"};
// The same with another number for class `vm`.
inline const std::vector<std::string> kRenumberedPolicy = {"test/fixtures/policy/base.cil",
                                                           "test/fixtures/policy/another_class.cil",
                                                           "policy/vm_entrypoint.cil", "test/fixtures/policy/vm.cil"};

// A directory that steers the fake library (test/native/fake_libselinux.cc). Activate() puts this process on
// it: once, before the first SELinux call.
class FakeHost {
 public:
  FakeHost() {
    char name[] = "/tmp/vm-entrypoint-selinux-XXXXXX";
    directory_ = ::mkdtemp(name);
    ::mkdir((*this / "attr").c_str(), 0755);
    for (const char* attribute : {"exec", "fscreate", "sockcreate", "keycreate", "prev"}) {
      Write(*this / "attr/" + attribute, "");
    }
    Write(*this / "attr/current", kLauncher);
    Write(*this / "context", kLauncher);
    Write(*this / "policy", Compile(kUsualPolicy));
  }
  ~FakeHost() {
    if (::getpid() == owner_) (void)!::system(("rm -rf " + directory_).c_str());
  }
  FakeHost(const FakeHost&) = delete;
  FakeHost& operator=(const FakeHost&) = delete;

  std::string operator/(const std::string& name) const { return directory_ + "/" + name; }

  std::string Compile(const std::vector<std::string>& files) const {
    const std::string output = *this / "compiled";
    const std::string here = __FILE__;
    const std::string root = here.substr(0, here.rfind("/test/native/"));
    std::string command = "secilc -M true -c 33 -U allow -o " + output + " -f /dev/null";
    for (const std::string& file : files) command += " " + root + "/" + file;
    if (::system(command.c_str()) != 0) return {};
    return Read(output);
  }

  void Activate() const {
    ::setenv("FAKE_SELINUX_DIR", directory_.c_str(), 1);
    vmentry::selinux::Library::SetPathForTesting(VMENTRY_FAKE_LIBSELINUX);
    vmentry::selinux::SetAttributeDirectoryForTesting(*this / "attr");
  }

  // What load_policy does. Under the library's lock: the fake plays the kernel in this very process.
  bool Load(const std::string& image) const {
    const vmentry::selinux::Library* library = vmentry::selinux::Library::Get().value();
    void* handle = dlopen(VMENTRY_FAKE_LIBSELINUX, RTLD_NOW | RTLD_NOLOAD);
    const auto load = reinterpret_cast<int (*)(const void*, size_t)>(dlsym(handle, "security_load_policy"));
    const std::lock_guard lock(library->mutex());
    return load(image.data(), image.size()) == 0;
  }

 private:
  pid_t owner_ = ::getpid();
  std::string directory_;
};

// The kernel's side of the status page.
class StatusWriter {
 public:
  struct Page {
    uint32_t version, sequence, enforcing, policyload, deny_unknown;
  };
  explicit StatusWriter(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    (void)!::ftruncate(fd, 4096);
    page_ = static_cast<Page*>(::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    ::close(fd);
  }
  ~StatusWriter() { ::munmap(page_, sizeof(Page)); }
  StatusWriter(const StatusWriter&) = delete;
  StatusWriter& operator=(const StatusWriter&) = delete;

  void Set(uint32_t Page::*member, uint32_t value) { __atomic_store_n(&(page_->*member), value, __ATOMIC_RELEASE); }
  uint32_t Get(uint32_t Page::*member) const { return __atomic_load_n(&(page_->*member), __ATOMIC_ACQUIRE); }
  void Begin() { __atomic_fetch_add(&page_->sequence, 1, __ATOMIC_SEQ_CST); }
  void End() { __atomic_fetch_add(&page_->sequence, 1, __ATOMIC_SEQ_CST); }

 private:
  Page* page_;
};

}  // namespace selinux_testing
