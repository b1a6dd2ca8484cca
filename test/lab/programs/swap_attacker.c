// Attacks the time between a check and its use: renames, replaces and relabels one image path as fast as
// it can, until it gets SIGTERM.
//
//   swap_attacker DIRECTORY NAME PAUSE_US LABEL…
//
// The path is DIRECTORY/NAME; a second image beside it, NAME.other, changes places with it. Each new file
// has a label of the list, and each relabelling gives one of the list. PAUSE_US is the longest pause that
// it makes now and then (0: none), because a launch needs some moments of peace to succeed at all.
//
// stdout is a log of all labels ever given, for whoever wants to know afterwards which label which file
// had when: one line `BEFORE AFTER INODE INDEX` for each, with CLOCK_MONOTONIC in ns right before and
// after the call, and the label's place in the list. This process is the only one that labels.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;
static void stop(int signal) {
  (void)signal;
  stopped = 1;
}

static _Noreturn void fail(const char* what) {
  fprintf(stderr, "swap_attacker: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// xorshift: a fixed seed, so that a run differs from the next only by timing.
static uint64_t random_state = 88172645463325252u;
static unsigned random_below(unsigned limit) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (unsigned)(random_state >> 33) % limit;
}

static char** labels;
static unsigned label_count;

// Labels what `path` names and logs it. Nobody else renames, so the file is the one that lstat finds.
static void relabel(const char* path) {
  const unsigned index = random_below(label_count);
  struct stat status;
  if (lstat(path, &status) != 0) fail(path);
  const uint64_t before = now();
  // With the NUL, as libselinux writes it.
  if (lsetxattr(path, "security.selinux", labels[index], strlen(labels[index]) + 1, 0) != 0) fail("lsetxattr");
  printf("%llu %llu %llu %u\n", (unsigned long long)before, (unsigned long long)now(),
         (unsigned long long)status.st_ino, index);
}

static void create(const char* path) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) fail(path);
  if (ftruncate(fd, 65536) != 0) fail(path);
  close(fd);
  relabel(path);
}

static void exchange(const char* one, const char* other) {
  if (renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) != 0) fail("renameat2");
}

int main(int argc, char** argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: swap_attacker DIRECTORY NAME PAUSE_US LABEL...\n");
    return 2;
  }
  if (chdir(argv[1]) != 0) fail(argv[1]);
  const char* const image = argv[2];
  const unsigned pause_us = (unsigned)strtoul(argv[3], NULL, 10);
  labels = argv + 4;
  label_count = (unsigned)argc - 4;
  char other[256], fresh[256], aside[256], symbolic[256];
  snprintf(other, sizeof other, "%s.other", image);
  snprintf(fresh, sizeof fresh, "%s.fresh", image);
  snprintf(aside, sizeof aside, "%s.aside", image);
  snprintf(symbolic, sizeof symbolic, "%s.link", image);

  struct sigaction action = {.sa_handler = stop};
  sigaction(SIGTERM, &action, NULL);
  static char buffer[1 << 16];
  setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
  create(image);
  create(other);
  if (symlink(other, symbolic) != 0) fail(symbolic);
  // Whoever started this waits for the first lines.
  fflush(stdout);

  while (!stopped) {
    switch (random_below(8)) {
      case 0:
      case 1:
      case 2:
        relabel(image);
        break;
      case 3:
        relabel(other);
        break;
      case 4:
        exchange(image, other);
        break;
      case 5:  // a new file in its place; the old one is gone
        create(fresh);
        if (rename(fresh, image) != 0) fail("rename");
        break;
      case 6:  // a symbolic link for a moment
        exchange(image, symbolic);
        exchange(image, symbolic);
        break;
      default:  // nothing for a moment
        if (rename(image, aside) != 0 || rename(aside, image) != 0) fail("rename");
        break;
    }
    if (pause_us != 0 && random_below(4) == 0) {
      const struct timespec time = {0, (long)random_below(pause_us) * 1000};
      nanosleep(&time, NULL);
    }
  }
  return fflush(stdout) == 0 ? 0 : 1;
}
