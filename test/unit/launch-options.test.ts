// Every wrong option is refused in Node's words, before anything is opened; and a refused start says why.

import { spawnSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { LaunchOptions } from '../../types/public.js';
import { startFakeSelinux } from '../helpers/fake-selinux.js';
import { children, eventually, openDescriptors } from '../helpers/launching.js';
import { faults } from '../helpers/test-addon.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
const { launch } = await import('../../lib/launch.js');
const { command } = await import('../../lib/emulators/command.js');
const { withExecContext } = await import('../../lib/exec-context.js');
const { AccessDeniedError, LaunchError } = await import('../../lib/errors.js');
const selinux = await import('../../lib/selinux.js');

const directory = t.testdir({});
const file = (name: string, type: string): string => {
  const path = join(directory, name);
  writeFileSync(path, 'x'.repeat(4096), { mode: 0o755 });
  try {
    selinux.setfilecon(path, `system_u:object_r:${type}:s0`);
  } catch {}
  return path;
};
const image = file('disk.raw', 'disk_t');
const labelled = selinux.getfilecon(image) !== null;
const noLabels = labelled ? false : 'labels cannot be set here';
const good: LaunchOptions = {
  disks: [{ path: image, format: 'raw', readOnly: true }],
  emulator: command({ path: '/bin/true' }),
  selinux: 'off',
};

t.test('wrong options', async (t) => {
  const TYPE = 'ERR_INVALID_ARG_TYPE';
  const VALUE = 'ERR_INVALID_ARG_VALUE';
  const RANGE = 'ERR_OUT_OF_RANGE';
  const cases: [string, object, string][] = [
    ['no emulator', { emulator: undefined }, TYPE],
    ['an emulator by path only', { emulator: '/bin/true' }, TYPE],
    ['a relative emulator', { emulator: { path: 'true', build() {} } }, VALUE],
    ['an emulator that builds nothing', { emulator: { path: '/bin/true' } }, TYPE],
    ['a channel twice', { emulator: { path: '/bin/true', build() {}, channels: ['a', 'a'] } }, VALUE],
    ['a disk that is only a context', { disks: [{ context: 'u:r:t:s0', format: 'raw' }] }, VALUE],
    ['no disks', { disks: undefined }, TYPE],
    ['a disk without a format', { disks: [{ path: '/a' }] }, TYPE],
    ['two boot disks', { disks: [1, 2].map(() => ({ path: '/a', format: 'raw', boot: true })) }, VALUE],
    ['a kernel that is a string', { kernel: '/vmlinuz' }, TYPE],
    ['a client with a space', { client: 'a b' }, VALUE],
    ['a mode that is none', { selinux: 'permissive' }, VALUE],
    ['restore without a state', { action: 'restore' }, VALUE],
    ['another launcher', { launcher: 'u:r:t:s0' }, VALUE],
    ['an unknown option', { sdtio: 'pipe' }, VALUE],
    ['an unknown stdio', { stdio: 'overlapped' }, VALUE],
    ['ipc', { stdio: ['pipe', 'pipe', 'pipe', 'ipc'] }, VALUE],
    ['a closed stream', { stdio: [{}] }, VALUE],
    ['a negative descriptor', { stdio: [-1] }, RANGE],
    ['half a descriptor', { stdio: [0.5] }, RANGE],
    ['a function as stdio', { stdio: [() => {}] }, TYPE],
    ['a number as stdio', { stdio: 3 }, TYPE],
    ['too many', { stdio: Array.from({ length: 2000 }, () => 'ignore') }, VALUE],
    ['env as a string', { env: 'A=1' }, TYPE],
    ['env with a number', { env: { A: 1 } }, TYPE],
    ['env with an = in a name', { env: { 'A=B': '1' } }, VALUE],
    ['env with an empty name', { env: { '': '1' } }, VALUE],
    ['env with a null byte', { env: { A: 'x\0y' } }, VALUE],
    ['cwd as a number', { cwd: 1 }, TYPE],
    ['cwd empty', { cwd: '' }, VALUE],
    ['cwd with a null byte', { cwd: '/a\0b' }, VALUE],
    ['uid as a string', { uid: 'root' }, TYPE],
    ['uid -1', { uid: -1 }, RANGE],
    ['uid (uid_t)-1', { uid: 2 ** 32 - 1 }, RANGE],
    ['gid half', { gid: 1.5 }, RANGE],
    ['groups no list', { groups: 1 }, TYPE],
    ['groups too large', { groups: [2 ** 32] }, RANGE],
    ['cgroup empty', { cgroup: '' }, VALUE],
    ['an unknown limit', { rlimits: { files: 1 } }, VALUE],
    ['a limit below 0', { rlimits: { nofile: -1 } }, RANGE],
    ['a limit above 64 bits', { rlimits: { nofile: 2n ** 64n } }, RANGE],
    ['a limit in words', { rlimits: { nofile: 'many' } }, TYPE],
    ['a soft limit above the hard one', { rlimits: { nofile: { soft: 2, hard: 1 } } }, RANGE],
    ['a limit without hard', { rlimits: { nofile: { soft: 2 } } }, TYPE],
    ['detached as a number', { detached: 1 }, TYPE],
    ['onManagerExit', { onManagerExit: 'die' }, VALUE],
    ['signal', { signal: {} }, TYPE],
    ['signal null', { signal: null }, TYPE],
    ['a signal that can only be looked at', { signal: { aborted: false } }, TYPE],
    ['an aborted one', { signal: { aborted: true } }, TYPE],
    ['an emitter in place of a signal', { signal: Object.assign(new EventEmitter(), { aborted: false }) }, TYPE],
    ['an EventTarget that is no signal', { signal: new EventTarget() }, TYPE],
    ['a controller in place of its signal', { signal: new AbortController() }, TYPE],
    ['killSignal', { killSignal: 'SIGNONE' }, 'ERR_UNKNOWN_SIGNAL'],
    ['timeout', { timeout: -1 }, RANGE],
  ];
  const before = openDescriptors();
  faults.clear();
  for (const [name, wrong, code] of cases) {
    const error = (await launch({ ...good, ...wrong } as never).then(
      () => null,
      (reason: unknown) => reason,
    )) as (Error & { code: string }) | null;
    t.equal(error?.code, code, `${name}: ${error?.message}`);
    t.ok(error instanceof TypeError || error instanceof RangeError, name);
    if (code !== 'ERR_UNKNOWN_SIGNAL')
      t.match(error?.message, /options[.[]/, `${name}: by the name that launch() gives it`);
  }
  for (const wrong of [undefined, null, 'x', []]) await t.rejects(launch(wrong as never), { code: TYPE });
  t.same(faults.calls(), {}, 'not one call was made');
  t.same(openDescriptors(), before);
});

t.test('a signal of another realm, or of a polyfill, is a signal', async (t) => {
  const target = new EventTarget();
  const signal = {
    aborted: false,
    reason: undefined as unknown,
    addEventListener: target.addEventListener.bind(target),
    removeEventListener: target.removeEventListener.bind(target),
  };
  const started = launch({
    ...good,
    emulator: command({ path: '/bin/sleep', args: ['60'] }),
    signal: signal as unknown as AbortSignal,
  });
  Object.assign(signal, { aborted: true, reason: 'why' });
  target.dispatchEvent(new Event('abort'));
  await t.rejects(started, { name: 'AbortError', cause: 'why' });
  t.ok(await eventually(() => children().length === 0));
});

t.test("Node's permission model", async (t) => {
  // The object is Node's own and read-only where the model is on; this is what launch() looks at.
  const had = Object.getOwnPropertyDescriptor(process, 'permission');
  Object.defineProperty(process, 'permission', { configurable: true, value: { has: () => false } });
  t.teardown(() => {
    if (had === undefined) delete (process as { permission?: unknown }).permission;
    else Object.defineProperty(process, 'permission', had);
  });
  await t.rejects(launch(good), { code: 'ERR_ACCESS_DENIED', permission: 'ChildProcess', resource: '/bin/true' });
});

// The answers are those of a true policy; only the exec itself needs a kernel with SELinux.
t.test('a refused start is an error that carries the decision', { skip: noLabels }, async (t) => {
  const qemu = file('qemu', 'qemu_exec_t');
  const before = openDescriptors();
  const start = (path: string, client = 'user_u:user_r:client_t:s0-s0:c0.c7') =>
    launch({
      disks: [{ path, format: 'raw', readOnly: true }],
      client,
      emulator: command({ path: qemu }),
      stdio: 'ignore',
    });
  const error = (await start(file('lib.raw', 'lib_t')).catch((reason: unknown) => reason)) as InstanceType<
    typeof AccessDeniedError
  >;
  t.ok(error instanceof AccessDeniedError, String(error));
  t.equal(error.code, 'ERR_SELINUX_DENIED');
  t.equal(error.decision.allowed, false);
  t.match(error.message, /missing/);
  await t.rejects(start(image, 'no:such:context:s0'), { name: 'AccessDeniedError' });
  t.ok(await eventually(() => openDescriptors().length <= before.length + 2), 'closed');
  t.same(children(), []);
});

t.test('withExecContext', async (t) => {
  const attribute = join(fake.directory, 'attr/exec');
  const context = 'user_u:user_r:launcher_t:s0';
  const now = () => readFileSync(attribute, 'utf8');

  t.equal(
    withExecContext(context, () => now()),
    context,
  );
  t.equal(now(), '', 'cleared');
  t.throws(
    () =>
      withExecContext(context, () => {
        throw new Error('mine');
      }),
    { message: 'mine' },
  );
  t.equal(now(), '', 'cleared after an exception');

  let ran = false;
  t.throws(
    () =>
      withExecContext(context, async () => {
        ran = true;
      }),
    { code: 'ERR_LAUNCH_ASYNC_CALLBACK' },
  );
  t.notOk(ran, 'an async function is not even called');
  t.throws(() => withExecContext(context, () => Promise.reject(new Error('unheard'))), LaunchError);
  t.equal(now(), '');
  t.throws(() => withExecContext(context, () => withExecContext(context, () => 1)), { code: 'ERR_BUSY' });
  t.equal(now(), '', 'cleared after one inside of another');
  t.throws(() => withExecContext('user_u:user_r:unknown_t:s0', () => 1), { code: 'ERR_SELINUX_CONTEXT_INVALID' });
  t.throws(() => withExecContext('a b', () => 1), { code: 'ERR_INVALID_ARG_VALUE' });
  t.throws(() => withExecContext(context, 1 as never), { code: 'ERR_INVALID_ARG_TYPE' });
  t.equal(now(), '');
});

t.test('withExecContext ends the process when the context cannot be cleared', async (t) => {
  const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const program = `
    const { startFakeSelinux } = await import(${url('../helpers/fake-selinux.ts')});
    const { faults } = await import(${url('../helpers/test-addon.ts')});
    startFakeSelinux();
    const { withExecContext } = await import(${url('../../lib/exec-context.ts')});
    try {
      withExecContext('user_u:user_r:launcher_t:s0', () => {
        for (const call of ['pwrite', 'openat', 'openat2']) faults.arm(call, 0, 12, true);
      });
    } finally { console.log('went on'); }
  `;
  const child = spawnSync(process.execPath, [...process.execArgv, '--input-type=module', '-e', program], {
    encoding: 'utf8',
    // What it leaves there goes with the test's directory.
    env: { ...process.env, TMPDIR: directory },
  });
  t.equal(child.signal, 'SIGABRT', child.stderr);
  t.match(child.stderr, /could not be cleared/);
  t.notMatch(child.stdout, /went on/);
});
