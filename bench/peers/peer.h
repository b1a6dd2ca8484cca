/* What every C peer shares: it is a process that measures on request, so that its samples can be
 * interleaved with those of the addon and see the same machine.
 *
 *   stdin   SAMPLES BATCH      one request a line; end of file ends the peer
 *   stdout  N N N …            one answer a line: nanoseconds of one operation, a number a sample
 *
 * A sample is the mean of BATCH operations in a row. One batch before the samples is not counted.
 * A peer that cannot do its operation says why on stderr and exits with 1: a failing operation is
 * never timed. */
#ifndef VMENTRY_BENCH_PEER_H
#define VMENTRY_BENCH_PEER_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline uint64_t peer_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline _Noreturn void peer_fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, errno != 0 ? strerror(errno) : "unexpected answer");
  exit(1);
}

/* Times `batch` operations and returns what they took together, in nanoseconds. A function and not
 * one operation: the loop belongs to the operation, so that no indirect call is measured. */
typedef uint64_t (*peer_batch)(unsigned batch);

static inline int peer_serve(peer_batch measure) {
  unsigned samples, batch;
  int fields;
  while ((fields = scanf("%u %u", &samples, &batch)) == 2 && samples > 0 && batch > 0) {
    measure(batch);
    for (unsigned i = 0; i < samples; i++) printf(i == 0 ? "%.1f" : " %.1f", (double)measure(batch) / batch);
    putchar('\n');
    if (fflush(stdout) != 0) peer_fail("stdout");
  }
  if (fields != EOF) {
    fprintf(stderr, "expected: SAMPLES BATCH\n");
    return 2;
  }
  return 0;
}

#endif
