// launch(): what the process is given and what it is not, in the words of the process itself.
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { LaunchOptions } from '../../types/public.js';
import {
  children,
  eventually,
  openDescriptors,
  parseReport,
  plain,
  probePath,
  rawImage,
  textOf,
} from '../helpers/launching.js';

const { launch } = await import('../../lib/launch.js');
const { command } = await import('../../lib/emulators/command.js');
const { VirtualMachine } = await import('../../lib/virtual-machine.js');

const directory = t.testdir({});
const image = rawImage(directory);
const isRoot = process.geteuid?.() === 0;
const needsRoot = isRoot ? false : 'needs root';

async function probe(more: Partial<LaunchOptions> = {}, args: readonly string[] = []) {
  const vm = await launch(plain(image, probePath, args, more));
  const closed = new Promise<[number | null, string | null]>((resolve) =>
    vm.once('close', (code, signal) => resolve([code, signal])),
  );
  const report = parseReport(await textOf(vm.stdout));
  return { vm, report, exit: await closed };
}

t.test('a process runs, and has what it was given and nothing else', async (t) => {
  const before = openDescriptors();
  const { vm, report, exit } = await probe({}, ['one', 'two words', '', 'exit', '3']);
  t.ok(vm instanceof VirtualMachine);
  t.same(exit, [3, null]);
  t.equal(vm.exitCode, 3);
  t.equal(vm.signalCode, null);
  t.equal(report.get('pid')?.[0], String(vm.pid));
  t.same(report.get('arg'), [probePath, 'one', 'two words', '', 'exit', '3']);
  t.same(vm.spawnargs, [probePath, 'one', 'two words', '', 'exit', '3']);
  t.equal(vm.spawnfile, probePath);
  t.same(report.get('env'), ['PATH=/usr/local/bin:/usr/bin:/bin']);
  t.same(report.get('cwd'), ['/']);
  t.equal(report.get('blocked'), undefined);
  t.equal(report.get('ignored'), undefined, 'SIGPIPE, which Node ignores, included');
  const numbers = report.get('fd')?.map((line) => Number(line.split(' ')[0]));
  t.same(numbers, [0, 1, 2, 10]);
  const { dev, ino } = statSync(image);
  t.equal(report.get('fd')?.[3]?.split(' ')[1], `${dev}:${ino}`, 'the image itself');
  t.equal(vm.context, null);
  t.same(vm.decision, { ...vm.decision, allowed: true, evaluated: false });
  t.same(openDescriptors(), before);
  t.same(children(), []);
});

t.test('images get the numbers that the emulator is told', async (t) => {
  const second = rawImage(directory, 'second.raw');
  const vm = await launch({
    disks: [
      { path: image, format: 'raw', boot: true },
      { path: second, format: 'raw', readOnly: true },
    ],
    kernel: { path: rawImage(directory, 'kernel') },
    emulator: command({
      path: probePath,
      args: ['{disk0}', '{disk1}', '{kernel}', '{qmp}', '{something}', '/dev/fd/{disk0.0}'],
      channels: ['qmp'],
    }),
    stdio: ['ignore', 'pipe', 'ignore', 'pipe'],
    selinux: 'off',
  });
  const report = parseReport(await textOf(vm.stdout));
  t.same(report.get('arg')?.slice(1), ['10', '11', '12', '4', '{something}', '/dev/fd/10']);
  const flags = new Map(report.get('fd')?.map((line) => [line.split(' ')[0], Number(line.split(' ')[3]) & 3]));
  t.equal(flags.get('10'), 2, 'writable');
  t.equal(flags.get('11'), 0, 'read-only');
  t.equal(flags.get('12'), 0);
  t.same([...flags.keys()], ['0', '1', '2', '3', '4', '10', '11', '12']);
  t.ok(vm.channels.qmp);
  t.ok(vm.stdio[3]);
  t.equal(vm.stdio.length, 4);
});

