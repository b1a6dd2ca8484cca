// For a program that must keep its own call of spawn: open the disk once, ask, let the child be created in
// the domain that the policy chose, and look where it ended. launch() does all of this and more: it looks
// at the disk's label again, and stops the VM until it is verified (see docs/launch.md).
//
//   node examples/keep-your-own-spawn.mjs DISK [QEMU-ARGUMENT…]
import { spawn } from 'node:child_process';
import { constants, openSync } from 'node:fs';
import { decide, missingRules, withExecContext } from 'vm-entrypoint';
import { getcon, getpidcon, setsockcreatecon } from 'vm-entrypoint/selinux';

const [path, ...args] = process.argv.slice(2);
if (path === undefined) {
  console.error('usage: node examples/keep-your-own-spawn.mjs DISK [QEMU-ARGUMENT…]');
  process.exit(2);
}
const emulator = '/usr/bin/qemu-system-x86_64';

/** The decision about a disk, or the end of this program and what is missing. */
function ask(disk) {
  const decision = decide({ disks: [{ ...disk, format: 'raw' }], emulator: { path: emulator } });
  if (decision.allowed) return decision;
  console.error(`refused (${decision.refusal}); missing:\n${missingRules(decision).join('\n')}`);
  return process.exit(1);
}

// Before opening, because where that is denied it says EACCES and not which rule is missing.
ask({ path });
// From here on the disk is this descriptor: what is decided about is what the VM gets, whatever becomes of
// the path. The VM's domain may read and write a disk that it was given, and open none.
const disk = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
const decision = ask({ fd: disk });

// Without a word the kernel replaces descriptors that the VM may not use by /dev/null. 'inherit' would hand
// over a terminal of ours; Node's pipes are sockets, which get the VM's level and not ours by this:
const [user, role, type] = getcon().split(':');
setsockcreatecon([user, role, type, ...decision.vmContext.split(':').slice(3)].join(':'));
let child;
try {
  // Both contexts belong to this thread until they are taken back: nothing else may be started in between,
  // so no await in here.
  child = withExecContext(decision.vmContext, () =>
    spawn(
      emulator,
      [
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio', '-accel', 'kvm', '-cpu', 'host'],
        // Descriptor 3, by the place in `stdio`. The format is said, never guessed from what the guest wrote.
        ...['-add-fd', 'fd=3,set=1', '-blockdev', 'driver=file,node-name=file,filename=/dev/fdset/1'],
        ...['-blockdev', 'driver=raw,node-name=disk,file=file', '-device', 'virtio-blk-pci,drive=disk'],
        ...args,
      ],
      { stdio: ['pipe', 'pipe', 'pipe', disk] },
    ),
  );
} finally {
  setsockcreatecon(null);
}
child.on('error', (error) => {
  console.error(error.message);
  process.exitCode = 3;
});
child.on('exit', (code, signal) => {
  process.stdin.destroy();
  console.error(signal ? `ended by ${signal}` : `ended with status ${code}`);
  process.exitCode ??= code ?? 1;
});
if (child.pid !== undefined) {
  const running = getpidcon(child.pid);
  console.error(`pid ${child.pid} runs as ${running}`);
  if (running !== decision.vmContext) child.kill('SIGKILL');
  process.stdin.pipe(child.stdin);
  child.stdout.pipe(process.stdout);
  child.stderr.pipe(process.stderr);
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
}
