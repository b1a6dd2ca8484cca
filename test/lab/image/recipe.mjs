/** What the guest consists of. A change here builds the whole image anew. */

import { guestSuite, thisHost } from './suite.mjs';

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
  'bzip2',
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
  return { revision, suite: guestSuite(thisHost()), packages, excludedPaths };
}
