// The kernel's notices of policy loads and mode changes (NETLINK_SELINUX). A notice only means "look
// at the status page": what happened is read there, so that a lost, doubled or forged one does no harm.
//
// The kernel sends a notice just before it changes the page, so one look at once may be too early.
// It sends them in the initial network namespace alone. In another one the socket opens and
// stays silent, so whoever listens must also look from time to time.
#pragma once

#include "core/result.h"
#include "core/unique_fd.h"

namespace vmentry::selinux {

// A descriptor that becomes readable with each notice.
Result<UniqueFd> OpenPolicyEvents();
// Reads everything that waits there, without blocking. An error means that the descriptor is useless.
Status DrainPolicyEvents(int fd);

}  // namespace vmentry::selinux
