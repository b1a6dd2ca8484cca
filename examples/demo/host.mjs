// `npm run demo -- --host`: on a host with SELinux, only looks. Nothing is installed, built, labelled, opened or
// started: what is missing is named.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { printTable, wrapped } from './text.mjs';

const NOT_READY = 3;

/** The package as it was built here. */
async function builtPackage() {
  try {
    return { ...(await import('vm-entrypoint')), selinux: await import('vm-entrypoint/selinux') };
  } catch (error) {
    console.error(`The package cannot be used as it is: ${error.message.split('\n', 1)[0]}

This demo changes nothing, so build it yourself and start again:

    npm ci --ignore-scripts && npm run build

That needs a C++ compiler, make and Python 3:

    Debian, Ubuntu:  sudo apt-get install g++ make python3
    Fedora, RHEL:    sudo dnf install gcc-c++ make python3`);
    return process.exit(NOT_READY);
  }
}

const { decide, selinux } = await builtPackage();
const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const status = spawnSync(process.execPath, [cli, 'status'], { stdio: 'inherit' });
process.exitCode = status.status ?? NOT_READY;

const clients = ['vm_unclass_client_t', 'vm_secret_client_t', 'vm_topsecret_client_t'];
const disks = [
  ['unclassified', 'vm_unclass_virtdisk_t'],
  ['secret', 'vm_secret_virtdisk_t'],
  ['topsecret', 'vm_topsecret_virtdisk_t'],
  ['leaked', 'lib_t'],
];
try {
  const [user, role, , ...range] = selinux.getcon().split(':');
  const contextOf = (type) => [user, role, type, ...range].join(':');
  const decisions = disks.map(([, type], level) =>
    clients.map((client, clearance) =>
      decide({
        client: contextOf(client),
        launcher: contextOf('vm_manager_t'),
        disks: [{ context: `system_u:object_r:${type}:s0`, format: 'raw', readOnly: clearance > level }],
      }),
    ),
  );
  console.log('\nWhat this host says to the example of three levels: the domain of the VM');
  printTable(
    clients,
    disks.map(([name], i) => [name, ...decisions[i]]),
  );
  if (decisions.flat().every(({ refusal }) => refusal !== 'invalid-context')) {
    const access = ['open', 'read', 'write', 'ioctl'];
    const { denied } = selinux.securityComputeAv(
      contextOf('vm_secret_client_t'),
      'system_u:object_r:kvm_device_t:s0',
      'chr_file',
      access,
    );
    console.log(
      `\n/dev/kvm for vm_secret_client_t: ${denied.length > 0 ? `denied { ${denied.join(' ')} }` : 'ALLOWED'}`,
    );
  } else {
    console.log('\nThe example is not in this policy. To try it:');
    console.log('    sudo node dist/cli/main.js policy install --example three_levels');
  }
} catch (error) {
  console.log(`\n${wrapped(`What the policy would say cannot be told here: ${error.message}`, '')}`);
  process.exitCode = NOT_READY;
}
