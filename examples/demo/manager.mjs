// A virt manager in vm_manager_t: it opens images and execs QEMU, and every decision is about the
// client for whom it does so. First the decision table, then every start that policy allows.
import { once } from 'node:events';
import { AccessDeniedError, decide, launch, missingRules, qemu } from 'vm-entrypoint';
import { getcon, getpidcon } from 'vm-entrypoint/selinux';

const directory = process.argv[2];
const [user, role, , ...range] = getcon().split(':');
const clients = ['vm_unclass_client_t', 'vm_secret_client_t', 'vm_topsecret_client_t'];
const disks = ['unclassified', 'secret', 'topsecret', 'leaked'];
const typeOf = (context) => context.split(':')[2];
const contextOf = (type) => [user, role, type, ...range].join(':');
const emulator = qemu({ accel: 'kvm', memory: 64, cpus: 1, serial: 'stdio' });
// A client may use disks below its own level, but not write them (no write-down).
const readOnly = (client, disk) => clients.indexOf(client) > disks.indexOf(disk);
const request = (client, disk) => ({
  client: contextOf(client),
  disks: [{ path: `${directory}/${disk}.raw`, format: 'raw', readOnly: readOnly(client, disk) }],
  emulator,
});

console.log(`== The manager runs as ${getcon()}\n\n== What policy says (client, disk → domain of the VM)`);
const width = 26;
console.log(['', ...clients].map((cell) => cell.padEnd(width)).join(''));
const decided = [];
for (const disk of disks) {
  const row = [disk];
  for (const client of clients) {
    const decision = decide(request(client, disk));
    decided.push({ client, disk, decision });
    row.push(decision.allowed ? typeOf(decision.vmContext) : `refused: ${decision.refusal}`);
  }
  console.log(row.map((cell) => cell.padEnd(width)).join(''));
}

let failures = 0;
console.log('\n== Starting every one of them');
for (const { client, disk, decision } of decided) {
  const title = `   ${client} boots ${disk}`;
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
    console.log(`${title}\n      pid ${vm.pid} is ${running}\n      console: ${marker}${right ? '' : '   <-- WRONG'}`);
  } catch (error) {
    if (!(error instanceof AccessDeniedError)) throw error;
    if (decision.allowed) failures += 1;
    console.log(`${title}\n      refused (${error.decision.refusal}); missing:`);
    for (const rule of missingRules(error.decision)) console.log(`        ${rule}`);
  }
}
process.exitCode = failures === 0 ? 0 : 1;
