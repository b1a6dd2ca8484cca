// Every call that a launch makes, made to fail, on a host without SELinux: the right error, nothing left behind, and
// the next launch works. With SELinux: launch-faults-selinux.test.ts.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { LaunchOptions } from '../../types/public.js';
import { writeChain } from '../fixtures/images.js';
import { belongings, nothingIsLeft, sweep, UNKNOWN_EXIT, warmUp } from '../helpers/launch-sweep.js';
import { children, plain, rawImage } from '../helpers/launching.js';
import { faults } from '../helpers/test-addon.js';

const { launch } = await import('../../lib/launch.js');
const { command } = await import('../../lib/emulators/command.js');

const directory = t.testdir({});
const image = rawImage(directory);
const isRoot = process.geteuid?.() === 0;
const { EIO, EMFILE, ENOMEM } = constants.errno;
// The library of this machine would answer; what is tested here is a kernel that has none.
const skip = statSync('/sys/fs/selinux/enforce', { throwIfNoEntry: false }) ? 'a host with SELinux' : false;

/** Launches and waits for the end; undefined when all went well. */
async function run(options: LaunchOptions): Promise<Error | undefined> {
  try {
    const vm = await launch(options);
    const [code, signal] = await once(vm, 'close');
    if (code === 0) return undefined;
    return Object.assign(new Error(`ended with ${code ?? signal}`), { code: UNKNOWN_EXIT });
  } catch (error) {
    return error as Error;
  }
}

t.test('a launch with everything that can be asked for', { skip }, async (t) => {
  const log = openSync(join(directory, 'log'), 'w');
  const kernel = openSync(rawImage(directory, 'kernel'), 'r');
  t.teardown(() => [log, kernel].forEach(closeSync));
  const options: LaunchOptions = {
    disks: [
      { path: image, format: 'raw', boot: true },
      { path: writeChain(directory, 2), format: 'qcow2' },
    ],
    kernel: { fd: kernel },
    emulator: command({ path: '/bin/true', channels: ['qmp'] }),
    selinux: 'off',
    stdio: ['ignore', log, 'pipe', log],
    cwd: directory,
    detached: true,
    rlimits: { core: 0 },
    ...(isRoot && { uid: 0, gid: 0, groups: [0] }),
  };
  const failed = await sweep(t, {
    run: () => run(options),
    errnos: [EIO, ENOMEM],
    harmless: {
      fgetxattr: [1, 'nobody asks for the label of the emulator'],
      getxattr: [1, 'nobody asks for the label of the emulator'],
      is_selinux_enabled: [1, 'the program is not held where SELinux might forbid to let it go on'],
    },
  });
  for (const call of [
    'pthread_create',
    'openat',
    'socketpair',
    'clone',
    'child:execveat',
    'uv_poll_init',
    'uv_poll_start',
  ]) {
    t.ok(failed.has(call), call);
  }
});

t.test('a launch into a cgroup', { skip: isRoot ? skip : 'needs root' }, async (t) => {
  const root = join(directory, 'cgroup2');
  mkdirSync(root);
  if (spawnSync('mount', ['-t', 'cgroup2', 'none', root]).status !== 0) return t.skip('cgroup v2 cannot be mounted');
  const cgroup = join(root, `vm-entrypoint-faults-${process.pid}`);
  mkdirSync(cgroup);
  t.teardown(() => {
    spawnSync('rmdir', [cgroup]);
    spawnSync('umount', [root]);
  });
  const failed = await sweep(t, {
    run: () => run(plain(image, '/bin/true', [], { cgroup })),
    only: /^(openat|fstatfs|read|child:cgroup)$/,
    harmless: {},
  });
  t.equal(failed.get('child:cgroup'), 1);
});

t.test('calls that fail from some moment on', { skip }, async (t) => {
  const go = () => run(plain(image, '/bin/true'));
  await warmUp(go);
  const before = belongings();
  for (const call of ['fcntl', 'openat', 'socketpair', 'fstat', 'pthread_create', 'uv_poll_init', 'uv_poll_start']) {
    faults.clear();
    await go();
    const count = faults.calls()[call] ?? 0;
    t.ok(count > 0, call);
    for (let from = 0; from < count; from++) {
      faults.clear();
      faults.arm(call, from, EMFILE, true);
      t.match(await go(), { code: 'EMFILE', errno: -EMFILE, name: 'SystemError' }, `${call} from ${from}`);
      faults.clear();
      await nothingIsLeft(t, before, `${call} from ${from}: nothing is left`);
    }
  }
  t.equal(await go(), undefined);
});

t.test('an error once the process is watched ends the process', { skip }, async (t) => {
  const before = belongings();
  const failure = new Error('no stream today');
  const options = plain(image, '/bin/sleep', ['60'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const on = Socket.prototype.on;
  Socket.prototype.on = function (this: Socket, ...args: Parameters<typeof on>) {
    // The first listener that a VirtualMachine adds.
    if (args[0] === 'close') {
      this.destroy();
      throw failure;
    }
    return on.apply(this, args);
  } as typeof on;
  try {
    await t.rejects(launch(options), failure);
  } finally {
    Socket.prototype.on = on;
  }
  await nothingIsLeft(t, before, 'nothing is left');
  t.same(children(), []);
});
