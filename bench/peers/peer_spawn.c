/* Peer: vfork and exec of say_clock, from a small process.
 *
 *   peer_spawn [--context CONTEXT] [--returned] PROGRAM
 *
 * One operation ends when the program runs, by its own clock; with --returned, when vfork returns in
 * the parent, which is when the exec is done. With --context the exec asks for that context, which
 * the parent sets before the vfork (libselinux in a vfork child would leave its cache wrong). The
 * socket pair is made before the clock starts and the child is reaped after it stops: only vfork and
 * exec (and the context) are timed. */
#include <selinux/selinux.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

static const char* context;
static bool returned;
static char* program_argv[2];

static uint64_t spawn_once(void) {
  char* environment[] = {NULL};
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) peer_fail("socketpair");

  const uint64_t start = peer_now();
  if (context != NULL && setexeccon_raw(context) != 0) peer_fail("setexeccon");
  const pid_t pid = vfork();
  if (pid == 0) {
    if (dup2(pair[1], STDOUT_FILENO) >= 0) execve(program_argv[0], program_argv, environment);
    _exit(127);
  }
  const uint64_t back = peer_now();
  if (pid < 0) peer_fail("vfork");

  if (context != NULL && setexeccon_raw(NULL) != 0) peer_fail("setexeccon");
  close(pair[1]);
  char answer[32];
  size_t length = 0;
  ssize_t got;
  while (length < sizeof answer - 1 && (got = read(pair[0], answer + length, sizeof answer - 1 - length)) > 0)
    length += (size_t)got;
  answer[length] = '\0';
  close(pair[0]);
  int status;
  if (waitpid(pid, &status, 0) != pid) peer_fail("waitpid");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || length == 0) {
    errno = 0;
    peer_fail(program_argv[0]);
  }
  return (returned ? back : strtoull(answer, NULL, 10)) - start;
}

static uint64_t measure(unsigned batch) {
  uint64_t took = 0;
  for (unsigned i = 0; i < batch; i++) took += spawn_once();
  return took;
}

int main(int argc, char** argv) {
  int next = 1;
  for (; next < argc && argv[next][0] == '-'; next++) {
    if (strcmp(argv[next], "--returned") == 0)
      returned = true;
    else if (strcmp(argv[next], "--context") == 0 && next + 1 < argc)
      context = argv[++next];
    else
      next = argc;
  }
  if (next + 1 != argc) {
    fprintf(stderr, "usage: %s [--context CONTEXT] [--returned] PROGRAM\n", argv[0]);
    return 2;
  }
  program_argv[0] = argv[next];
  return peer_serve(measure);
}
