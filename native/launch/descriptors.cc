#include "launch/descriptors.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/system_calls.h"
#include "decision/context_fields.h"
#include "launch/child_status.h"
#include "selinux/thread_attributes.h"

#ifndef SELINUX_MAGIC
#define SELINUX_MAGIC 0xf97cff8c
#endif

namespace vmentry::launch {
namespace {

// As socket_type_to_security_class() of the kernel's security/selinux/hooks.c, for the families that
// a VMM is given. Anything else is asked about as "socket", which policies grant to nobody, so it is
// refused by name and not silently replaced.
const char* SocketClass(int family, int type, int protocol) {
  switch (family) {
    case AF_UNIX:
      return type == SOCK_DGRAM ? "unix_dgram_socket" : "unix_stream_socket";
    case AF_INET:
    case AF_INET6:
      if (type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP)) {
        return "tcp_socket";
      }
      if (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP)) return "udp_socket";
      if (protocol == IPPROTO_SCTP) return "sctp_socket";
      if (type == SOCK_DGRAM && (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)) return "icmp_socket";
      return "rawip_socket";
    case AF_PACKET:
      return "packet_socket";
    case AF_VSOCK:
      return "vsock_socket";
    case AF_ALG:
      return "alg_socket";
    case AF_XDP:
      return "xdp_socket";
    default:
      return "socket";
  }
}

// Whether what the process has is the null device of selinuxfs, which is what the kernel puts in
// place of a descriptor it takes away.
Result<bool> IsKernelReplacement(int object) {
  VMENTRY_TRY(const struct statfs file_system, sys::Fstatfs(object));
  return static_cast<unsigned long>(file_system.f_type) == SELINUX_MAGIC;
}

Error Replaced(int target) {
  return Error::Coded("ERR_LAUNCH_DESCRIPTORS",
                      "Descriptor " + std::to_string(target) +
                          " of the VM is not the one it was given: its domain may not use it. Look for a denial of "
                          "fd { use }, or of reading or writing that object, in the audit log");
}

// Socket pairs and not pipes, as in child_process; a pipe could not be given a label either.
Status MakeSockets(std::vector<StdioEntry>* entries) {
  for (StdioEntry& entry : *entries) {
    if (entry.kind != StdioEntry::Kind::kSocket) continue;
    VMENTRY_TRY(sys::FdPair pair, sys::SocketPair(AF_UNIX, SOCK_STREAM));
    entry.ours = std::move(pair.first);
    entry.source = std::move(pair.second);
  }
  return Ok();
}

}  // namespace

std::string SocketContext(const std::string& launcher, const std::string& vm) {
  decision::ContextFields fields = decision::ContextFields::Of(launcher);
  const std::string_view range = decision::ContextFields::Of(vm).range;
  if (fields.range.empty() || range.empty()) return launcher;
  fields.range = range;
  return fields.Join();
}

Status MakeStdio(std::vector<StdioEntry>* entries, const std::string& socket_context) {
  const bool any_socket = std::any_of(entries->begin(), entries->end(),
                                      [](const StdioEntry& entry) { return entry.kind == StdioEntry::Kind::kSocket; });
  if (any_socket && socket_context.empty()) {
    VMENTRY_CHECK(MakeSockets(entries));
  } else if (any_socket) {
    VMENTRY_TRY(auto labelled,
                selinux::ScopedThreadAttribute::Set(selinux::ThreadAttribute::kSockCreate, socket_context));
    Status made = MakeSockets(entries);
    Status cleared = labelled.Clear();
    if (!cleared.ok()) {
      // The launch fails, and this thread makes nothing more: the attribute ends with it.
      labelled.Abandon();
      return cleared;
    }
    VMENTRY_CHECK(std::move(made));
  }
  for (StdioEntry& entry : *entries) {
    if (entry.kind != StdioEntry::Kind::kIgnore) continue;
    constexpr const char* kNull = "/dev/null";
    VMENTRY_TRY(entry.source, sys::OpenAt(AT_FDCWD, kNull, O_RDWR));
    // A file in its place (a container's /dev, a mishap with `>`) would collect what the VM writes.
    VMENTRY_TRY(const struct stat status, sys::Fstat(entry.source.get(), kNull));
    if (!S_ISCHR(status.st_mode) || status.st_rdev != makedev(1, 3)) {
      return Error::Coded("ERR_LAUNCH_DESCRIPTORS", "It is not the null device", kNull);
    }
  }
  return Ok();
}

