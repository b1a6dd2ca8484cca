// In place of child_process.spawn('qemu-system-x86_64', …): the policy decides whether this disk may be
// started for this client, and in which domain; the VM runs there, or not at all.
//
//   node examples/launch-qemu.mjs DISK [raw|qcow2] [CLIENT-CONTEXT]
import { AccessDeniedError, launch, missingRules, qemu } from 'vm-entrypoint';

const [path, format = 'raw', client] = process.argv.slice(2);
if (path === undefined) {
  console.error('usage: node examples/launch-qemu.mjs DISK [raw|qcow2] [CLIENT-CONTEXT]');
  process.exit(2);
}

try {
  const vm = await launch({
    disks: [{ path, format }],
    ...(client && { client }),
    emulator: qemu({ memory: 512, accel: process.env.ACCEL ?? 'kvm' }),
  });
  console.error(`pid ${vm.pid} runs as ${vm.context}`);
  // The guest's serial console. Sockets with the VM's own label, which its domain may use; our terminal it may not.
  process.stdin.pipe(vm.stdin);
  vm.stdout.pipe(process.stdout);
  vm.stderr.pipe(process.stderr);
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => vm.kill(signal));
  vm.on('close', (code, signal) => {
    process.stdin.destroy();
    console.error(signal ? `ended by ${signal}` : `ended with status ${code}`);
    process.exitCode = code ?? 1;
  });
} catch (error) {
  if (!(error instanceof AccessDeniedError)) throw error;
  console.error(`refused (${error.decision.refusal}); missing:\n${missingRules(error.decision).join('\n')}`);
  process.exitCode = 1;
}
