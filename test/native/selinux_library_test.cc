// The table of libselinux's functions: against its own headers, and what happens where there is none, an
// old one, or another user of it in this process.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <selinux/label.h>
#include <selinux/selinux.h>

#include <cstdarg>
#include <cstddef>
#include <thread>

#include "selinux_testing.h"

using namespace vmentry;
using namespace vmentry::selinux;
using namespace selinux_testing;

namespace {

// This project's names for libselinux's types.
template <typename T>
struct AsC {
  using Type = T;
};
template <>
struct AsC<AvDecision*> {
  using Type = av_decision*;
};
template <>
struct AsC<const LabelOption*> {
  using Type = const selinux_opt*;
};
template <>
struct AsC<BooleanSetting*> {
  using Type = SELboolean*;
};
template <>
struct AsC<SelinuxCallback> {
  using Type = selinux_callback;
};
template <typename R, typename... Parameters>
struct AsC<R (*)(Parameters...)> {
  using Type = typename AsC<R>::Type (*)(typename AsC<Parameters>::Type...);
};

#define CHECK_SIGNATURE(type, name, parameters) \
  static_assert(std::is_same_v<AsC<decltype(Library::name)>::Type, decltype(&::name)>, #name);
#define NEWER_THAN_THE_HEADERS(type, name, parameters)
VMENTRY_SELINUX_SYMBOLS(CHECK_SIGNATURE, NEWER_THAN_THE_HEADERS)
static_assert(std::is_same_v<decltype(Library::selinux_mnt), char**>);

static_assert(sizeof(AvDecision) == sizeof(av_decision));
static_assert(offsetof(AvDecision, auditdeny) == offsetof(av_decision, auditdeny));
static_assert(offsetof(AvDecision, flags) == offsetof(av_decision, flags));
static_assert(kAvdFlagsPermissive == SELINUX_AVD_FLAGS_PERMISSIVE);
static_assert(sizeof(LabelOption) == sizeof(selinux_opt) &&
              offsetof(LabelOption, value) == offsetof(selinux_opt, value));
static_assert(sizeof(BooleanSetting) == sizeof(SELboolean) &&
              offsetof(BooleanSetting, value) == offsetof(SELboolean, value));
static_assert(sizeof(SelinuxCallback) == sizeof(selinux_callback));

int g_messages = 0;
int Count(int, const char*, ...) {
  ++g_messages;
  return 0;
}

}  // namespace

TEST_CASE("a library that is missing is an error each time, until it is there") {
  CHECK(InChild([] {
          Library::SetPathForTesting("/nowhere/libselinux.so.1");
          for (int i = 0; i < 2; ++i) {
            const auto missing = Library::Get();
            if (missing.ok() || missing.error().code != "ERR_SELINUX_LIBRARY") return 1;
            if (missing.error().message.find("install") == std::string::npos) return 2;
          }
          Library::SetPathForTesting(VMENTRY_FAKE_LIBSELINUX);
          const auto found = Library::Get();
          if (!found.ok()) return 3;
          Library::SetPathForTesting("/nowhere/libselinux.so.1");
          return Library::Get().ok() && Library::Get().value() == found.value() ? 0 : 4;
        }) == 0);
}

TEST_CASE("a library without one of the functions is too old") {
  CHECK(InChild([] {
          Library::SetPathForTesting("libm.so.6");
          const auto old = Library::Get();
          return !old.ok() && old.error().code == "ERR_SELINUX_SYMBOL" &&
                         old.error().message.find("is_selinux_enabled") != std::string::npos
                     ? 0
                     : 1;
        }) == 0);
}

TEST_CASE("every required function is needed, and no other") {
  const FakeHost host;
  CHECK(InChild([&host] {
          host.Activate();
          unsigned refused = 0, accepted = 0;
          for (unsigned lookup = 0;; ++lookup) {
            const int outcome = InChild([lookup] {
              fault::Clear();
              fault::Arm("dlsym", lookup, ENOENT);
              const auto library = Library::Get();
              if (!library.ok()) return library.error().code == "ERR_SELINUX_SYMBOL" ? 1 : 9;
              for (const fault::Seen& seen : fault::Calls()) {
                if (seen.name == "dlsym" && seen.count <= lookup) return 2;  // there was no such look-up
              }
              return 0;
            });
            if (outcome == 2) break;
            if (outcome == 9) return 2;
            ++(outcome == 1 ? refused : accepted);
          }
          // getpidprevcon_raw alone may be missing.
          return accepted == 1 && refused > 30 ? 0 : 3;
        }) == 0);
}

TEST_CASE("a function that the library lacks answers ENOSYS") {
  errno = 0;
  int (*missing)(char**) = nullptr;
  CHECK(Call("missing", missing, static_cast<char**>(nullptr)) == -1);
  CHECK(errno == ENOSYS);
}

TEST_CASE("a call that is made to fail fails in the function's own way") {
  fault::Clear();
  static const auto answer = +[](int value) -> int { return value; };
  static const auto name = +[](int) -> const char* { return "name"; };
  static const auto number = +[](int) -> uint16_t { return 7; };
  for (const char* function : {"answer", "name", "number"}) fault::Arm(function, 1, EIO);
  CHECK(Call("answer", answer, 5) == 5);
  CHECK(Call("answer", answer, 5) == -1);
  CHECK(errno == EIO);
  CHECK(std::string(Call("name", name, 0)) == "name");
  CHECK(Call("name", name, 0) == nullptr);
  CHECK(Call("number", number, 0) == 7);
  CHECK(Call("number", number, 0) == 0);
  CHECK(Call("answer", answer, 6) == 6);
  fault::Clear();
}

TEST_CASE("the library's own messages are dropped, another user's callback is left alone") {
  CHECK(InChild([] {
          Library::SetPathForTesting(VMENTRY_FAKE_LIBSELINUX);
          const Library* library = Library::Get().value();
          const SelinuxCallback now = library->selinux_get_callback(SELINUX_CB_LOG);
          Dl_info owner;
          if (dladdr(reinterpret_cast<void*>(now.log), &owner) == 0) return 1;
          // Ours lives in this program, the default one in the library.
          return std::string(owner.dli_fname).find("libselinux") == std::string::npos ? 0 : 2;
        }) == 0);
  CHECK(InChild([] {
          void* other_user = dlopen(VMENTRY_FAKE_LIBSELINUX, RTLD_NOW);
          const auto set = reinterpret_cast<void (*)(int, selinux_callback)>(dlsym(other_user, "selinux_set_callback"));
          selinux_callback count = {};
          count.func_log = Count;
          set(SELINUX_CB_LOG, count);
          Library::SetPathForTesting(VMENTRY_FAKE_LIBSELINUX);
          const Library* library = Library::Get().value();
          library->selinux_get_callback(SELINUX_CB_LOG).log(SELINUX_ERROR, "%s", "message");
          return g_messages == 1 ? 0 : 1;
        }) == 0);
}

TEST_CASE("threads that come at once get one table") {
  Library::SetPathForTesting(VMENTRY_FAKE_LIBSELINUX);
  std::vector<const Library*> tables(8);
  {
    std::vector<std::thread> threads;
    for (const Library*& table : tables) threads.emplace_back([&table] { table = Library::Get().value(); });
    for (std::thread& thread : threads) thread.join();
  }
  for (const Library* table : tables) CHECK(table == tables[0]);
}
