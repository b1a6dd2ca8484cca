// A stand-in for libselinux.so.1 and the selinuxfs behind it, for hosts without SELinux: the symbols of
// native/selinux/library_symbols.h, but the policy is a file and the answers are libsepol's. Nothing
// that depends on the policy is written down here.
//
// It is steered through the directory FAKE_SELINUX_DIR (read when it is loaded), which also plays
// selinuxfs (`selinux_mnt` points to it):
//
//   policy          the binary policy, loaded at start; later ones come by security_load_policy()
//   enforcing       "0" or "1", read at start; default 1
//   disabled        when it exists, is_selinux_enabled() says 0, as where there is no selinuxfs
//   context         the calling process's context: getcon(), and getpidcon() of the own pid
//   previous        getprevcon(); default: the same
//   processes/PID   getpidcon() of another process, and getpeercon() of a socket connected to it
//   setrans         lines RAWRANGE=TRANSLATED, what mcstransd would be configured with
//   file_contexts   for selabel_*, which is forwarded to the real libselinux
//   status          written here: the kernel's status page
//   class/NAME/index  written here, as in selinuxfs
//   events          when it is a directory: each unix socket in it gets a datagram before the page changes
//
// File labels are the real security.selinux attributes, and peers are real sockets.
//
// What differs from a kernel, because libsepol cannot do it: in permissive mode the kernel hands out
// a new context that is invalid, here it is EACCES as in enforcing mode; new objects of socket classes
// get object_r; and no permission of the caller (security compute_av, …) is asked for.
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <selinux/label.h>
#include <selinux/selinux.h>
#include <sepol/debug.h>
#include <sepol/handle.h>
#include <sepol/policydb.h>
#include <sepol/policydb/policydb.h>
#include <sepol/policydb/services.h>
#include <sepol/policydb/sidtab.h>
#include <sepol/sepol.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

// <sepol/policydb/conditional.h> is not C++: it has a member called `bool`.
extern "C" int evaluate_conds(policydb_t* policy);

#define EXPORTED extern "C" __attribute__((visibility("default")))

extern "C" {
__attribute__((visibility("default"))) char* selinux_mnt = nullptr;
}

namespace {

struct StatusPage {
  uint32_t version;
  uint32_t sequence;
  uint32_t enforcing;
  uint32_t policyload;
  uint32_t deny_unknown;
};

struct ClassEntry {
  security_class_t value;
  std::vector<std::string> permissions;
};

struct State {
  std::string directory;
  bool enabled = false;
  StatusPage* page = nullptr;
  sepol_handle_t* handle = nullptr;
  sepol_policydb_t* policy = nullptr;
  sidtab_t sids = {};
  std::map<std::string, bool> pending;
  // libselinux reads a class once and keeps it until selinux_flush_class_cache(): so does this.
  std::map<std::string, ClassEntry> classes;
  union selinux_callback log = {};
};
State* g;

int Fail(int error) {
  errno = error;
  return -1;
}

int DefaultLog(int, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  return 0;
}

bool ReadFile(const std::string& path, std::string* content) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return false;
  std::stringstream buffer;
  buffer << file.rdbuf();
  *content = buffer.str();
  return true;
}

// First line of a control file.
bool ReadLine(const std::string& name, std::string* line) {
  if (!ReadFile(g->directory + "/" + name, line)) return false;
  line->resize(strcspn(line->c_str(), "\n"));
  return true;
}

policydb_t* Db() { return &g->policy->p; }

// As the kernel tells listeners on its netlink socket: what is said does not matter, only that.
void NotifyListeners() {
  const std::string root = g->directory + "/events";
  DIR* directory = opendir(root.c_str());
  if (directory == nullptr) return;
  const int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  while (const dirent* entry = readdir(directory)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", root.c_str(), entry->d_name);
    if (static_cast<size_t>(length) >= sizeof address.sun_path) continue;
    const ssize_t sent = sendto(from, "notice", 6, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&address), sizeof address);
    if (sent < 0 && errno == ECONNREFUSED) unlink(address.sun_path);  // its owner is gone
  }
  close(from);
  closedir(directory);
}

