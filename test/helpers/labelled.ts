// What the tests of launches on the fake host share: files with labels, and a start that the policy allows.
import { copyFileSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LaunchOptions } from '../../types/public.js';
import './test-addon.js';

const selinux = await import('../../lib/selinux.js');
const { command } = await import('../../lib/emulators/command.js');

export const CLIENT = 'user_u:user_r:client_t:s0-s0:c0.c7';
/** What {@link CLIENT} gets from a disk of type disk_t. */
export const VM_CONTEXT = 'user_u:user_r:vm_t:s0';

/** Why labels cannot be set here; false where they can: as root, on a kernel without SELinux. */
export function cannotLabel(directory: string): string | false {
  const probe = join(directory, 'label-probe');
  writeFileSync(probe, '');
  try {
    selinux.setfilecon(probe, 'system_u:object_r:disk_t:s0');
    return false;
  } catch {
    return 'labels cannot be set here';
  }
}

/** A file with a label; its path. */
export function labelled(directory: string, name: string, type: string, content = 'x'.repeat(4096)): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  selinux.setfilecon(path, `system_u:object_r:${type}:s0`);
  return path;
}

/** A copy of a program, labelled as an emulator; its path. */
export function labelledProgram(directory: string, name: string, program: string): string {
  const path = join(directory, name);
  copyFileSync(program, path);
  selinux.setfilecon(path, 'system_u:object_r:qemu_exec_t:s0');
  return path;
}

/** Options of a launch that the policy of test/fixtures/policy allows. Its sockets and /dev/null have no labels here. */
export function allowed(directory: string, program: string, args: readonly string[] = []): LaunchOptions {
  const log = openSync(labelled(directory, 'log', 'disk_t'), 'r+');
  return {
    disks: [{ path: labelled(directory, 'disk.raw', 'disk_t'), format: 'raw', readOnly: true }],
    client: CLIENT,
    emulator: command({ path: labelledProgram(directory, 'emulator', program), args }),
    stdio: [log, log, log],
  };
}
