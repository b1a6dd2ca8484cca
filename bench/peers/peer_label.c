/* Peer: the label of a file by its path: open, fgetfilecon, close.
 *
 *   peer_label PATH
 */
#include <fcntl.h>
#include <selinux/selinux.h>
#include <unistd.h>

#include "peer.h"

static const char* path;

static uint64_t measure(unsigned batch) {
  const uint64_t start = peer_now();
  for (unsigned i = 0; i < batch; i++) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) peer_fail(path);
    char* context;
    if (fgetfilecon_raw(fd, &context) < 0) peer_fail("fgetfilecon_raw");
    freecon(context);
    close(fd);
  }
  return peer_now() - start;
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s PATH\n", argv[0]);
    return 2;
  }
  path = argv[1];
  return peer_serve(measure);
}
