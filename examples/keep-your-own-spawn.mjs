// For a program that must keep its own call of spawn: ask, then let the child be created in the domain
// that the policy chose. The program then looks after the descriptors and the verification itself,
// which launch() would have done (see docs/launch.md).
//
//   node examples/keep-your-own-spawn.mjs DISK EMULATOR [ARGUMENTS…]
import { spawn } from 'node:child_process';
import { decide, missingRules, withExecContext } from 'vm-entrypoint';
import { getpidcon } from 'vm-entrypoint/selinux';

const [path, emulator, ...args] = process.argv.slice(2);
if (path === undefined || emulator === undefined) {
  console.error('usage: node examples/keep-your-own-spawn.mjs DISK EMULATOR [ARGUMENTS…]');
  process.exit(2);
}

const decision = decide({ disks: [{ path, format: 'raw' }], emulator: { path: emulator } });
if (!decision.allowed) {
  console.error(missingRules(decision).join('\n'));
  process.exit(1);
}

// The context is a property of this thread, and is gone again when the function returns: nothing else
// may be started in between, so no await in here.
const child = withExecContext(decision.vmContext, () => spawn(emulator, args));
// The kernel replaces descriptors which the VM may not use by /dev/null, without a word: 'inherit' would
// hand over a terminal of ours, and sockets at our level are of no use to a VM at another. launch() labels
// its sockets for the VM, and finds out about all the others beforehand.
child.stdout.pipe(process.stdout);
child.stderr.pipe(process.stderr);
child.on('spawn', () => console.error(`pid ${child.pid} runs as ${getpidcon(child.pid)}`));
child.on('error', (error) => {
  console.error(error.message);
  process.exitCode = 3;
});
child.on('exit', (code) => {
  process.exitCode ??= code ?? 1;
});