// The kernel's order: first the notice, then the page, under a seqlock that is odd meanwhile.
template <typename Change>
void ChangeStatus(Change change) {
  if (g->page == nullptr) return;
  NotifyListeners();
  __atomic_fetch_add(&g->page->sequence, 1, __ATOMIC_SEQ_CST);
  change(g->page);
  __atomic_fetch_add(&g->page->sequence, 1, __ATOMIC_SEQ_CST);
}

template <typename Visit>
void ForEach(hashtab_t table, Visit visit) {
  if (table == nullptr) return;
  for (unsigned slot = 0; slot < table->size; ++slot) {
    for (hashtab_ptr_t node = table->htable[slot]; node != nullptr; node = node->next) visit(node->key, node->datum);
  }
}

void WriteClassDirectory() {
  const std::string root = g->directory + "/class";
  mkdir(root.c_str(), 0755);
  if (DIR* old = opendir(root.c_str())) {
    while (const dirent* entry = readdir(old)) {
      if (entry->d_name[0] == '.') continue;
      const std::string directory = root + "/" + entry->d_name;
      unlink((directory + "/index").c_str());
      rmdir(directory.c_str());
    }
    closedir(old);
  }
  ForEach(Db()->p_classes.table, [&root](const char* name, void* datum) {
    const std::string directory = root + "/" + name;
    mkdir(directory.c_str(), 0755);
    std::ofstream(directory + "/index") << static_cast<class_datum_t*>(datum)->s.value;
  });
}

// What the kernel does with a new policy. An image that cannot be read leaves the old one in place.
int LoadPolicy(const void* data, size_t size, bool keep_booleans) {
  sepol_policydb_t* fresh = nullptr;
  if (sepol_policydb_create(&fresh) != 0) return Fail(ENOMEM);
  if (sepol_policydb_from_image(g->handle, const_cast<void*>(data), size, fresh) != 0) {
    free(fresh);  // libsepol has already released what is in it
    return Fail(EINVAL);
  }
  std::map<std::string, bool> values;
  if (keep_booleans && g->policy != nullptr) {
    ForEach(Db()->p_bools.table, [&values](const char* name, void* datum) {
      values[name] = static_cast<cond_bool_datum_t*>(datum)->state != 0;
    });
  }
  if (g->policy != nullptr) {
    sepol_policydb_free(g->policy);
    sepol_sidtab_destroy(&g->sids);
  }
  g->policy = fresh;
  // Booleans keep their values over a load, as in the kernel.
  ForEach(Db()->p_bools.table, [&values](const char* name, void* datum) {
    const auto value = values.find(name);
    if (value != values.end()) static_cast<cond_bool_datum_t*>(datum)->state = value->second;
  });
  evaluate_conds(Db());
  sepol_set_policydb(Db());
  sepol_set_sidtab(&g->sids);
  if (sepol_sidtab_init(&g->sids) != 0) return Fail(ENOMEM);
  g->pending.clear();
  WriteClassDirectory();
  return 0;
}

bool AllowUnknown() { return g->policy != nullptr && Db()->handle_unknown == ALLOW_UNKNOWN; }

int ToSid(const char* context, sepol_security_id_t* sid) {
  if (!g->enabled || sepol_context_to_sid(context, strlen(context) + 1, sid) != 0) return Fail(EINVAL);
  return 0;
}

int FromSid(sepol_security_id_t sid, char** context) {
  size_t size = 0;
  return sepol_sid_to_context(sid, context, &size) == 0 ? 0 : Fail(ENOMEM);
}

// The type of a valid context, as the policy numbers it.
uint32_t TypeOf(const char* context) {
  const char* role = strchr(context, ':');
  const char* type = role == nullptr ? nullptr : strchr(role + 1, ':');
  if (type == nullptr) return 0;
  std::string name(type + 1, strcspn(type + 1, ":"));
  const auto* datum = static_cast<const type_datum_t*>(hashtab_search(Db()->p_types.table, name.data()));
  return datum == nullptr ? 0 : datum->s.value;
}

using SidQuestion = int (*)(sepol_security_id_t, sepol_security_id_t, sepol_security_class_t, sepol_security_id_t*);