Result<decision::DescriptorQuestion> QuestionAbout(int fd, const std::string& name) {
  decision::DescriptorQuestion question;
  question.name = name;
  VMENTRY_TRY(const struct stat status, sys::Fstat(fd));
  // Anonymous inodes (eventfd, a KVM descriptor, …) are private to the kernel: it asks for `fd use` only.
  if ((status.st_mode & S_IFMT) == 0) return question;
  if (S_ISSOCK(status.st_mode)) {
    // A descriptor of it: what ClassOfMode names is the file of a bound one.
    VMENTRY_TRY(const int family, sys::SocketOption(fd, SO_DOMAIN));
    VMENTRY_TRY(const int type, sys::SocketOption(fd, SO_TYPE));
    VMENTRY_TRY(const int protocol, sys::SocketOption(fd, SO_PROTOCOL));
    question.object_class = SocketClass(family, type, protocol);
  } else {
    question.object_class = decision::ClassOfMode(status.st_mode);
  }
  // The permissions of the kernel's file_to_av(). Not `getattr`: inheriting does not ask for it.
  VMENTRY_TRY(const int flags, sys::StatusFlags(fd));
  if ((flags & O_PATH) != 0) return question;
  const int access = flags & O_ACCMODE;
  if (access == O_RDONLY || access == O_RDWR) question.permissions.emplace_back("read");
  if (access == O_WRONLY || access == O_RDWR) {
    question.permissions.emplace_back((flags & O_APPEND) != 0 ? "append" : "write");
  }
  if (question.permissions.empty()) question.permissions.emplace_back("ioctl");
  VMENTRY_TRY(question.context, sys::SecurityLabel(fd));
  return question;
}

Status VerifyDescriptors(int procfs, pid_t pid, const std::vector<DescriptorMapping>& descriptors, bool exactly) {
  const std::string directory_path = std::to_string(pid) + "/fd";
  if (exactly) {
    VMENTRY_TRY(const std::vector<int> found, ListDescriptors(procfs, pid));
    std::vector<int> given;
    given.reserve(descriptors.size());
    for (const DescriptorMapping& descriptor : descriptors) given.push_back(descriptor.target);
    std::sort(given.begin(), given.end());
    if (found != given) {
      return Error::Coded("ERR_LAUNCH_DESCRIPTORS", "The VM does not have just the descriptors that it was given");
    }
  }
  VMENTRY_TRY(const UniqueFd directory, sys::OpenBeneath(procfs, directory_path, O_PATH | O_DIRECTORY));
  for (const DescriptorMapping& descriptor : descriptors) {
    // O_PATH reaches the object behind the magic link without opening it.
    Result<UniqueFd> object = sys::OpenAt(directory.get(), std::to_string(descriptor.target), O_PATH);
    if (!object.ok()) {
      if (object.error().errno_value == ENOENT && !exactly) continue;
      object.error().path = "/proc/" + directory_path + "/" + std::to_string(descriptor.target);
      return std::move(object).error();
    }
    VMENTRY_TRY(const struct stat theirs, sys::Fstat(object.value().get()));
    VMENTRY_TRY(const struct stat given, sys::Fstat(descriptor.source));
    if (theirs.st_dev == given.st_dev && theirs.st_ino == given.st_ino) continue;
    if (exactly) return Replaced(descriptor.target);
    VMENTRY_TRY(const bool replaced, IsKernelReplacement(object.value().get()));
    if (replaced) return Replaced(descriptor.target);
  }
  return Ok();
}

}  // namespace vmentry::launch
