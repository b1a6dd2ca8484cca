// watch(): policy loads and switches of the mode as events. The kernel's notices need an SELinux kernel
// (test/lab/guest/selinux.test.mjs); here it is the looking at the status page, the end of it, and
// what is told when.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { startFakeSelinux } from '../helpers/fake-selinux.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
const selinux = await import('../../lib/selinux.js');

/** The unreferenced timer of a watcher needs somebody else to keep the process alive. */
const alive = setInterval(() => {}, 1000);
t.teardown(() => clearInterval(alive));

t.test('tells of policy loads and switches of the mode, each once', async (t) => {
  const watcher = selinux.watch({ interval: 5 });
  const heard: unknown[] = [];
  watcher.on('policyload', (status) => heard.push(['policyload', status.policyload]));
  watcher.on('setenforce', (enforcing, status) => heard.push(['setenforce', enforcing, status.enforcing]));
  const { policyload } = watcher.status;

  fake.reload();
  await once(watcher, 'policyload');
  selinux.securitySetenforce(false);
  await once(watcher, 'setenforce');
  selinux.securitySetenforce(true);
  await once(watcher, 'setenforce');
  selinux.securitySetBoolean('clients_read_secret', true);
  selinux.securityCommitBooleans();
  await once(watcher, 'policyload');
  await sleep(30);
  t.strictSame(heard, [
    ['policyload', policyload + 1],
    ['setenforce', false, false],
    ['setenforce', true, true],
    ['policyload', policyload + 2],
  ]);
  t.strictSame(watcher.status, selinux.selinuxStatus());

  const closed = once(watcher, 'close');
  watcher.close();
  watcher.close();
  await closed;
  selinux.securitySetenforce(false);
  selinux.securitySetenforce(true);
  fake.reload();
  await sleep(30);
  t.equal(heard.length, 4, 'nothing comes after close');
});

t.test('a listener may close it', async (t) => {
  const watcher = selinux.watch({ interval: 5 });
  watcher.on('setenforce', () => t.fail('closed by the listener before'));
  watcher.once('policyload', () => watcher.close());
  const closed = once(watcher, 'close');
  fake.reload();
  selinux.securitySetenforce(false);
  await closed;
  selinux.securitySetenforce(true);
});

t.test('an AbortSignal closes it', async (t) => {
  const controller = new AbortController();
  const watcher = selinux.watch({ signal: controller.signal });
  const closed = once(watcher, 'close');
  controller.abort();
  await closed;
  const late = selinux.watch({ signal: AbortSignal.abort() });
  late.on('policyload', () => t.fail('aborted before it began'));
  fake.reload();
  await sleep(20);
});

t.test('using', async (t) => {
  let closed = false;
  {
    using watcher = selinux.watch();
    watcher.on('close', () => {
      closed = true;
    });
  }
  t.equal(closed, true);
});

t.test('a page that is being changed, or torn, is waited for', async (t) => {
  const watcher = selinux.watch({ interval: 5 });
  const { sequence, policyload } = watcher.status;
  watcher.on('error', (error) => t.fail(String(error)));
  let told = false;
  watcher.on('policyload', () => {
    told = true;
  });
  const page = (values: number[]): void => {
    const fd = openSync(join(fake.directory, 'status'), 'r+');
    writeSync(fd, Buffer.from(Uint32Array.from(values).buffer));
    closeSync(fd);
  };
  page([1, sequence + 1, 1, policyload + 1, 0]);
  t.throws(() => selinux.selinuxStatus(), {
    name: 'PolicyChangedError',
    code: 'ERR_SELINUX_POLICY_CHANGED',
    retryable: true,
  });
  await sleep(30);
  t.equal(told, false);
  page([1, sequence + 2, 1, policyload + 1, 0]);
  await once(watcher, 'policyload');
  watcher.close();
});

t.test('does not keep the process alive, unless asked to', async (t) => {
  const child = join(import.meta.dirname, '../helpers/watch-child.ts');
  const run = (mode: string) =>
    spawnSync(process.execPath, [...process.execArgv, child, mode], { encoding: 'utf8', timeout: 60_000 });
  const idle = run('unreferenced');
  t.match(idle, { status: 0, signal: null }, idle.stderr);
  const busy = run('referenced');
  t.match(busy, { status: 0, stdout: 'loaded\n' }, busy.stderr);
});
