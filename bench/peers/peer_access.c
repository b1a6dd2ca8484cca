/* Peer: one access question that libselinux's own cache answers.
 *
 *   peer_access avc_has_perm|selinux_check_access SOURCE TARGET CLASS PERMISSION
 *
 * The question must be granted (a denial would be audited, and that would be what is timed) and must
 * be a hit: the cache's own statistics are compared before and after. */
#include <selinux/avc.h>
#include <selinux/selinux.h>

#include "peer.h"

/* The AVC entry points are marked deprecated in favour of selinux_check_access; they are the faster
 * peer, and what object managers use. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static const char *source, *target, *class_name, *permission_name;
static security_id_t source_sid, target_sid;
static security_class_t class_value;
static access_vector_t permission;
static struct avc_entry_ref reference;

static void require_hits(const struct avc_cache_stats* before) {
  struct avc_cache_stats after;
  avc_cache_stats(&after);
  if (after.cav_misses == before->cav_misses) return;
  fprintf(stderr, "the question was not answered from the cache\n");
  exit(1);
}

static uint64_t measure_has_perm(unsigned batch) {
  struct avc_cache_stats before;
  avc_cache_stats(&before);
  const uint64_t start = peer_now();
  for (unsigned i = 0; i < batch; i++)
    if (avc_has_perm(source_sid, target_sid, class_value, permission, &reference, NULL) != 0) peer_fail("avc_has_perm");
  const uint64_t took = peer_now() - start;
  require_hits(&before);
  return took;
}

static uint64_t measure_check_access(unsigned batch) {
  struct avc_cache_stats before;
  avc_cache_stats(&before);
  const uint64_t start = peer_now();
  for (unsigned i = 0; i < batch; i++)
    if (selinux_check_access(source, target, class_name, permission_name, NULL) != 0) peer_fail("selinux_check_access");
  const uint64_t took = peer_now() - start;
  require_hits(&before);
  return took;
}

int main(int argc, char** argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: %s avc_has_perm|selinux_check_access SOURCE TARGET CLASS PERMISSION\n", argv[0]);
    return 2;
  }
  source = argv[2];
  target = argv[3];
  class_name = argv[4];
  permission_name = argv[5];
  /* Both functions grant everything where SELinux is off. */
  if (is_selinux_enabled() != 1) {
    fprintf(stderr, "SELinux is not enabled in this kernel\n");
    return 1;
  }
  class_value = string_to_security_class(class_name);
  if (class_value == 0) peer_fail(class_name);
  permission = string_to_av_perm(class_value, permission_name);
  if (permission == 0) peer_fail(permission_name);

  /* Opens the AVC and brings the entry in. */
  if (selinux_check_access(source, target, class_name, permission_name, NULL) != 0) peer_fail("selinux_check_access");
  if (strcmp(argv[1], "selinux_check_access") == 0) return peer_serve(measure_check_access);
  if (strcmp(argv[1], "avc_has_perm") != 0) peer_fail(argv[1]);
  if (avc_context_to_sid_raw(source, &source_sid) != 0) peer_fail(source);
  if (avc_context_to_sid_raw(target, &target_sid) != 0) peer_fail(target);
  avc_entry_ref_init(&reference);
  if (avc_has_perm(source_sid, target_sid, class_value, permission, &reference, NULL) != 0) peer_fail("avc_has_perm");
  return peer_serve(measure_has_perm);
}
