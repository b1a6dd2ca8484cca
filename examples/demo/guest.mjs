// Inside the lab guest, as the administrator: makes three disks, labels them, and starts the manager
// in the domain that the example policy gives it. Then a client domain tries /dev/kvm by itself.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { getcon, securityGetenforce, setfilecon } from 'vm-entrypoint/selinux';
import { bootableImage } from './boot-sector.mjs';

const directory = '/var/tmp/vm-entrypoint-demo';
const disks = [
  ['unclassified', 'vm_unclass_virtdisk_t'],
  ['secret', 'vm_secret_virtdisk_t'],
  ['topsecret', 'vm_topsecret_virtdisk_t'],
];

console.log(`SELinux is ${securityGetenforce() ? 'enforcing' : 'PERMISSIVE'}.`);
console.log(`This shell runs as ${getcon()}\n`);

mkdirSync(directory, { recursive: true });
for (const [level, type] of disks) {
  const path = `${directory}/${level}.raw`;
  writeFileSync(path, bootableImage(`[guest] booted from the ${level} disk`));
  setfilecon(path, `system_u:object_r:${type}:s0`);
}
// A top secret disk that somebody labelled as a library, readable by every domain.
writeFileSync(`${directory}/leaked.raw`, bootableImage('[guest] THIS MUST NEVER BOOT'));
setfilecon(`${directory}/leaked.raw`, 'system_u:object_r:lib_t:s0');

function runAs(type, args) {
  return spawnSync('runcon', ['-t', type, '--', ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
}

// Emulated, a program like Node takes seconds to start.
console.error('demo: the disks are labelled; starting the manager in its own domain');
const manager = runAs('vm_manager_t', [process.execPath, new URL('manager.mjs', import.meta.url).pathname, directory]);

console.log('\n== A client that writes its own monitor, against /dev/kvm directly');
const attempt = "require('node:fs').openSync('/dev/kvm', 'r+')";
const direct = spawnSync('runcon', ['-t', 'vm_secret_client_t', '--', process.execPath, '-e', attempt], {
  encoding: 'utf8',
});
const refused = direct.status !== 0 && direct.stderr.includes('EACCES');
console.log(
  refused
    ? `   vm_secret_client_t: open("/dev/kvm", O_RDWR) = EACCES, as it must be`
    : `   vm_secret_client_t OPENED /dev/kvm (status ${direct.status})\n${direct.stderr}`,
);
process.exitCode = manager.status === 0 && refused ? 0 : 1;
