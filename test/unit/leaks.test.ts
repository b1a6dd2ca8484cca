// What nobody holds any more is given back: the memory and the descriptors behind dropped objects, and whatever a
// Worker had under way when it was terminated.
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { StartRequest } from '../../types/public.js';
import { writeChain } from '../fixtures/images.js';
import { startFakeSelinux } from '../helpers/fake-selinux.js';
import { allowed, CLIENT, cannotLabel, VM_CONTEXT } from '../helpers/labelled.js';
import { belongings, nothingIsLeft, warmUp } from '../helpers/launch-sweep.js';
import { eventually, openDescriptors, rawImage } from '../helpers/launching.js';
import { addon } from '../helpers/test-addon.js';
import { startWorker } from '../helpers/worker.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
const { decide, decideAsync, decideMany, prepareDecision } = await import('../../lib/decide.js');
const { launch } = await import('../../lib/launch.js');
const { command } = await import('../../lib/emulators/command.js');
const selinux = await import('../../lib/selinux.js');

const directory = t.testdir({});
const gc = globalThis.gc as () => void;
const context = (type: string): string => `system_u:object_r:${type}:s0`;
const emulator = { context: context('qemu_exec_t') };
const request: StartRequest = {
  disks: [{ context: context('disk_t'), format: 'raw', readOnly: true }],
  client: CLIENT,
  emulator,
};

/** Finalizers of native objects run in a turn of the event loop after the collection. */
async function collected(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    gc();
    await pause(2);
  }
}

/**
 * The bytes by which the process grows with each call once it has its size: the median of several rounds, because
 * allocators take memory from the system in large pieces and at odd times.
 */
async function growth(call: () => unknown, calls: number): Promise<number> {
  const sizes: number[] = [];
  for (let round = 0; round < 9; round++) {
    for (let i = 0; i < calls; i++) await call();
    await collected();
    sizes.push(process.memoryUsage.rss());
  }
  const steps = sizes.slice(4).map((size, i) => (size - sizes[i + 3]!) / calls);
  return steps.toSorted((a, b) => a - b)[Math.floor(steps.length / 2)] as number;
}

const quarantine = process.env.LD_PRELOAD?.includes('asan') ? 'ASan keeps freed memory back for a while' : false;

const prepareLaunch = () =>
  addon.launch.prepare({
    objects: [{ role: 'disk', boot: true, readOnly: true, format: 'qcow2', path: chain }],
    ...{ rule: 'transition', action: 'start', selinux: 'off', emulatorPath: '/bin/true' },
    stdio: [{ target: 0, kind: 'fd', fd: 0 }],
  });
const chain = writeChain(directory, 8);
const image = rawImage(directory);
const hundred = Array.from({ length: 100 }, (_, i) => ({ context: context(`gone${i}_t`), format: 'raw' as const }));

// What is behind each is a multiple of the limit, and the limit times the calls a multiple of what an allocator asks
// the system for: one that is kept is seen, and nothing else is.
const dropped: [name: string, make: () => unknown, calls: number, limit: number][] = [
  ['a PreparedDecision', () => prepareDecision(request), 2000, 700],
  ['a decision', () => decide(request), 2000, 700],
  ['a decision made off the event loop', () => decideAsync(request), 1000, 700],
  ['a ManyDecisions', () => decideMany(hundred, { client: CLIENT, emulator }, { threads: 1 }), 100, 10_000],
  ['a table of file contexts that was not closed', () => selinux.selabelOpen(), 1000, 700],
  ['the handle of a prepared launch', prepareLaunch, 200, 3000],
  ['a watcher that was closed', () => selinux.watch().close(), 500, 1500],
  [
    'a VM that has ended',
    async () => {
      const emulator = command({ path: '/bin/true' });
      const vm = await launch({ disks: [{ path: image, format: 'raw' }], emulator, selinux: 'off' });
      await once(vm, 'close');
    },
    25,
    30_000,
  ],
];
for (const [name, make, calls, limit] of dropped) {
  t.test(`${name} is given back with its memory and its descriptors`, async (t) => {
    await make();
    await collected();
    const before = openDescriptors();
    const grown = await growth(make, calls);
    t.ok(grown < limit, `it grows by ${Math.round(grown)} bytes a time`, { skip: quarantine });
    t.same(openDescriptors(), before);
  });
}

