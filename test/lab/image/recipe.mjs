/** What the guest consists of. A change here builds the whole image anew. */

import { readFileSync } from 'node:fs';

/** Raised when the way the first stage is built changes without the lists below changing. */
const revision = 1;

const packages = [
  'linux-image-cloud-amd64',
  // SELinux: both policies, and the project's own tools as independent oracles.
  'policycoreutils',
  'selinux-policy-default',
  'selinux-policy-mls',
  'selinux-utils',
  'semodule-utils',
  'checkpolicy',
  'secilc',
  'sepol-utils',
  // Something to launch.
  'qemu-system-x86',
  'qemu-utils',
  // Records of denials, and what tests use to look at processes and disks.
  'auditd',
  'e2fsprogs',
  'kmod',
  'mount',
  'passwd',
  'procps',
  'strace',
  'util-linux',
  'attr',
  // Sockets: the loopback interface and labels of network traffic.
  'iproute2',
  'netlabel-tools',
  // The host's Node and programs built on the host.
  'libstdc++6',
  'libatomic1',
];

/** Documentation is a third of the files; nobody reads it in the guest. */
const excludedPaths = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/info/*', '/usr/share/locale/*'];

/** @returns {{ revision: number, suite: string, packages: string[], excludedPaths: string[] }} */
export function recipe() {
  return { revision, suite: suite(), packages, excludedPaths };
}

/**
 * On Debian the guest is of the same release, so that programs built on the host run in it.
 * @returns {string}
 */
function suite() {
  try {
    const release = readFileSync('/etc/os-release', 'utf8');
    const field = (/** @type {string} */ name) => new RegExp(`^${name}="?([a-z0-9]+)"?$`, 'm').exec(release)?.[1];
    if (field('ID') === 'debian') return field('VERSION_CODENAME') ?? 'bookworm';
  } catch {
    // No such file: not a Debian.
  }
  return 'bookworm';
}
