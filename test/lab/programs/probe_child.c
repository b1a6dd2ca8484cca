// Reports on stdout how it was started, one `key value` a line: what a launch promises about the new
// process. With arguments `sleep` or `stay` it waits afterwards, with `exit N` it ends with N.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

extern char** environ;

static void report_descriptors(void) {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == NULL) return;
  for (struct dirent* entry; (entry = readdir(directory)) != NULL;) {
    const int fd = atoi(entry->d_name);
    struct stat status;
    if (entry->d_name[0] == '.' || fd == dirfd(directory) || fstat(fd, &status) != 0) continue;
    printf("fd %d %lu:%lu %o %d\n", fd, (unsigned long)status.st_dev, (unsigned long)status.st_ino,
           status.st_mode & S_IFMT, fcntl(fd, F_GETFL));
  }
  closedir(directory);
}

static void report_context(const char* name) {
  char path[64], context[4096];
  snprintf(path, sizeof path, "/proc/self/attr/%s", name);
  const int fd = open(path, O_RDONLY);
  const ssize_t size = fd < 0 ? -1 : read(fd, context, sizeof context - 1);
  if (fd >= 0) close(fd);
  if (size < 0) return;
  context[size] = '\0';
  context[strcspn(context, "\n")] = '\0';
  printf("%s %s\n", name, context);
}

int main(int argc, char** argv) {
  // First of all, before this process opens anything itself.
  report_descriptors();
  for (int i = 0; i < argc; ++i) printf("arg %s\n", argv[i]);
  for (char** variable = environ; *variable != NULL; ++variable) printf("env %s\n", *variable);
  char directory[4096];
  printf("cwd %s\n", getcwd(directory, sizeof directory) != NULL ? directory : "?");
  printf("pid %d\nppid %d\nsid %d\npgid %d\n", getpid(), getppid(), getsid(0), getpgid(0));
  uid_t ruid, euid, suid;
  gid_t rgid, egid, sgid;
  getresuid(&ruid, &euid, &suid);
  getresgid(&rgid, &egid, &sgid);
  printf("uid %u %u %u\ngid %u %u %u\n", ruid, euid, suid, rgid, egid, sgid);
  gid_t groups[128];
  const int count = getgroups(128, groups);
  printf("groups");
  for (int i = 0; i < count; ++i) printf(" %u", groups[i]);
  printf("\n");
  for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) == 0) {
      printf("limit %d %lu %lu\n", resource, (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max);
    }
  }
  sigset_t mask;
  sigprocmask(SIG_BLOCK, NULL, &mask);
  for (int signal = 1; signal < 65; ++signal) {
    struct sigaction action;
    if (sigismember(&mask, signal) == 1) printf("blocked %d\n", signal);
    if (sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN) printf("ignored %d\n", signal);
  }
  printf("secure %lu\n", getauxval(AT_SECURE));
  report_context("current");
  report_context("exec");
  printf("end\n");
  fflush(stdout);
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "stay") == 0) pause();
    if (strcmp(argv[i], "sleep") == 0 && i + 1 < argc) usleep((useconds_t)atoi(argv[i + 1]) * 1000);
    if (strcmp(argv[i], "exit") == 0 && i + 1 < argc) return atoi(argv[i + 1]);
  }
  return 0;
}
