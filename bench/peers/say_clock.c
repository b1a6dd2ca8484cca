/* The program that the launch benchmarks start in place of an emulator: says on stdout, in
 * nanoseconds of CLOCK_MONOTONIC, when it began to run, and exits. Linked statically, so that the
 * dynamic loader's time, which is the same whoever does the exec, does not hide what differs. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

int main(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return printf("%llu\n", (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec) > 0 ? 0 : 1;
}