t.test('stdio', async (t) => {
  t.test('pipes go both ways', async (t) => {
    const vm = await launch(plain(image, '/bin/cat'));
    vm.stdin?.end('to the VM and back');
    t.equal(await textOf(vm.stdout), 'to the VM and back');
  });
  t.test('descriptors, streams and sockets are inherited as they are', async (t) => {
    const output = join(directory, 'output');
    const fd = openSync(output, 'w');
    const server = createServer().listen(0);
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const socket = connect(port);
    await new Promise((resolve) => socket.once('connect', resolve));
    const vm = await launch(plain(image, probePath, [], { stdio: ['ignore', fd, 'ignore', socket, { fd }, null] }));
    closeSync(fd);
    await new Promise((resolve) => vm.once('exit', resolve));
    socket.destroy();
    server.close();
    const report = parseReport(readFileSync(output, 'utf8'));
    const of = (n: string) =>
      report
        .get('fd')
        ?.find((line) => line.startsWith(`${n} `))
        ?.split(' ');
    const { dev, ino } = statSync(output);
    t.equal(of('1')?.[1], `${dev}:${ino}`);
    t.equal(of('4')?.[1], `${dev}:${ino}`);
    t.equal(of('3')?.[2], '140000', 'a socket');
    t.equal(of('0')?.[1], of('5')?.[1], 'the null device');
    t.same(vm.stdio, [null, null, null, null, null, null]);
  });
  t.test('a descriptor may be closed as soon as the call has returned, whoever gets its number', async (t) => {
    const output = join(directory, 'early');
    const other = join(directory, 'other');
    const fd = openSync(output, 'w');
    const started = launch(plain(image, '/bin/echo', ['written'], { stdio: ['ignore', fd, 'ignore'] }));
    closeSync(fd);
    const taken = openSync(other, 'w');
    t.equal(taken, fd, 'the number is used again');
    const vm = await started;
    await new Promise((resolve) => vm.once('close', resolve));
    closeSync(taken);
    t.equal(readFileSync(output, 'utf8'), 'written\n');
    t.equal(readFileSync(other, 'utf8'), '');
    t.notOk(openDescriptors().includes(output), 'and it is not kept');
  });
  t.test('a descriptor of a launch that fails or is given up is closed again', async (t) => {
    const before = openDescriptors();
    const fd = openSync(join(directory, 'given-up'), 'w');
    const stdio: LaunchOptions['stdio'] = ['ignore', fd, fd];
    await t.rejects(launch(plain('/nonexistent', '/bin/true', [], { stdio })), { code: 'ENOENT' });
    await t.rejects(launch(plain(image, '/bin/true', [], { stdio: [fd, 4000] })), { code: 'EBADF' });
    const controller = new AbortController();
    const started = launch(plain(image, '/bin/true', [], { stdio, signal: controller.signal }));
    controller.abort();
    await t.rejects(started, { name: 'AbortError' });
    closeSync(fd);
    t.ok(await eventually(() => openDescriptors().join() === before.join()));
  });
  t.test('a descriptor that is not open is an error', async (t) => {
    await t.rejects(launch(plain(image, '/bin/true', [], { stdio: ['ignore', 4000, 'ignore'] })), {
      name: 'SystemError',
      code: 'EBADF',
    });
  });
  t.test("'ignore' and 'inherit' as words", async (t) => {
    const vm = await launch(plain(image, '/bin/true', [], { stdio: 'ignore' }));
    t.same(vm.stdio, [null, null, null]);
    t.equal(vm.stdin, null);
    await new Promise((resolve) => vm.once('close', resolve));
    const inherited = await launch(plain(image, '/bin/true', [], { stdio: 'inherit' }));
    t.same(inherited.stdio, [null, null, null]);
    await new Promise((resolve) => inherited.once('close', resolve));
  });
});

t.test('environment, directory, session and limits', async (t) => {
  const { report } = await probe({
    env: { A: '1', EMPTY: '', SKIPPED: undefined, 'WITH SPACE': 'x=y' },
    cwd: new URL(`file://${directory}`),
    detached: true,
    rlimits: { nofile: { soft: 20, hard: 30n }, core: 0, cpu: 'unlimited' },
  });
  t.same(report.get('env'), ['A=1', 'EMPTY=', 'WITH SPACE=x=y']);
  t.same(report.get('cwd'), [directory]);
  t.same(report.get('sid'), report.get('pid'));
  t.ok(report.get('limit')?.includes('7 20 30'));
  t.ok(report.get('limit')?.includes('4 0 0'));
  t.ok(report.get('limit')?.includes('0 18446744073709551615 18446744073709551615'));
  const attached = await probe();
  t.not(attached.report.get('sid')?.[0], attached.report.get('pid')?.[0]);
});

t.test('user and groups', { skip: needsRoot }, async (t) => {
  // Executable and readable for everybody, wherever the build directory is.
  const everywhere = '/usr/bin/id';
  const vm = await launch(plain(image, everywhere, [], { uid: 12345, gid: 23456 }));
  t.equal(await textOf(vm.stdout), 'uid=12345 gid=23456 groups=23456\n', 'without the groups of this process');
  const grouped = await launch(plain(image, everywhere, ['-G'], { uid: 12345, gid: 23456, groups: [777, 888] }));
  t.equal(await textOf(grouped.stdout), '23456 777 888\n');
  t.equal(process.geteuid?.(), 0);
  t.equal(statSync('/proc/self/environ').uid, 0, 'and this process is as dumpable as before');
});