t.test('a prepared launch holds its descriptors as long as somebody holds it', async (t) => {
  const before = openDescriptors();
  let prepared: unknown = await prepareLaunch();
  await collected();
  // Eight images, the emulator, standard input.
  t.equal(openDescriptors().length, before.length + 10);
  t.ok(prepared);
  prepared = undefined;
  await collected();
  t.same(openDescriptors(), before);
});

t.test('a Worker that is terminated', async (t) => {
  const skip = cannotLabel(directory);
  const start = skip ? undefined : allowed(directory, '/bin/true');
  const sleeping = skip ? undefined : allowed(t.testdir({}), '/bin/sleep', ['60']);
  fake.setLaunched(VM_CONTEXT);
  const data = {
    request,
    hundred,
    common: { client: CLIENT, emulator },
    ...Object.fromEntries(
      Object.entries({ start, sleeping }).map(([key, options]) => [
        key,
        options && { ...options, emulator: options.emulator.path },
      ]),
    ),
  };
  const preamble = `
    const { decideAsync, decideMany, launch, command } = library;
    const ready = () => parentPort.postMessage('ready');
    const start = (options, args, more) => launch({ ...options, emulator: command({ path: options.emulator, args }), ...more });
  `;
  const bodies: Record<string, string> = {
    decideAsync: `ready(); for (;;) await Promise.all(Array.from({ length: 20 }, () => decideAsync(data.request)));`,
    decideMany: `const disks = Array.from({ length: 50 }, () => data.hundred).flat();
      ready(); for (;;) await decideMany(disks, data.common, { threads: 2 });`,
    prepare: `const emulator = { path: data.start.emulator, build() { throw new Error('enough'); } };
      ready(); for (;;) await launch({ ...data.start, emulator }).catch(() => {});`,
    spawn: `ready(); for (;;) await start(data.start);`,
    'the exit': `ready(); for (;;) { const vm = await start(data.start); await new Promise((r) => vm.once('close', r)); }`,
  };
  await warmUp(async () => {
    const vm = await launch({
      disks: [{ path: image, format: 'raw' }],
      emulator: command({ path: '/bin/true' }),
      selinux: 'off',
    });
    await once(vm, 'close');
  });

  for (const [name, body] of Object.entries(bodies)) {
    const needsLabels = body.includes('data.start');
    t.test(`during ${name}`, { skip: needsLabels && skip }, async (t) => {
      const terminated = async (delay: number): Promise<void> => {
        const worker = startWorker(preamble + body, data);
        worker.on('error', (error) => t.fail(`the Worker failed: ${error}`));
        await once(worker, 'message');
        await pause(delay);
        await worker.terminate();
      };
      await terminated(5);
      await collected();
      const before = belongings();
      for (const delay of [0, 1, 2, 3, 5, 8, 13, 21, 34, 55]) await terminated(delay);
      await collected();
      await nothingIsLeft(t, before, 'nothing is left');
    });
  }

  t.test('with a VM that runs: it runs on in its context, and is reaped', { skip }, async (t) => {
    const before = belongings();
    for (const more of ['{}', `{ onManagerExit: 'kill' }`]) {
      const worker = startWorker(
        `${preamble} const vm = await start(data.sleeping, ['60'], ${more}); parentPort.postMessage([vm.pid, vm.context]);`,
        data,
      );
      const [[pid, vmContext]] = (await once(worker, 'message')) as [[number, string]];
      await worker.terminate();
      t.equal(vmContext, VM_CONTEXT);
      await pause(50);
      t.same(belongings().children, [`${pid} S`]);
      process.kill(pid, 'SIGKILL');
      t.ok(await eventually(() => belongings().children.length === 0));
      await nothingIsLeft(t, before, 'nothing is left');
    }
  });
});
