// A stand-in for libaudit.so.1 (it has that name inside: loaded first, it is what a later look for the name finds).
// Records go to the file that FAKE_AUDIT_LOG names when they are written, one `TYPE TEXT` a line.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int audit_open() {
  const char* const path = getenv("FAKE_AUDIT_LOG");
  return open(path != nullptr ? path : "/dev/null", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

EXPORTED int audit_log_user_avc_message(int fd, int type, const char* message, const char*, const char*, const char*,
                                        uid_t) {
  return dprintf(fd, "%d %s\n", type, message);
}
