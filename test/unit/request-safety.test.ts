// What is checked is what is used: options that say something else the second time, or that come from
// Object.prototype, descriptors that are closed while they are waited for, names that are cut off on the way.
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Check, StartRequest } from '../../types/public.js';
import { startFakeSelinux } from '../helpers/fake-selinux.js';
import { faults } from '../helpers/test-addon.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
const { decide, decideAsync, decideMany, prepareDecision, flushCache } = await import('../../lib/decide.js');
const { denialText, missingFor } = await import('../../lib/denial-message.js');
const { command } = await import('../../lib/emulators/command.js');
const { takeEmulator, takeEmulatorCommand } = await import('../../lib/emulators/emulator.js');
const { qemu } = await import('../../lib/emulators/qemu.js');
const { normalizeStartRequest } = await import('../../lib/start-request.js');

const directory = t.testdir({ image: 'x'.repeat(512) });
const context = (type: string): string => `system_u:object_r:${type}:s0`;
const client = 'user_u:user_r:client_t:s0-s0:c0.c7';
const emulator = { context: context('qemu_exec_t') };
const raw = (type: string) => ({ context: context(type), format: 'raw', readOnly: true }) as const;

t.test('nor is it one of an emulator, or of what an adapter makes', async (t) => {
  const polluted: Record<string, unknown> = {
    binary: '/tmp/other',
    machine: 'none',
    accel: 'tcg',
    cpu: 'other',
    sandbox: false,
    monitor: true,
    append: 'init=/bin/sh',
    name: 'other',
    extraArguments: ['-incoming', 'tcp::1'],
    args: ['other'],
    argv0: 'other',
    channels: ['other'],
    reopens: [10],
  };
  const files = { disks: [], kernel: null, initrd: null, firmware: null, state: null };
  const input = { ...files, action: 'start', channels: {} } as const;
  const look = () => [
    ...[qemu({ memory: 64 }), command({ path: '/bin/true' })].map((adapter) => {
      const { path, channels, build } = takeEmulator('emulator', adapter);
      return [path, channels, takeEmulatorCommand('made', build(input))];
    }),
    takeEmulator('emulator', { path: '/bin/true', build: () => ({ args: [] }) }).channels,
    { ...takeEmulatorCommand('made', { args: [] }) },
  ];
  const expected = look();
  for (const [key, value] of Object.entries(polluted)) {
    Object.defineProperty(Object.prototype, key, { value, configurable: true, writable: true });
    let seen: unknown;
    try {
      seen = look();
    } finally {
      delete (Object.prototype as Record<string, unknown>)[key];
    }
    t.same(seen, expected, key);
  }
});

t.test('an option of an emulator is read once', async (t) => {
  let reads = 0;
  const cpu = () => (reads++ === 0 ? 'host' : 'other,-sandbox');
  const options = Object.defineProperty({}, 'cpu', { enumerable: true, get: cpu });
  const files = { disks: [], kernel: null, initrd: null, firmware: null, state: null };
  const { args } = qemu(options).build({ ...files, action: 'start', channels: {} });
  t.equal(args[args.indexOf('-cpu') + 1], 'host');
  t.equal(reads, 1);
});

