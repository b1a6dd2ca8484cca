// Sends a line together with a descriptor over a unix socket, which Node cannot: so a monitor is given a file.
//
//   send_descriptor SOCKET_FD FILE_FD TEXT
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int file = atoi(argv[2]);
  struct iovec text = {argv[3], strlen(argv[3])};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {
      .msg_iov = &text, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(&control.header), &file, sizeof file);
  if (sendmsg(atoi(argv[1]), &message, 0) == (ssize_t)text.iov_len) return 0;
  perror("sendmsg");
  return 1;
}