t.test('a cgroup', { skip: needsRoot }, async (t) => {
  await t.rejects(launch(plain(image, '/bin/true', [], { cgroup: directory })), { code: 'ERR_LAUNCH_CGROUP' });
  await t.rejects(launch(plain(image, '/bin/true', [], { cgroup: '/nonexistent' })), { code: 'ENOENT' });
  const { spawnSync } = await import('node:child_process');
  const root = join(directory, 'cgroup2');
  mkdirSync(root);
  if (spawnSync('mount', ['-t', 'cgroup2', 'none', root]).status !== 0) return t.skip('cgroup v2 cannot be mounted');
  const group = join(root, `vm-entrypoint-test-${process.pid}`);
  t.teardown(() => {
    spawnSync('rmdir', [group]);
    spawnSync('umount', [root]);
  });
  mkdirSync(group);
  const vm = await launch(plain(image, '/bin/cat', [], { cgroup: group }));
  t.equal(readFileSync(join(group, 'cgroup.procs'), 'utf8').trim(), String(vm.pid));
  vm.stdin?.end();
  await new Promise((resolve) => vm.once('close', resolve));
  // A child in it would stay before its exec for ever.
  writeFileSync(join(group, 'cgroup.freeze'), '1');
  const frozen = launch(plain(image, '/bin/true', [], { cgroup: group }));
  await t.rejects(frozen, { code: 'ERR_LAUNCH_CGROUP', path: group, message: /frozen/ });
  writeFileSync(join(group, 'cgroup.freeze'), '0');
  await once(await launch(plain(image, '/bin/true', [], { cgroup: group })), 'close');
});

t.test('what cannot be executed is an error that says so', async (t) => {
  const before = openDescriptors();
  const script = join(directory, 'script');
  writeFileSync(script, '#!/bin/sh\nexit 0\n', { mode: 0o755 });
  const text = join(directory, 'text');
  writeFileSync(text, 'not a program', { mode: 0o755 });
  const cases: [string, object][] = [
    [script, { name: 'LaunchError', code: 'ERR_LAUNCH_EXEC', path: script, message: /script/ }],
    [
      text,
      { name: 'LaunchError', code: 'ERR_LAUNCH_EXEC', errno: -8, syscall: 'execveat', path: text, spawnargs: ['x'] },
    ],
    [image, { name: 'LaunchError', code: 'ERR_LAUNCH_EXEC', errno: -13, syscall: 'execveat', path: image }],
    ['/nonexistent', { name: 'SystemError', code: 'ENOENT', errno: -2, path: '/nonexistent' }],
    [directory, { code: 'EACCES', path: directory }],
  ];
  for (const [path, error] of cases) await t.rejects(launch(plain(image, path, ['x'])), error);
  await t.rejects(launch(plain(image, '/bin/true', [], { cwd: '/nonexistent' })), {
    code: 'ERR_LAUNCH_EXEC',
    errno: -2,
    syscall: 'chdir',
  });
  t.same(openDescriptors(), before);
  t.same(children(), []);
});

t.test(
  'without SELinux nothing is launched unless that is said',
  { skip: statSync('/sys/fs/selinux', { throwIfNoEntry: false }) ? 'a host with SELinux' : false },
  async (t) => {
    await t.rejects(launch({ ...plain(image, '/bin/true'), selinux: 'require' }), { name: 'SelinuxUnavailableError' });
    const vm = await launch({ ...plain(image, '/bin/true'), selinux: 'prefer' });
    t.equal(vm.decision.evaluated, false);
    await new Promise((resolve) => vm.once('close', resolve));
  },
);

t.test('an emulator of one’s own', async (t) => {
  const before = openDescriptors();
  const seen: unknown[] = [];
  const vm = await launch({
    disks: [{ path: image, format: 'raw' }],
    emulator: {
      path: '/bin/echo',
      build(input) {
        seen.push(input);
        return { args: [`fd ${input.disks[0]?.files[0].fd}`], argv0: 'renamed' };
      },
    },
    selinux: 'off',
  });
  t.equal(await textOf(vm.stdout), 'fd 10\n');
  t.equal(vm.spawnargs[0], 'renamed');
  t.match(seen[0], {
    disks: [
      {
        boot: true,
        files: [
          {
            fd: 10,
            path: image,
            format: 'raw',
            readOnly: false,
            backing: null,
            dataFile: null,
            blockDevice: false,
            sizeBytes: 4096n,
          },
        ],
      },
    ],
    kernel: null,
    initrd: null,
    firmware: null,
    state: null,
    action: 'start',
    channels: {},
  });
  const broken = (build: () => unknown) =>
    launch({
      disks: [{ path: image, format: 'raw' }],
      emulator: { path: '/bin/true', build: build as never },
      selinux: 'off',
    });
  await t.rejects(
    broken(() => {
      throw new Error('mine');
    }),
    { message: 'mine' },
  );
  await t.rejects(
    broken(() => ({ args: 'x' })),
    { code: 'ERR_INVALID_ARG_TYPE' },
  );
  await t.rejects(
    broken(async () => ({ args: [] })),
    { code: 'ERR_INVALID_ARG_TYPE' },
    'a promise has no args',
  );
  await t.rejects(
    broken(() => ({ args: ['a\0b'] })),
    { code: 'ERR_INVALID_ARG_VALUE' },
  );
  await eventually(() => openDescriptors().join() === before.join());
  t.same(openDescriptors(), before, 'what was prepared is closed');
});
