// The functions of libselinux that this project calls: one line each with the exact C signature. The
// member declarations and the dlsym table of Library are both made from this list, so that neither
// can miss an entry. test/native/selinux_library_test.cc holds it against <selinux/selinux.h>.
//
// REQUIRED functions are in every libselinux since 3.1 (2020). OPTIONAL ones came later: where they
// are missing the member is null and a call of it answers ENOSYS.
#pragma once

#define VMENTRY_SELINUX_SYMBOLS(REQUIRED, OPTIONAL)                                                             \
  /* The running system. */                                                                                     \
  REQUIRED(int, is_selinux_enabled, ())                                                                         \
  REQUIRED(int, is_selinux_mls_enabled, ())                                                                     \
  REQUIRED(int, security_deny_unknown, ())                                                                      \
  REQUIRED(int, security_reject_unknown, ())                                                                    \
  REQUIRED(int, security_getenforce, ())                                                                        \
  REQUIRED(int, security_setenforce, (int value))                                                               \
  REQUIRED(int, security_policyvers, ())                                                                        \
  REQUIRED(int, selinux_getpolicytype, (char** type))                                                           \
  /* Memory that libselinux gave out. */                                                                        \
  REQUIRED(void, freecon, (char* context))                                                                      \
  /* Processes, in raw form (all contexts here are). The per-thread setters are missing on purpose:             \
   * thread_attributes.h. */                                                                                    \
  REQUIRED(int, getcon_raw, (char** context))                                                                   \
  REQUIRED(int, getpidcon_raw, (pid_t pid, char** context))                                                     \
  REQUIRED(int, getprevcon_raw, (char** context))                                                               \
  OPTIONAL(int, getpidprevcon_raw, (pid_t pid, char** context))                                                 \
  REQUIRED(int, getpeercon_raw, (int fd, char** context))                                                       \
  /* File labels. */                                                                                            \
  REQUIRED(int, getfilecon_raw, (const char* path, char** context))                                             \
  REQUIRED(int, lgetfilecon_raw, (const char* path, char** context))                                            \
  REQUIRED(int, fgetfilecon_raw, (int fd, char** context))                                                      \
  REQUIRED(int, setfilecon_raw, (const char* path, const char* context))                                        \
  REQUIRED(int, lsetfilecon_raw, (const char* path, const char* context))                                       \
  REQUIRED(int, fsetfilecon_raw, (int fd, const char* context))                                                 \
  REQUIRED(selabel_handle*, selabel_open, (unsigned int backend, const LabelOption* options, unsigned count))   \
  REQUIRED(void, selabel_close, (selabel_handle * handle))                                                      \
  REQUIRED(int, selabel_lookup_raw, (selabel_handle * handle, char** context, const char* key, int type))       \
  /* Questions to the policy. */                                                                                \
  REQUIRED(int, security_compute_av_flags_raw,                                                                  \
           (const char* source, const char* target, uint16_t tclass, uint32_t requested, AvDecision* decision)) \
  REQUIRED(int, security_compute_create_raw,                                                                    \
           (const char* source, const char* target, uint16_t tclass, char** context))                           \
  REQUIRED(int, security_compute_create_name_raw,                                                               \
           (const char* source, const char* target, uint16_t tclass, const char* name, char** context))         \
  REQUIRED(int, security_compute_relabel_raw,                                                                   \
           (const char* source, const char* target, uint16_t tclass, char** context))                           \
  REQUIRED(int, security_compute_member_raw,                                                                    \
           (const char* source, const char* target, uint16_t tclass, char** context))                           \
  REQUIRED(int, security_check_context_raw, (const char* context))                                              \
  REQUIRED(int, security_canonicalize_context_raw, (const char* context, char** canonical))                     \
  REQUIRED(int, selinux_trans_to_raw_context, (const char* translated, char** raw))                             \
  REQUIRED(int, selinux_raw_to_trans_context, (const char* raw, char** translated))                             \
  /* Classes and permissions. */                                                                                \
  REQUIRED(uint16_t, string_to_security_class, (const char* name))                                              \
  REQUIRED(const char*, security_av_perm_to_string, (uint16_t tclass, uint32_t permission))                     \
  REQUIRED(void, selinux_flush_class_cache, ())                                                                 \
  /* Booleans. */                                                                                               \
  REQUIRED(int, security_get_boolean_names, (char*** names, int* count))                                        \
  REQUIRED(int, security_get_boolean_active, (const char* name))                                                \
  REQUIRED(int, security_get_boolean_pending, (const char* name))                                               \
  REQUIRED(int, security_set_boolean, (const char* name, int value))                                            \
  REQUIRED(int, security_commit_booleans, ())                                                                   \
  REQUIRED(int, security_set_boolean_list, (size_t count, BooleanSetting * list, int permanent))                \
  /* The log callback, which writes to stderr unless replaced. */                                               \
  REQUIRED(void, selinux_set_callback, (int type, SelinuxCallback callback))                                    \
  REQUIRED(SelinuxCallback, selinux_get_callback, (int type))
