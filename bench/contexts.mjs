// The contexts of the example policy (policy/examples/three_levels.cil) which the lab cases ask about.
import { writeFileSync } from 'node:fs';
import { setfilecon } from '../dist/selinux.js';

export const CLIENT = 'system_u:system_r:vm_secret_client_t:s0-s0:c0.c1023';
export const DISK = 'system_u:object_r:vm_secret_virtdisk_t:s0';
export const EMULATOR = 'system_u:object_r:vm_emulator_exec_t:s0';
/** What policy makes of CLIENT and DISK. */
export const VM = 'system_u:system_r:vm_secret_t:s0';

/** What goes with a disk in every lab case: who asks, who execs, what is run. */
export const WHO = { client: CLIENT, launcher: CLIENT, emulator: { context: EMULATOR } };

/** Fails unless `decision` is the grant that the lab cases are about. */
export function requireGrant(decision) {
  const denied = decision.checks.filter((check) => check.denied.length > 0);
  if (
    decision.allowed &&
    decision.evaluated &&
    decision.enforcing &&
    decision.vmContext === VM &&
    denied.length === 0
  ) {
    return decision;
  }
  throw new Error(`not the decision this measures: ${JSON.stringify({ ...decision, checks: denied })}`);
}

/** A small image with that label; null for a host that may have none. */
export function makeImage(path, label = DISK) {
  writeFileSync(path, Buffer.alloc(4096));
  if (label !== null) setfilecon(path, label);
  return path;
}
