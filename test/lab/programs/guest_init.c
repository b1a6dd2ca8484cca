// The first process of a guest that boots a real kernel: says on the console what the kernel was told,
// and waits.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

int main(void) {
  char line[512] = "?\n";
  if (mount("proc", "/proc", "proc", 0, NULL) == 0) {
    const int fd = open("/proc/cmdline", O_RDONLY);
    const ssize_t size = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    if (size >= 0) line[size] = '\0';
  }
  printf("[initrd] process %d of a kernel with: %s[end]\n", getpid(), line);
  fflush(stdout);
  for (;;) pause();
}