t.test('a denial is one line, whatever was handed in as a context', async (t) => {
  const check = {
    ...decide({ client, emulator, disks: [raw('sealed_t')] }).checks[0],
    denied: ['read'],
    invalidContext: 'user_u:object_r:x_t:s0\n(allow user_t shadow_t (file (read)))',
  } as Check;
  for (const text of [missingFor(check), denialText(check)]) {
    t.match(text, /s0\\x0a\(allow/);
    t.notMatch(text, /\n/);
  }
});

t.test('what everything inherits from Object.prototype is no option', async (t) => {
  const polluted: Record<string, unknown> = {
    selinux: 'off',
    client: 'user_u:user_r:unconfined_t:s0',
    launcher: 'user_u:user_r:unconfined_t:s0',
    emulator: '/bin/true',
    kernel: { path: '/nonexistent' },
    path: '/nonexistent',
    fd: 0,
    context: context('disk_t'),
    objectClass: 'blk_file',
    readOnly: true,
    boot: true,
    emulatorPath: '/bin/true',
    emulatorContext: emulator.context,
  };
  const request: StartRequest = { client, emulator, disks: [raw('sealed_t')] };
  const expected = decide(request);
  t.equal(expected.allowed, false);
  const plain = normalizeStartRequest({ disks: [{ path: '/a', format: 'raw' }] });
  for (const [key, value] of Object.entries(polluted)) {
    Object.defineProperty(Object.prototype, key, { value, configurable: true, writable: true });
    let decided: unknown;
    let many: boolean | undefined;
    let normalized: unknown;
    let inherited: boolean;
    try {
      decided = decide(request);
      const { disks, ...common } = request;
      many = (await decideMany(disks, common)).allowed(0);
      const again = normalizeStartRequest({ disks: [{ path: '/a', format: 'raw' }] });
      normalized = again;
      // Native code reads them like any others.
      inherited = [again, ...again.objects].some((object) => key in object && !Object.hasOwn(object, key));
    } finally {
      delete (Object.prototype as Record<string, unknown>)[key];
    }
    t.same(decided, expected, key);
    t.equal(many, false, key);
    t.same(normalized, plain, key);
    t.equal(inherited, false, key);
  }
});

t.test('options may be inherited from other objects', (t) => {
  class Disk {
    readonly format = 'raw';
    get context(): string {
      return context('sealed_t');
    }
  }
  const request = Object.create({ client, emulator });
  request.disks = [new Disk()];
  t.match(decide(request), { allowed: false, checks: [{ source: client, target: context('sealed_t') }] });
  t.end();
});

t.test('each option is read once', (t) => {
  const reads: Record<string, number> = {};
  // An object that answers well when it is checked, and otherwise when it is used.
  const shifting = (values: Record<string, readonly [first: unknown, later: unknown]>): Record<string, unknown> => {
    const object = {};
    for (const [key, [first, later]] of Object.entries(values)) {
      Object.defineProperty(object, key, {
        enumerable: true,
        get: () => {
          reads[key] = (reads[key] ?? 0) + 1;
          return reads[key] === 1 ? first : later;
        },
      });
    }
    return object;
  };
  const disk = shifting({
    path: ['/a', '/b'],
    context: [undefined, 'another context'],
    format: ['qcow2', 'raw'],
    readOnly: [true, 'no'],
    boot: [true, false],
  });
  const request = shifting({
    disks: [[disk], []],
    client: [client, 'a b'],
    selinux: ['require', 'off'],
    rule: ['change', 'transition'],
  });
  const normalized = normalizeStartRequest(request);
  t.match(normalized, { client, selinux: 'require', rule: 'change' });
  t.match(normalized.objects[0], { path: '/a', context: undefined, format: 'qcow2', readOnly: true, boot: true });
  t.same(new Set(Object.values(reads)), new Set([1]));
  t.end();
});

t.test('a descriptor may be closed as soon as decideAsync has returned', async (t) => {
  const path = join(directory, 'image');
  for (let i = 0; i < 50; i++) {
    const fd = openSync(path, 'r');
    const pending = decideAsync({ selinux: 'off', disks: [{ fd, format: 'raw', readOnly: true }] });
    closeSync(fd);
    t.match(await pending, { evaluated: false });
  }
  await t.rejects(decideAsync({ selinux: 'off', disks: [{ fd: 1_000_000, format: 'raw' }] }), { code: 'EBADF' });
});

t.test('a path is never cut short on its way to the kernel', (t) => {
  const prepared = prepareDecision({ client, emulator, disks: [raw('disk_t')] });
  // 4,096 bytes and more, so that a cut can fall between any two bytes of a character.
  for (const character of ['x', 'é', '€', '😀']) {
    for (let ahead = 0; ahead < 4; ahead++) {
      const path = `/${'y'.repeat(ahead)}${character.repeat(5000)}`;
      t.throws(() => prepared.verdictOn(path), { code: 'ENAMETOOLONG', syscall: 'fstatat' });
    }
  }
  t.end();
});

t.test('a question that the kernel does not take spoils no other image', async (t) => {
  flushCache();
  faults.clear();
  // As for a label that does not fit into one page.
  faults.arm('security_compute_av_flags_raw', 0, 27);
  t.teardown(() => faults.clear());
  const result = await decideMany([raw('disk_t'), raw('data_t'), raw('disk_t')], { client, emulator }, { threads: 1 });
  t.equal(result.errors.size, 2);
  t.match(result.error(0), { code: 'EFBIG' });
  t.equal(result.allowed(0), false);
  t.equal(result.verdicts[0], 0xffffffff);
  t.match(result.error(2), { code: 'EFBIG' });
  t.equal(result.error(1), null);
  t.not(result.verdicts[1], 0xffffffff);
});

t.test('the action fits what the VM begins with, for many as for one', async (t) => {
  const state = { context: context('disk_t') };
  await t.rejects(decideMany([raw('disk_t')], { client, state }), { code: 'ERR_INVALID_ARG_VALUE' });
  await t.rejects(decideMany([raw('disk_t')], { client, action: 'restore' }), { code: 'ERR_INVALID_ARG_VALUE' });
  t.throws(() => decide({ client, disks: [raw('disk_t')], state }), { code: 'ERR_INVALID_ARG_VALUE' });
});

t.test('many jobs that end at once', async (t) => {
  // A thread may have ended, and its stack be gone, before the one that made it runs on.
  for (let round = 0; round < 20; round++) {
    const jobs = Array.from({ length: 200 }, () =>
      decideAsync({ selinux: 'off', disks: [{ path: '/nonexistent', format: 'raw' }] }),
    );
    const settled = await Promise.allSettled(jobs);
    t.ok(settled.every(({ status }) => status === 'rejected'));
  }
});
