#include "selinux/library.h"

#include <dlfcn.h>

#include <atomic>

namespace vmentry::selinux {
namespace {

// The soname is a constant: nothing at run time may choose another library in the shipped build.
constexpr char kLibraryName[] = "libselinux.so.1";

std::mutex g_load_mutex;
std::atomic<const Library*> g_library{nullptr};

#ifdef VMENTRY_FAULTS
std::string* g_path_for_testing = nullptr;  // LOCKED(g_load_mutex)
std::atomic<bool> g_is_stand_in{false};
#endif

const char* NameToLoad() {
#ifdef VMENTRY_FAULTS
  if (g_path_for_testing != nullptr) return g_path_for_testing->c_str();
#endif
  return kLibraryName;
}

int DropMessage(int, const char*, ...) { return 0; }
constexpr int kCallbackLog = 0;  // SELINUX_CB_LOG

// libselinux tells its log callback what it thinks of contexts and files, by default on stderr. What
// matters comes back as the error of a call, and a library does not write to its program's stderr,
// so messages are dropped. The callback belongs to the whole process: one that another user of
// libselinux has set is left alone, only libselinux's own default (a function inside it) is replaced.
void SilenceDefaultLog(const Library& library) {
  const SelinuxCallback current = library.selinux_get_callback(kCallbackLog);
  Dl_info owner, libselinux;
  if (dladdr(reinterpret_cast<void*>(current.log), &owner) == 0 ||
      dladdr(reinterpret_cast<void*>(library.selinux_set_callback), &libselinux) == 0 ||
      owner.dli_fbase != libselinux.dli_fbase) {
    return;
  }
  library.selinux_set_callback(kCallbackLog, SelinuxCallback{.log = DropMessage});
}

}  // namespace

#ifdef VMENTRY_FAULTS
void Library::SetPathForTesting(const std::string& path) {
  std::lock_guard lock(g_load_mutex);
  delete g_path_for_testing;
  g_path_for_testing = new std::string(path);
  g_is_stand_in.store(true, std::memory_order_relaxed);
}

bool Library::IsStandIn() { return g_is_stand_in.load(std::memory_order_relaxed); }
#endif

Result<const Library*> Library::Get() {
  if (const Library* library = g_library.load(std::memory_order_acquire); library != nullptr) return library;
  std::lock_guard lock(g_load_mutex);
  if (const Library* library = g_library.load(std::memory_order_acquire); library != nullptr) return library;
  return Load();
}

Result<const Library*> Library::Load() {
  if (const int injected = fault::Take("dlopen"); injected != 0) {
    return Error::Coded("ERR_SELINUX_LIBRARY", "libselinux could not be loaded: injected failure");
  }
  // NODELETE: its thread-specific data has destructors that run when any thread ends.
  void* handle = dlopen(NameToLoad(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    const char* reason = dlerror();
    return Error::Coded("ERR_SELINUX_LIBRARY",
                        std::string("libselinux could not be loaded (") +
                            (reason != nullptr ? reason : "unknown reason") +
                            "): install the package libselinux1 (Debian, Ubuntu) or libselinux (Fedora, RHEL, Alpine)");
  }
  // Never destroyed once it is published: threads may still call it while the process exits.
  std::unique_ptr<Library> library(new Library());
  const char* missing = nullptr;
  const auto symbol = [handle](const char* name) -> void* {
    return fault::Take("dlsym") != 0 ? nullptr : dlsym(handle, name);
  };
#define VMENTRY_SELINUX_OPTIONAL(type, name, parameters) \
  library->name = reinterpret_cast<decltype(library->name)>(symbol(#name));
#define VMENTRY_SELINUX_REQUIRED(type, name, parameters) \
  VMENTRY_SELINUX_OPTIONAL(type, name, parameters)       \
  if (library->name == nullptr && missing == nullptr) missing = #name;
  VMENTRY_SELINUX_SYMBOLS(VMENTRY_SELINUX_REQUIRED, VMENTRY_SELINUX_OPTIONAL)
#undef VMENTRY_SELINUX_REQUIRED
#undef VMENTRY_SELINUX_OPTIONAL
  library->selinux_mnt = reinterpret_cast<char**>(symbol("selinux_mnt"));
  if (library->selinux_mnt == nullptr && missing == nullptr) missing = "selinux_mnt";
  if (missing != nullptr) {
    dlclose(handle);
    return Error::Coded("ERR_SELINUX_SYMBOL", std::string("libselinux has no function ") + missing +
                                                  ": version 3.1 or newer is needed, upgrade it");
  }
  SilenceDefaultLog(*library);
  const Library* loaded = library.release();
  g_library.store(loaded, std::memory_order_release);
  return loaded;
}

}  // namespace vmentry::selinux
