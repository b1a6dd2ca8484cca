// Loading libselinux: missing, too old, installed later. And the real one of this machine, where there is
// one: the addon has to load it by its name and agree with the kernel about whether SELinux is there.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { startFakeSelinux } from '../helpers/fake-selinux.js';
import { fakeLibrary, faults } from '../helpers/test-addon.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
const selinux = await import('../../lib/selinux.js');

t.test('a missing library is an error of its own, with what to do', async (t) => {
  faults.useLibrary(join(fake.directory, 'libselinux.so.1'));
  for (const call of [selinux.isSelinuxEnabled, selinux.getcon, () => selinux.getfilecon('/')]) {
    t.throws(call, { name: 'SelinuxUnavailableError', code: 'ERR_SELINUX_LIBRARY', message: /install/ });
  }
});

t.test('so is one that lacks a function', async (t) => {
  faults.useLibrary('libm.so.6');
  t.throws(() => selinux.isSelinuxEnabled(), {
    name: 'SelinuxUnavailableError',
    code: 'ERR_SELINUX_SYMBOL',
    message: /upgrade/,
  });
});

t.test('a library that was installed meanwhile is found', async (t) => {
  faults.useLibrary(fakeLibrary);
  t.equal(selinux.isSelinuxEnabled(), true);
  faults.useLibrary('libm.so.6');
  t.equal(selinux.isSelinuxEnabled(), true, 'and stays');
  faults.useLibrary(fakeLibrary);
});

t.test('Workers share it', async (t) => {
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     const addon = require(workerData);
     addon.initialize(({ code, message }) => Object.assign(new Error(message), { code }));
     parentPort.postMessage([addon.selinux.isSelinuxEnabled(), addon.selinux.getcon(true)]);`,
    {
      eval: true,
      workerData: join(
        import.meta.dirname,
        '../..',
        process.env.VMENTRY_TEST_BUILD ?? 'build/test',
        'vm_entrypoint_test.node',
      ),
    },
  );
  const answer = await new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  t.strictSame(answer, [true, selinux.getcon()]);
  await worker.terminate();
});

t.test('the shipped addon and the real library', async (t) => {
  const { createRequire } = await import('node:module');
  const load = createRequire(import.meta.url)('node-gyp-build') as { resolve(directory: string): string };
  const path = load.resolve(join(import.meta.dirname, '../..'));
  // In a process of its own: here, both addons would share one module cache entry.
  const { execFileSync } = await import('node:child_process');
  const script = `
    const addon = require(${JSON.stringify(path)});
    addon.initialize(({ code, message }) => Object.assign(new Error(message), { code }));
    let answer;
    try { answer = addon.selinux.isSelinuxEnabled(); } catch (error) { answer = error.code; }
    console.log(JSON.stringify([answer, 'faults' in addon]));`;
  const [answer, hasFaults] = JSON.parse(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }));
  t.equal(hasFaults, false, 'nothing in it can choose a library or make a call fail');
  const enabled = existsSync('/sys/fs/selinux/enforce');
  t.ok(answer === enabled || answer === 'ERR_SELINUX_LIBRARY', `isSelinuxEnabled: ${answer}`);
});
