// A virt manager in vm_manager_t: it opens images and execs QEMU, and every decision is about the
// client for whom it does so. First the decision table, then every start that policy allows.
import { once } from 'node:events';
import { AccessDeniedError, decide, launch, missingRules, qemu } from 'vm-entrypoint';
import { getcon, getpidcon } from 'vm-entrypoint/selinux';
import { printTable, wrapped } from './text.mjs';

const directory = process.argv[2];
const [user, role, , ...range] = getcon().split(':');
const clients = ['vm_unclass_client_t', 'vm_secret_client_t', 'vm_topsecret_client_t'];
const disks = ['unclassified', 'secret', 'topsecret', 'leaked'];
const contextOf = (type) => [user, role, type, ...range].join(':');
const emulator = qemu({ accel: 'kvm', memory: 64, cpus: 1, serial: 'stdio' });
// A client may use disks below its own level, but not write them (no write-down).
const readOnly = (client, disk) => clients.indexOf(client) > disks.indexOf(disk);
const request = (client, disk) => ({
  client: contextOf(client),
  disks: [{ path: `${directory}/${disk}.raw`, format: 'raw', readOnly: readOnly(client, disk) }],
  emulator,
});

console.log(`== The manager runs as ${getcon()}\n`);
console.log('== What policy says: the domain of the VM for each client and disk');
const decided = disks.flatMap((disk) =>
  clients.map((client) => ({ client, disk, decision: decide(request(client, disk)) })),
);
printTable(
  clients,
  disks.map((disk) => [disk, ...decided.filter((one) => one.disk === disk).map(({ decision }) => decision)]),
);

let failures = 0;
console.log('\n== Starting every one of them');
for (const { client, disk, decision } of decided) {
  console.log(`   ${client} boots ${disk}`);
  try {
    const vm = await launch({
      ...request(client, disk),
      stdio: ['ignore', 'pipe', 'pipe'],
      signal: AbortSignal.timeout(120_000),
    });
    // Not 'inherit': the VM domain may not write to what this terminal happens to be.
    vm.stderr.pipe(process.stderr);
    let serial = '';
    vm.stdout.setEncoding('latin1');
    for await (const chunk of vm.stdout) {
      serial += chunk;
      if (/\[guest\] [^\r\n]*\r\n/.test(serial)) break;
    }
    const running = getpidcon(vm.pid);
    const marker = /\[guest\] .*/.exec(serial)?.[0].trim() ?? 'NO BOOT MARKER';
    vm.kill('SIGKILL');
    if (vm.exitCode === null && vm.signalCode === null) await once(vm, 'exit');
    const right = running === decision.vmContext && marker.includes(`the ${disk} disk`);
    if (!right) failures += 1;
    console.log(`      pid ${vm.pid} is ${running}\n      console: ${marker}${right ? '' : '   <-- WRONG'}`);
  } catch (error) {
    if (!(error instanceof AccessDeniedError)) throw error;
    if (decision.allowed) failures += 1;
    console.log(`      refused (${error.decision.refusal}); missing:`);
    for (const rule of missingRules(error.decision)) console.log(wrapped(rule, '        '));
  }
}
process.exitCode = failures === 0 ? 0 : 1;
