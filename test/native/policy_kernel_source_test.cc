// The kernel's policy source, over a libselinux whose answers are libsepol's from a compiled policy:
// what each errno means, that nothing about classes is remembered over a reload, and that a context
// cannot turn a question into another one.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/fault_injection.h"
#include "decision/access_cache.h"
#include "decision/start_decision.h"
#include "policy/policy_source.h"
#include "selinux/library.h"
#include "selinux/thread_attributes.h"

using namespace vmentry;
using policy::KernelPolicySource;
using policy::PolicySource;
using policy::SecurityClass;

namespace {

const std::string kClient = "user_u:user_r:client_t:s0-s0:c0.c7";
const std::string kDisk = "system_u:object_r:disk_t:s0:c1,c2";
const std::string kLauncher = "user_u:user_r:launcher_t:s0-s0:c0.c7";

void Write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A host with SELinux for this process: made once, because libselinux looks round once.
class Host {
 public:
  static Host& Get() {
    static Host host;
    return host;
  }

  std::string Compile(const std::vector<std::string>& files) const {
    const std::string output = directory_ + "/compiled";
    std::string command = "secilc -M true -c 33 -U allow -o " + output + " -f /dev/null";
    const std::string root = std::string(__FILE__).substr(0, std::string(__FILE__).rfind("/test/native/"));
    for (const std::string& file : files) command += " " + root + "/" + file;
    if (::system(command.c_str()) != 0) return {};
    return Read(output);
  }
  std::string Usual() const {
    return Compile({"test/fixtures/policy/base.cil", "policy/vm_entrypoint.cil", "test/fixtures/policy/vm.cil"});
  }
  bool Load(const std::string& image) const {
    void* handle = dlopen(VMENTRY_FAKE_LIBSELINUX, RTLD_NOW);
    const auto load = reinterpret_cast<int (*)(const void*, size_t)>(dlsym(handle, "security_load_policy"));
    return load(image.data(), image.size()) == 0;
  }

 private:
  Host() {
    char name[] = "/tmp/vm-entrypoint-policy-XXXXXX";
    directory_ = ::mkdtemp(name);
    ::mkdir((directory_ + "/attr").c_str(), 0755);
    for (const char* attribute : {"exec", "fscreate", "sockcreate", "keycreate", "prev"}) {
      Write(directory_ + "/attr/" + attribute, "");
    }
    Write(directory_ + "/attr/current", kLauncher);
    Write(directory_ + "/context", kLauncher);
    Write(directory_ + "/policy", Usual());
    ::setenv("FAKE_SELINUX_DIR", directory_.c_str(), 1);
    selinux::Library::SetPathForTesting(VMENTRY_FAKE_LIBSELINUX);
    selinux::SetAttributeDirectoryForTesting(directory_ + "/attr");
  }
  ~Host() { (void)::system(("rm -rf " + directory_).c_str()); }

  std::string directory_;
};

struct Fixture {
  Host& host = Host::Get();
  PolicySource& source = *KernelPolicySource().value();
  uint16_t vm = source.LookupClass("vm").value().value;

