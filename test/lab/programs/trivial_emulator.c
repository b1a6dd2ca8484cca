// Stands in for an emulator where thousands are started: says on stdout in which context it runs and
// what the inherited descriptor argv[1] is, then ends. One line of `key=value`, in this order:
//
//   started     CLOCK_MONOTONIC in ns when main began
//   context     of this process
//   device, inode, type   of the descriptor, from fstat
//   label       of the descriptor, from fgetxattr
//   read        what reading its first byte gives: 0, or the errno
//   looked      CLOCK_MONOTONIC in ns when all of this was known
//
// A value that could not be had is `!` and the errno.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static unsigned long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (unsigned long long)time.tv_sec * 1000000000u + (unsigned long long)time.tv_nsec;
}

// Cuts `text`, of which `size` bytes were read, at its NUL or newline; a negative size is an error.
static const char* finish(char* text, ssize_t size) {
  if (size < 0) {
    sprintf(text, "!%d", errno);
  } else {
    text[size] = '\0';
    text[strcspn(text, "\n")] = '\0';
  }
  return text;
}

int main(int argc, char** argv) {
  const unsigned long long started = now();
  if (argc != 2) {
    fprintf(stderr, "usage: trivial_emulator DESCRIPTOR\n");
    return 2;
  }
  const int image = atoi(argv[1]);
  static char context[4097], label[4097];
  const int attribute = open("/proc/thread-self/attr/current", O_RDONLY | O_CLOEXEC);
  finish(context, attribute < 0 ? -1 : read(attribute, context, sizeof context - 1));
  struct stat status = {0};
  const int known = fstat(image, &status) == 0;
  finish(label, fgetxattr(image, "security.selinux", label, sizeof label - 1));
  char byte;
  const int read_error = pread(image, &byte, 1, 0) < 0 ? errno : 0;
  printf("started=%llu context=%s device=%u:%u inode=%llu type=%o label=%s read=%d looked=%llu\n", started, context,
         major(status.st_dev), minor(status.st_dev), (unsigned long long)status.st_ino,
         known ? (unsigned)(status.st_mode & S_IFMT) : 0u, label, read_error, now());
  return fflush(stdout) == 0 ? 0 : 1;
}
