// Stands in for an emulator that its guest has taken over: tries what such a program would try, and
// says on stdout what each attempt gave, one `NAME ERRNO` a line (0: it worked).
//
//   captured_emulator IMAGE_FD PATH…     IMAGE_FD: an inherited image; each PATH is opened for reading
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/xattr.h>
#include <unistd.h>

static void say(const char* name, long result) {
  printf("%s %d\n", name, result < 0 ? errno : 0);
  fflush(stdout);
}

static long try_open(const char* path, int flags) {
  const int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
  if (fd >= 0) close(fd);
  return fd;
}

static long try_write(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const ssize_t written = write(fd, text, strlen(text));
  const int error = errno;
  close(fd);
  errno = error;
  return written;
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const int image = atoi(argv[1]);
  char byte = 0, name[64], label[256];
  say("read-inherited", pread(image, &byte, 1, 0));
  say("write-inherited", pwrite(image, "x", 1, 4096));
  snprintf(name, sizeof name, "/proc/self/fd/%d", image);
  say("reopen-inherited", try_open(name, O_RDONLY));
  const ssize_t size = fgetxattr(image, "security.selinux", label, sizeof label);
  say("relabel-inherited", size < 0 ? -1 : fsetxattr(image, "security.selinux", label, (size_t)size, 0));
  say("setcon", try_write("/proc/thread-self/attr/current", "system_u:system_r:init_t:s0"));
  say("setexeccon", try_write("/proc/thread-self/attr/exec", "system_u:system_r:init_t:s0"));
  say("trace-parent", ptrace(PTRACE_ATTACH, getppid(), 0, 0));
  say("kill-parent", kill(getppid(), SIGTERM));
  say("exec-shell", access("/bin/sh", F_OK) == 0 ? try_open("/bin/sh", O_RDONLY) : -1);
  for (int i = 2; i < argc; ++i) {
    char what[4200];
    snprintf(what, sizeof what, "open:%s", argv[i]);
    say(what, try_open(argv[i], O_RDONLY));
  }
  puts("end 0");
  return 0;
}