  Fixture() { fault::Clear(); }
  ~Fixture() { fault::Clear(); }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "answers are the policy's") {
  const SecurityClass file = source.LookupClass("file").value();
  const policy::AvDecision av = source.ComputeAv(kClient, "system_u:object_r:disk_t:s0", file.value).value();
  CHECK((av.allowed & file.BitOf("read")) != 0);
  CHECK((av.allowed & file.BitOf("entrypoint")) == 0);
  CHECK(av.flags == 0);
  CHECK(source.ComputeCreate(kClient, kDisk, vm).value() == "user_u:user_r:vm_t:s0-s0:c1,c2");
  CHECK(source.CheckContext(kClient).value());
  CHECK_FALSE(source.CheckContext("user_u:user_r:nobody_here_t:s0").value());
  const policy::AvDecision permissive = source.ComputeAv("user_u:user_r:permissive_t:s0", kDisk, file.value).value();
  CHECK(permissive.flags == selinux::kAvdFlagsPermissive);
}

TEST_CASE_FIXTURE(Fixture, "the class vm has its 18 permissions, in the order that must never change") {
  const std::vector<std::string> expected = {
      "entrypoint",  "start",      "stop",    "reset",   "suspend", "resume", "save",   "restore",  "snapshot",
      "migrate_out", "migrate_in", "monitor", "control", "console", "attach", "define", "undefine", "debug"};
  CHECK(source.LookupClass("vm").value().permissions == expected);
}

TEST_CASE_FIXTURE(Fixture, "no rule is EACCES without a code; an unknown context is EINVAL") {
  const Error no_rule = source.ComputeCreate(kClient, "system_u:object_r:nobody_t:s0", vm).error();
  CHECK(no_rule.errno_value == EACCES);
  CHECK(no_rule.code.empty());
  CHECK(source.ComputeCreate(kClient, "system_u:object_r:gone_t:s0", vm).error().errno_value == EINVAL);
  CHECK(source.ComputeAv("gone_u:user_r:client_t:s0", kDisk, vm).error().errno_value == EINVAL);
}

TEST_CASE_FIXTURE(Fixture, "a context with white space is never sent") {
  // The kernel would read this as another question: source, target and class of the attacker's choice.
  const std::string injected = kClient + " " + kLauncher + " 1";
  for (const std::string& context :
       {injected, kClient + "\n", std::string("\t") + kClient, kClient + std::string(1, '\0'), std::string()}) {
    CHECK(source.ComputeAv(context, kDisk, vm).error().errno_value == EINVAL);
    CHECK(source.ComputeAv(kDisk, context, vm).error().errno_value == EINVAL);
    CHECK(source.ComputeCreate(context, kDisk, vm).error().errno_value == EINVAL);
    CHECK(source.ComputeRelabel(kClient, context, vm).error().errno_value == EINVAL);
    CHECK_FALSE(source.CheckContext(context).value());
  }
  for (const auto& seen : fault::Calls()) CHECK(seen.name.find("security_") == std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "a failure is passed on with the name of the function") {
  fault::Arm("security_compute_av_flags_raw", 0, ENOMEM);
  Error error = source.ComputeAv(kClient, kDisk, vm).error();
  CHECK(error.errno_value == ENOMEM);
  CHECK(error.syscall == "security_compute_av_flags_raw");
  fault::Arm("security_compute_create_raw", 0, EIO);
  CHECK(source.ComputeCreate(kClient, kDisk, vm).error().errno_value == EIO);
  fault::Arm("security_check_context_raw", 0, EMFILE);
  CHECK(source.CheckContext(kClient).error().errno_value == EMFILE);
  fault::Arm("string_to_security_class", 0, ENOMEM);
  CHECK(source.LookupClass("vm").error().errno_value == ENOMEM);
  fault::Arm("security_av_perm_to_string", 3, ENOMEM);
  CHECK(source.LookupClass("vm").error().errno_value == ENOMEM);
}

TEST_CASE_FIXTURE(Fixture, "not being allowed to ask is an error, not a denial") {
  fault::Arm("security_compute_av_flags_raw", 0, EACCES);
  Error error = source.ComputeAv(kClient, kDisk, vm).error();
  CHECK(error.code == "ERR_SELINUX_NOT_PERMITTED");
  CHECK(error.message.find("compute_av") != std::string::npos);
  fault::Arm("security_check_context_raw", 0, EACCES);
  CHECK(source.CheckContext(kClient).error().code == "ERR_SELINUX_NOT_PERMITTED");

  // For new contexts a control question tells it from "no rule": it fails too.
  fault::Arm("security_compute_create_raw", 0, EACCES);
  CHECK(source.ComputeCreate(kClient, "system_u:object_r:nobody_t:s0", vm).error().code.empty());
  fault::Clear();
  fault::Arm("security_compute_create_raw", 1, EACCES);  // the control question
  error = source.ComputeCreate(kClient, "system_u:object_r:nobody_t:s0", vm).error();
  CHECK(error.code == "ERR_SELINUX_NOT_PERMITTED");
  CHECK(error.message.find("compute_create") != std::string::npos);
  fault::Clear();
  fault::Arm("security_compute_create_raw", 1, EIO);
  CHECK(source.ComputeCreate(kClient, "system_u:object_r:nobody_t:s0", vm).error().errno_value == EIO);
}

TEST_CASE_FIXTURE(Fixture, "a class that a module brings is seen, and one that it takes away is gone") {
  const selinux::PolicyState before = source.State().value();
  REQUIRE(host.Load(host.Compile({"test/fixtures/policy/base.cil"})));
  CHECK(source.LookupClass("vm").error().code == "ERR_SELINUX_CLASS_UNKNOWN");
  CHECK(source.SequenceNow() != before.sequence);
  REQUIRE(host.Load(host.Usual()));
  CHECK(source.LookupClass("vm").value().BitOf("entrypoint") == 1);
  CHECK(source.State().value().policyload == before.policyload + 2);
}

TEST_CASE_FIXTURE(Fixture, "a class whose name is a path is never looked up") {
  fault::Clear();
  for (const char* name : {"", ".", "..", "../class/file", "file/../file", "/etc"}) {
    CAPTURE(name);
    CHECK(source.LookupClass(name).error().code == "ERR_SELINUX_CLASS_UNKNOWN");
  }
  CHECK(source.LookupClass(std::string_view("file\0x", 6)).error().code == "ERR_SELINUX_CLASS_UNKNOWN");
  for (const fault::Seen& seen : fault::Calls()) CHECK(seen.name != "string_to_security_class");
}

TEST_CASE_FIXTURE(Fixture, "the whole decision, from a true policy") {
  decision::AccessCache cache(source);
  decision::StartQuestion question;
  question.client = kClient;
  question.launcher = kLauncher;
  question.objects.push_back({"disk", kDisk, S_IFREG, true, true});
  question.emulator.push_back({"qemu", "system_u:object_r:qemu_exec_t:s0", false});
  const Result<decision::Decision> allowed = decision::DecideStart(cache, question);
  REQUIRE(allowed.ok());
  for (const decision::Check& check : allowed.value().checks) {
    CAPTURE(check.tclass);
    CAPTURE(check.source);
    CAPTURE(check.target);
    CHECK(check.denied.empty());
  }
  CHECK(allowed.value().allowed);
  CHECK(allowed.value().vm_context == "user_u:user_r:vm_t:s0-s0:c1,c2");

  // handle_unknown=allow grants nothing when the module is gone.
  REQUIRE(host.Load(host.Compile({"test/fixtures/policy/base.cil"})));
  CHECK(decision::DecideStart(cache, question).error().code == "ERR_SELINUX_CLASS_UNKNOWN");
  REQUIRE(host.Load(host.Usual()));
  CHECK(decision::DecideStart(cache, question).value().allowed);
}
