// Contexts as strings: their two forms, what policy accepts, and whose they are (processes, peers).
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "core/result.h"

namespace vmentry::selinux {

class Library;

// The library where SELinux is enabled, ERR_SELINUX_* elsewhere. Where it is off several functions of
// libselinux succeed without a context, and others hand out what another security module says: what
// concerns the running kernel starts here.
Result<const Library*> EnabledLibrary();

// Raw is what the kernel uses. Translated is for people: with the translation daemon mcstransd the
// level reads "Secret" instead of "s2"; each such call talks to the daemon over a socket and blocks.
enum class Form { kRaw, kTranslated };

// No context that the kernel could read contains a blank or a control character. A question to the
// kernel is one line of words, so one that did would become another question.
bool IsRawContext(std::string_view context);
// `context` as it came from a caller, in raw form: ERR_SELINUX_CONTEXT_INVALID when it cannot be one.
Result<std::string> ToRaw(std::string_view syscall, const std::string& context, Form form);
// A raw context in the form the caller wants.
Result<std::string> FromRaw(std::string raw, Form form);
Error UnknownContext(std::string_view syscall, std::string_view context);

// selinux_trans_to_raw_context(3), selinux_raw_to_trans_context(3).
Result<std::string> TranslatedToRaw(const std::string& translated);
Result<std::string> RawToTranslated(const std::string& raw);

// Whether the loaded policy accepts the context. security_check_context(3).
Result<bool> CheckContext(const std::string& context, Form form);
// The kernel's own spelling of a context; ERR_SELINUX_CONTEXT_INVALID when policy does not know it.
Result<std::string> CanonicalizeContext(const std::string& context, Form form);

// getcon(3), getprevcon(3): the calling thread's.
Result<std::string> CurrentContext(Form form);
Result<std::string> PreviousContext(Form form);
// getpidcon(3). Racy by nature: the process may exec or be replaced; never a ground for a decision.
Result<std::string> ProcessContext(pid_t pid, Form form);
// getpidprevcon(3): what it was before its last exec. ENOSYS before libselinux 3.5.
Result<std::string> PreviousProcessContext(pid_t pid, Form form);
// getpeercon(3): the other end of a connected unix socket, as it was at connect(2). ENOPROTOOPT where
// a socket has no such thing.
Result<std::string> PeerContext(int fd, Form form);

}  // namespace vmentry::selinux
