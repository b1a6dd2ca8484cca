// watch() with a "kernel" that notifies: told at once, whatever the order of notice and change, and in
// every way of ending, that of a Worker included.
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { startFakeSelinux } from '../helpers/fake-selinux.js';
import { faults } from '../helpers/test-addon.js';

const fake = startFakeSelinux({ notices: true });
t.teardown(() => fake.stop());
const selinux = await import('../../lib/selinux.js');
const alive = setInterval(() => {}, 1000);
t.teardown(() => clearInterval(alive));

/** Never looks by itself within a test: what is heard was told. */
const told = { interval: 3_600_000 };
const within = () => ({ signal: AbortSignal.timeout(30_000) });
const sockets = (): number => readdirSync('/proc/self/fd').length;

t.test('tells at once', async (t) => {
  const watcher = selinux.watch(told);
  t.equal(watcher.notified, true);
  const before = watcher.status.policyload;
  const loaded = once(watcher, 'policyload', within());
  fake.reload();
  t.match(await loaded, [{ policyload: before + 1 }]);
  for (const enforcing of [false, true]) {
    const switched = once(watcher, 'setenforce', within());
    selinux.securitySetenforce(enforcing);
    t.match(await switched, [enforcing, { enforcing }]);
  }
  watcher.close();
  t.equal(watcher.notified, false);
});

t.test('a notice that comes before the change is not lost', async (t) => {
  const watcher = selinux.watch(told);
  const { sequence, policyload } = watcher.status;
  const loaded = once(watcher, 'policyload', within());
  // The mode as it is: a notice without a change. Then the change without a notice.
  selinux.securitySetenforce(true);
  const fd = openSync(join(fake.directory, 'status'), 'r+');
  const page = (values: number[]): void => void writeSync(fd, Buffer.from(Uint32Array.from(values).buffer), 0, 20, 0);
  page([1, sequence, 1, policyload, 0]);
  await sleep(5);
  page([1, sequence + 2, 1, policyload + 1, 0]);
  closeSync(fd);
  t.match(await loaded, [{ policyload: policyload + 1 }]);
  watcher.close();
});

t.test('an error in a listener is an uncaught exception, as with every emitter', async (t) => {
  const watcher = selinux.watch(told);
  watcher.once('policyload', () => {
    throw new Error('from the listener');
  });
  // What is uncaught in this test is tap's business: so take it over for a moment.
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  const uncaught = once(process, 'uncaughtException', within());
  fake.reload();
  const [error] = await uncaught;
  for (const listener of listeners) process.on('uncaughtException', listener);
  t.match(error, { message: 'from the listener' });
  const again = once(watcher, 'policyload', within());
  fake.reload();
  await again;
  watcher.close();
});

t.test('every watcher is told, and closing frees its socket', async (t) => {
  const before = sockets();
  const watchers = Array.from({ length: 20 }, () => selinux.watch(told));
  t.ok(sockets() >= before + 20);
  const all = Promise.all(watchers.map((watcher) => once(watcher, 'policyload', within())));
  fake.reload();
  await all;
  for (const watcher of watchers) watcher.close();
  await sleep(10);
  t.ok(sockets() <= before, `${sockets()} descriptors, ${before} before`);
});

t.test('where the socket is refused, it looks', async (t) => {
  const EMFILE = 24;
  faults.arm('uv_poll_init', 0, EMFILE);
  const before = sockets();
  const watcher = selinux.watch({ interval: 5 });
  t.equal(watcher.notified, false);
  t.equal(sockets(), before, 'the socket is closed again');
  const loaded = once(watcher, 'policyload', within());
  fake.reload();
  await loaded;
  watcher.close();
});

t.test('Workers end with it open, and take it with them', async (t) => {
  const addon = join(
    import.meta.dirname,
    '../..',
    process.env.VMENTRY_TEST_BUILD ?? 'build/test',
    'vm_entrypoint_test.node',
  );
  const before = sockets();
  for (const ending of ['terminate', 'exit', 'throw', 'collected']) {
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       const addon = require(workerData.addon);
       addon.initialize(({ code, message }) => Object.assign(new Error(message), { code }));
       addon.selinux.selinuxStatus();
       let events = addon.selinux.openPolicyEvents(() => parentPort.postMessage('changed'));
       parentPort.on('message', () => {
         if (workerData.ending === 'exit') process.exit(0);
         if (workerData.ending === 'throw') throw new Error('the end');
         events = null;
         globalThis.gc?.();
         parentPort.unref();
       });
       parentPort.postMessage('ready');`,
      { eval: true, workerData: { addon, ending } },
    );
    worker.on('error', (error) => t.equal(ending === 'throw' && error.message, 'the end'));
    await once(worker, 'message');
    const changed = once(worker, 'message', within());
    fake.reload();
    t.strictSame(await changed, ['changed'], ending);
    // Not once(): it would reject with the error that is meant.
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    if (ending === 'terminate') await worker.terminate();
    else worker.postMessage('end');
    await exited;
    t.ok(sockets() <= before, `${ending}: nothing is left open`);
  }
});