int Compute(SidQuestion question, const char* source, const char* target, security_class_t tclass, char** context) {
  sepol_security_id_t source_sid, target_sid, new_sid;
  if (ToSid(source, &source_sid) < 0 || ToSid(target, &target_sid) < 0) return -1;
  const int result = question(source_sid, target_sid, tclass, &new_sid);
  if (result != 0) return Fail(-result);
  return FromSid(new_sid, context);
}

// Rules by the name of the new object are not among what libsepol computes: where one matches, the
// type of the computed context is replaced, as security_compute_sid() of the kernel does it.
int ApplyNamedRule(const char* source, const char* target, security_class_t tclass, const char* name, char** context) {
  const uint32_t source_type = TypeOf(source), target_type = TypeOf(target);
  uint32_t new_type = 0;
  filename_trans_key_t key = {target_type, tclass, const_cast<char*>(name)};
  auto* rule = static_cast<const filename_trans_datum_t*>(
      hashtab_search(Db()->filename_trans, reinterpret_cast<const_hashtab_key_t>(&key)));
  for (; rule != nullptr; rule = rule->next) {
    if (ebitmap_get_bit(&rule->stypes, source_type - 1)) new_type = rule->otype;
  }
  if (new_type == 0) return 0;
  const std::string old(*context);
  const size_t start = old.find(':', old.find(':') + 1) + 1;
  const std::string changed =
      old.substr(0, start) + Db()->p_type_val_to_name[new_type - 1] + old.substr(old.find(':', start));
  free(*context);
  *context = nullptr;
  sepol_security_id_t sid;
  if (ToSid(changed.c_str(), &sid) < 0) return Fail(EACCES);
  return FromSid(sid, context);
}

// RAWRANGE=TRANSLATED lines, applied to the part after the third colon.
std::string Translate(const std::string& context, bool to_raw) {
  size_t range = 0;
  for (int colon = 0; colon < 3; ++colon) {
    range = context.find(':', range);
    if (range == std::string::npos) return context;
    ++range;
  }
  std::ifstream table(g->directory + "/setrans");
  for (std::string line; std::getline(table, line);) {
    const size_t equal = line.find('=');
    if (equal == std::string::npos) continue;
    const std::string raw = line.substr(0, equal), translated = line.substr(equal + 1);
    if (context.substr(range) == (to_raw ? translated : raw))
      return context.substr(0, range) + (to_raw ? raw : translated);
  }
  return context;
}

int LabelFrom(ssize_t size, const char* label, char** context) {
  if (size < 0) return -1;
  size_t length = static_cast<size_t>(size);
  if (length > 0 && label[length - 1] == '\0') --length;
  if (length == 0) return Fail(ENOTSUP);
  *context = strndup(label, length);
  return static_cast<int>(length) + 1;
}

int ContextOfPid(pid_t pid, char** context) {
  std::string line;
  const bool own = pid == getpid();
  if (ReadLine(own ? "context" : "processes/" + std::to_string(pid), &line)) {
    *context = strdup(line.c_str());
    return 0;
  }
  // As reading /proc/PID/attr/current: no such process, or one that no security module labels.
  return Fail(kill(pid, 0) != 0 && errno == ESRCH ? ENOENT : EINVAL);
}

void* RealLibrary() {
  static void* handle = dlopen("libselinux.so.1", RTLD_NOW | RTLD_LOCAL);
  return handle;
}

template <typename Function>
Function* Real(const char* name) {
  void* library = RealLibrary();
  return library == nullptr ? nullptr : reinterpret_cast<Function*>(dlsym(library, name));
}

