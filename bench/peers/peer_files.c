/* Peer: the labels of many files, one after another.
 *
 *   peer_files open|look LIST        LIST: a file with one path a line
 *
 * open: open, fgetfilecon, fstat, close. look: lstat, lgetxattr, lstat, the system calls that
 * decideMany makes. One operation is the whole list. */
#include <fcntl.h>
#include <selinux/selinux.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "peer.h"

static char** paths;
static size_t path_count;

static void read_list(const char* name) {
  FILE* list = fopen(name, "re");
  if (list == NULL) peer_fail(name);
  char* line = NULL;
  size_t size = 0, room = 0;
  ssize_t length;
  while ((length = getline(&line, &size, list)) > 0) {
    if (line[length - 1] == '\n') line[length - 1] = '\0';
    if (path_count == room) {
      room = room == 0 ? 1024 : 2 * room;
      paths = realloc(paths, room * sizeof *paths);
      if (paths == NULL) peer_fail("realloc");
    }
    paths[path_count] = strdup(line);
    if (paths[path_count++] == NULL) peer_fail("strdup");
  }
  free(line);
  fclose(list);
  if (path_count == 0) peer_fail(name);
}

static void open_and_label(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) peer_fail(path);
  char* context;
  if (fgetfilecon_raw(fd, &context) < 0) peer_fail("fgetfilecon_raw");
  freecon(context);
  struct stat status;
  if (fstat(fd, &status) != 0) peer_fail("fstat");
  if (!S_ISREG(status.st_mode)) peer_fail(path);
  close(fd);
}

static void look_at_label(const char* path) {
  struct stat before, after;
  char context[256];
  if (lstat(path, &before) != 0) peer_fail(path);
  if (lgetxattr(path, "security.selinux", context, sizeof context) <= 0) peer_fail("lgetxattr");
  if (lstat(path, &after) != 0) peer_fail(path);
  if (!S_ISREG(after.st_mode) || before.st_ino != after.st_ino) peer_fail(path);
}

static uint64_t measure_open(unsigned batch) {
  const uint64_t start = peer_now();
  for (unsigned i = 0; i < batch; i++)
    for (size_t f = 0; f < path_count; f++) open_and_label(paths[f]);
  return peer_now() - start;
}

static uint64_t measure_look(unsigned batch) {
  const uint64_t start = peer_now();
  for (unsigned i = 0; i < batch; i++)
    for (size_t f = 0; f < path_count; f++) look_at_label(paths[f]);
  return peer_now() - start;
}

int main(int argc, char** argv) {
  const int look = argc == 3 && strcmp(argv[1], "look") == 0;
  if (argc != 3 || (!look && strcmp(argv[1], "open") != 0)) {
    fprintf(stderr, "usage: %s open|look LIST\n", argv[0]);
    return 2;
  }
  read_list(argv[2]);
  return peer_serve(look ? measure_look : measure_open);
}