__attribute__((constructor)) void Start() {
  g = new State();
  g->log.func_log = DefaultLog;
  const char* directory = getenv("FAKE_SELINUX_DIR");
  if (directory == nullptr) return;
  g->directory = directory;
  std::string unused, image, enforcing = "1";
  if (ReadFile(g->directory + "/disabled", &unused)) return;
  if (!ReadFile(g->directory + "/policy", &image)) return;
  sepol_debug(0);
  g->handle = sepol_handle_create();
  sepol_msg_set_callback(g->handle, nullptr, nullptr);
  if (LoadPolicy(image.data(), image.size(), false) != 0) return;
  ReadLine("enforcing", &enforcing);

  const int fd = open((g->directory + "/status").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0 || ftruncate(fd, 4096) != 0) return;
  void* page = mmap(nullptr, sizeof(StatusPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (page == MAP_FAILED) return;
  g->page = static_cast<StatusPage*>(page);
  *g->page = StatusPage{1, 0, enforcing == "1" ? 1u : 0u, 0, AllowUnknown() ? 0u : 1u};
  selinux_mnt = strdup(directory);
  g->enabled = true;
}

}  // namespace

// --- The running system ---

EXPORTED int is_selinux_enabled() { return g->enabled ? 1 : 0; }
EXPORTED int is_selinux_mls_enabled() { return g->enabled && Db()->mls ? 1 : 0; }
EXPORTED int security_deny_unknown() {
  if (!g->enabled) return Fail(ENOENT);
  return AllowUnknown() ? 0 : 1;
}
EXPORTED int security_reject_unknown() {
  if (!g->enabled) return Fail(ENOENT);
  return Db()->handle_unknown == REJECT_UNKNOWN ? 1 : 0;
}
EXPORTED int security_getenforce() {
  if (!g->enabled) return Fail(ENOENT);
  return static_cast<int>(g->page->enforcing);
}
EXPORTED int security_setenforce(int value) {
  if (!g->enabled) return Fail(ENOENT);
  ChangeStatus([value](StatusPage* page) { page->enforcing = value != 0 ? 1 : 0; });
  return 0;
}
EXPORTED int security_policyvers() {
  if (!g->enabled) return Fail(ENOENT);
  return sepol_policy_kern_vers_max();
}
EXPORTED int security_load_policy(void* data, size_t size) {
  if (!g->enabled) return Fail(ENOENT);
  if (LoadPolicy(data, size, true) != 0) return -1;
  ChangeStatus([](StatusPage* page) {
    ++page->policyload;
    page->deny_unknown = AllowUnknown() ? 0 : 1;
  });
  return 0;
}
EXPORTED int selinux_getpolicytype(char** type) {
  *type = strdup("fixture");
  return 0;
}
EXPORTED void freecon(char* context) { free(context); }
EXPORTED void selinux_set_callback(int type, union selinux_callback callback) {
  if (type == SELINUX_CB_LOG) g->log = callback;
}
EXPORTED union selinux_callback selinux_get_callback(int type) {
  union selinux_callback none = {};
  return type == SELINUX_CB_LOG ? g->log : none;
}

// --- Processes ---

EXPORTED int getpidcon_raw(pid_t pid, char** context) { return ContextOfPid(pid, context); }
EXPORTED int getcon_raw(char** context) { return ContextOfPid(getpid(), context); }
EXPORTED int getprevcon_raw(char** context) {
  std::string line;
  if (!ReadLine("previous", &line)) return getcon_raw(context);
  *context = strdup(line.c_str());
  return 0;
}
EXPORTED int getpeercon_raw(int fd, char** context) {
  ucred peer = {};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return -1;
  if (peer.pid == 0) return Fail(ENOPROTOOPT);  // not a connected unix socket
  return ContextOfPid(peer.pid, context);
}

// --- File labels ---

EXPORTED int getfilecon_raw(const char* path, char** context) {
  char label[4096];
  return LabelFrom(getxattr(path, "security.selinux", label, sizeof label), label, context);
}
EXPORTED int lgetfilecon_raw(const char* path, char** context) {
  char label[4096];
  return LabelFrom(lgetxattr(path, "security.selinux", label, sizeof label), label, context);
}
EXPORTED int fgetfilecon_raw(int fd, char** context) {
  char label[4096];
  ssize_t size = fgetxattr(fd, "security.selinux", label, sizeof label);
  if (size < 0 && errno == EBADF) {
    if (fcntl(fd, F_GETFL) < 0) return -1;
    return getfilecon_raw(("/proc/self/fd/" + std::to_string(fd)).c_str(), context);
  }
  return LabelFrom(size, label, context);
}

EXPORTED int security_check_context_raw(const char* context);

// The kernel takes only labels that its policy knows (without CAP_MAC_ADMIN).
EXPORTED int setfilecon_raw(const char* path, const char* context) {
  if (security_check_context_raw(context) < 0) return -1;
  return setxattr(path, "security.selinux", context, strlen(context) + 1, 0);
}
EXPORTED int lsetfilecon_raw(const char* path, const char* context) {
  if (security_check_context_raw(context) < 0) return -1;
  return lsetxattr(path, "security.selinux", context, strlen(context) + 1, 0);
}
EXPORTED int fsetfilecon_raw(int fd, const char* context) {
  if (security_check_context_raw(context) < 0) return -1;
  return fsetxattr(fd, "security.selinux", context, strlen(context) + 1, 0);
}

EXPORTED selabel_handle* selabel_open(unsigned backend, const selinux_opt* options, unsigned count) {
  const auto real = Real<selabel_handle*(unsigned, const selinux_opt*, unsigned)>("selabel_open");
  if (real == nullptr) return Fail(ENOSYS), nullptr;
  std::vector<selinux_opt> all(options, options + count);
  bool has_path = false;
  for (const selinux_opt& option : all) has_path |= option.type == SELABEL_OPT_PATH && option.value != nullptr;
  const std::string own = g->directory + "/file_contexts";
  if (!has_path) all.push_back({SELABEL_OPT_PATH, own.c_str()});
  return real(backend, all.data(), static_cast<unsigned>(all.size()));
}
EXPORTED void selabel_close(selabel_handle* handle) { Real<void(selabel_handle*)>("selabel_close")(handle); }
EXPORTED int selabel_lookup_raw(selabel_handle* handle, char** context, const char* key, int type) {
  return Real<int(selabel_handle*, char**, const char*, int)>("selabel_lookup_raw")(handle, context, key, type);
}

// --- Questions to the policy ---

EXPORTED int security_compute_av_flags_raw(const char* source, const char* target, security_class_t tclass,
                                           access_vector_t requested, struct av_decision* decision) {
  sepol_security_id_t source_sid, target_sid;
  if (ToSid(source, &source_sid) < 0 || ToSid(target, &target_sid) < 0) return -1;
  *decision = {};
  decision->decided = 0xffffffff;
  decision->auditdeny = 0xffffffff;
  decision->seqno = g->page->policyload;
  if (ebitmap_get_bit(&Db()->permissive_map, TypeOf(source))) decision->flags |= SELINUX_AVD_FLAGS_PERMISSIVE;
  // As the kernel: class 0 is "unknown", and follows handle_unknown; a number past the last class
  // is a mistake, and gets nothing.
  if (tclass == 0) {
    if (AllowUnknown()) decision->allowed = 0xffffffff;
    return 0;
  }
  if (tclass > Db()->p_classes.nprim) return 0;
  sepol_av_decision answer = {};
  if (sepol_compute_av(source_sid, target_sid, tclass, requested, &answer) != 0) return Fail(EINVAL);
  decision->allowed = answer.allowed;
  decision->auditallow = answer.auditallow;
  decision->auditdeny = answer.auditdeny;
  return 0;
}
EXPORTED int security_compute_create_raw(const char* source, const char* target, security_class_t tclass,
                                         char** context) {
  return Compute(sepol_transition_sid, source, target, tclass, context);
}
EXPORTED int security_compute_create_name_raw(const char* source, const char* target, security_class_t tclass,
                                              const char* name, char** context) {
  if (Compute(sepol_transition_sid, source, target, tclass, context) < 0) return -1;
  return name == nullptr ? 0 : ApplyNamedRule(source, target, tclass, name, context);
}
EXPORTED int security_compute_relabel_raw(const char* source, const char* target, security_class_t tclass,
                                          char** context) {
  return Compute(sepol_change_sid, source, target, tclass, context);
}
EXPORTED int security_compute_member_raw(const char* source, const char* target, security_class_t tclass,
                                         char** context) {
  return Compute(sepol_member_sid, source, target, tclass, context);
}
EXPORTED int security_canonicalize_context_raw(const char* context, char** canonical) {
  sepol_security_id_t sid;
  return ToSid(context, &sid) < 0 ? -1 : FromSid(sid, canonical);
}
EXPORTED int security_check_context_raw(const char* context) {
  sepol_security_id_t sid;
  return ToSid(context, &sid);
}
EXPORTED int selinux_trans_to_raw_context(const char* translated, char** raw) {
  *raw = strdup(Translate(translated, true).c_str());
  return 0;
}
EXPORTED int selinux_raw_to_trans_context(const char* raw, char** translated) {
  *translated = strdup(Translate(raw, false).c_str());
  return 0;
}

// --- Classes and permissions: known once looked up by name, as in libselinux ---

EXPORTED security_class_t string_to_security_class(const char* name) {
  if (const auto known = g->classes.find(name); known != g->classes.end()) return known->second.value;
  ClassEntry entry = {};
  if (!g->enabled || sepol_string_to_security_class(name, &entry.value) != 0) {
    errno = EINVAL;
    return 0;
  }
  for (unsigned bit = 0; bit < 32; ++bit) {
    const char* permission = sepol_av_perm_to_string(entry.value, 1u << bit);
    std::string text = permission == nullptr ? "" : permission;
    text.erase(0, text.find_first_not_of(" {"));
    text.erase(std::min(text.size(), text.find_first_of(" }")));
    if (text.empty() || text == "null") break;
    entry.permissions.push_back(text);
  }
  g->classes[name] = entry;
  return entry.value;
}
namespace {
const std::pair<const std::string, ClassEntry>* KnownClass(security_class_t value) {
  for (const auto& entry : g->classes) {
    if (entry.second.value == value) return &entry;
  }
  errno = EINVAL;
  return nullptr;
}
}  // namespace
EXPORTED const char* security_av_perm_to_string(security_class_t tclass, access_vector_t permission) {
  const auto* known = KnownClass(tclass);
  for (size_t bit = 0; known != nullptr && bit < known->second.permissions.size(); ++bit) {
    if (permission == 1u << bit) return known->second.permissions[bit].c_str();
  }
  errno = EINVAL;
  return nullptr;
}
EXPORTED void selinux_flush_class_cache() { g->classes.clear(); }

// --- Booleans ---

namespace {
cond_bool_datum_t* Boolean(const char* name) {
  void* found = hashtab_search(Db()->p_bools.table, name);
  if (found == nullptr) errno = ENOENT;
  return static_cast<cond_bool_datum_t*>(found);
}
}  // namespace

EXPORTED int security_get_boolean_names(char*** names, int* count) {
  if (!g->enabled) return Fail(ENOENT);
  std::map<std::string, bool> sorted;
  ForEach(Db()->p_bools.table, [&sorted](const char* name, void*) { sorted[name] = true; });
  *names = static_cast<char**>(calloc(sorted.size() + 1, sizeof(char*)));
  *count = 0;
  for (const auto& entry : sorted) (*names)[(*count)++] = strdup(entry.first.c_str());
  return 0;
}
EXPORTED int security_get_boolean_active(const char* name) {
  if (!g->enabled) return Fail(ENOENT);
  const cond_bool_datum_t* boolean = Boolean(name);
  return boolean == nullptr ? -1 : boolean->state != 0;
}
EXPORTED int security_get_boolean_pending(const char* name) {
  const auto pending = g->pending.find(name);
  return pending != g->pending.end() ? pending->second : security_get_boolean_active(name);
}
EXPORTED int security_set_boolean(const char* name, int value) {
  if (!g->enabled) return Fail(ENOENT);
  if (Boolean(name) == nullptr) return -1;
  if (value != 0 && value != 1) return Fail(EINVAL);
  g->pending[name] = value != 0;
  return 0;
}
// The kernel counts this as a policy load.
EXPORTED int security_commit_booleans() {
  if (!g->enabled) return Fail(ENOENT);
  for (const auto& [name, value] : g->pending) Boolean(name.c_str())->state = value;
  g->pending.clear();
  evaluate_conds(Db());
  ChangeStatus([](StatusPage* page) { ++page->policyload; });
  return 0;
}
EXPORTED int security_set_boolean_list(size_t count, SELboolean* list, int) {
  for (size_t i = 0; i < count; ++i) {
    if (security_set_boolean(list[i].name, list[i].value) < 0) {
      const int error = errno;
      for (size_t undo = 0; undo < i; ++undo) g->pending.erase(list[undo].name);
      return Fail(error);
    }
  }
  return security_commit_booleans();
}
