// Many images at once: the same answers as one by one, one policy for all of them, and a single bad
// image is its own affair.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { DiskRequest } from '../../types/public.js';
import { writeChain } from '../fixtures/images.js';
import { startFakeSelinux } from '../helpers/fake-selinux.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
const { decide, decideMany, VERDICT, flushCache } = await import('../../lib/decide.js');
const { DiskError } = await import('../../lib/errors.js');
const selinux = await import('../../lib/selinux.js');

const common = {
  client: 'user_u:user_r:client_t:s0-s0:c0.c7',
  emulator: { context: 'system_u:object_r:qemu_exec_t:s0' },
};
const byContext = (type: string, level = 's0'): DiskRequest => ({
  context: `system_u:object_r:${type}:${level}`,
  format: 'raw',
  readOnly: true,
});

t.test('no disks, no answers', async (t) => {
  const result = await decideMany([], common);
  t.equal(result.length, 0);
  t.throws(() => result.allowed(0), { code: 'ERR_OUT_OF_RANGE' });
});

t.test('the same answers as one by one', async (t) => {
  const types = ['disk_t', 'data_t', 'sealed_t', 'nobody_t', 'gone_t'];
  const disks = Array.from({ length: 2000 }, (_, i) => byContext(types[i % 5] as string, `s0:c${i % 7}`));
  for (const threads of [1, 4]) {
    const result = await decideMany(disks, common, { threads });
    t.equal(result.length, disks.length);
    t.equal(result.evaluated, true);
    t.equal(result.enforcing, true);
    t.equal(result.errors.size, 0);
    for (let i = 0; i < 35; i++) {
      const single = decide({ ...common, disks: [disks[i] as DiskRequest] });
      t.equal(result.allowed(i), single.allowed);
      t.equal(result.vmContext(i), single.vmContext);
      t.same(result.decision(i), single);
      t.equal(result.policySequence, single.policySequence);
    }
    t.equal(result.verdicts.filter((v) => v === 0).length, 400);
    t.equal(result.verdicts[1], VERDICT.entrypoint);
    t.equal(result.verdicts[3], VERDICT.noTransition);
  }
});

t.test('the whole answer belongs to one policy, also when it changes meanwhile', async (t) => {
  const disks = Array.from({ length: 3000 }, (_, i) => byContext('data_t', `s0:c${i % 8},c${(i * 3) % 8}`));
  const changes = setInterval(() => selinux.securitySetenforce(true), 1);
  const pending = decideMany(disks, common, { threads: 2 });
  fake.reload({ cil: '(allow data_t vm_t (vm (entrypoint)))' });
  const result = await pending.finally(() => clearInterval(changes));
  const verdicts = new Set(result.verdicts);
  t.equal(verdicts.size, 1);
  fake.reload();
});

t.test('an image that cannot be looked at is its own error', async (t) => {
  const disks = [
    byContext('disk_t'),
    { path: '/nonexistent', format: 'raw' },
    { path: '/dev/null', format: 'raw' },
    byContext('disk_t'),
  ] as const;
  const result = await decideMany(disks, common);
  t.equal(result.allowed(0), true);
  t.equal(result.allowed(1), false);
  t.match(result.error(1), { code: 'ENOENT', path: '/nonexistent' });
  t.ok(result.error(2) instanceof DiskError);
  t.throws(() => result.decision(1), { code: 'ENOENT' });
  t.equal(result.allowed(3), true);
  t.equal(result.errors.size, 2);
  t.equal(result.verdicts[1], 0xffffffff);
  t.equal(result.vmContext(1), null);
});

t.test('what concerns all of them rejects', async (t) => {
  await t.rejects(decideMany([byContext('disk_t')], { ...common, emulator: '/nonexistent' }), { code: 'ENOENT' });
  await t.rejects(decideMany([byContext('disk_t')], { ...common, kernel: { path: '/nonexistent' } }), {
    code: 'ENOENT',
  });
  fake.reload({ files: ['test/fixtures/policy/base.cil'] });
  await t.rejects(decideMany([byContext('disk_t')], common), { code: 'ERR_SELINUX_CLASS_UNKNOWN' });
  fake.reload();
});

t.test('abort and progress', async (t) => {
  const disks = Array.from({ length: 20_000 }, (_, i) => byContext(`gone${i}_t`));
  const reason = new Error('enough');
  await t.rejects(decideMany(disks, common, { signal: AbortSignal.abort(reason) }), {
    name: 'AbortError',
    cause: reason,
  });
  flushCache();
  const controller = new AbortController();
  const pending = decideMany(disks, common, { signal: controller.signal, threads: 1 });
  setTimeout(() => controller.abort(reason), 5);
  await t.rejects(pending, { name: 'AbortError', code: 'ABORT_ERR', cause: reason });
  let last = 0;
  await decideMany(disks.slice(0, 500), common, {
    onProgress: (done, total) => {
      t.equal(total, 500);
      t.ok(done >= last);
      last = done;
    },
  });
  t.equal(last, 500);
});

t.test("selinux: 'off'", async (t) => {
  const result = await decideMany([byContext('nobody_t')], { ...common, selinux: 'off' });
  t.equal(result.evaluated, false);
  t.equal(result.allowed(0), true);
  t.equal(result.vmContext(0), null);
  t.match(result.decision(0), { allowed: true, evaluated: false, checks: [] });
});

const directory = t.testdir({});
const label = (path: string, type: string): boolean => {
  try {
    selinux.setfilecon(path, `system_u:object_r:${type}:s0`);
    return true;
  } catch {
    return false;
  }
};
writeFileSync(join(directory, 'probe'), '');
const skip = label(join(directory, 'probe'), 'disk_t') ? false : 'labels cannot be set here';

t.test('files and chains', { skip }, async (t) => {
  const paths = Array.from({ length: 100 }, (_, i) => join(directory, `${i}.raw`));
  for (const path of paths) writeFileSync(path, 'x'.repeat(512));
  for (const [i, path] of paths.entries()) label(path, i % 10 === 3 ? 'lib_t' : 'disk_t');
  const result = await decideMany(
    paths.map((path) => ({ path, format: 'raw', readOnly: true })),
    common,
    { threads: 3 },
  );
  t.equal(result.errors.size, 0);
  for (let i = 0; i < paths.length; i++) {
    t.equal(result.allowed(i), i % 10 !== 3);
    t.equal(result.decision(i).checks[0]?.subject, paths[i]);
  }

  // chain-2 on chain-1 on chain-0.
  const top = writeChain(directory, 3);
  for (const [i, type] of ['data_t', 'disk_t', 'disk_t'].entries()) label(join(directory, `chain-${i}`), type);
  const chains = await decideMany([{ path: top, format: 'qcow2', readOnly: true }], common);
  t.equal(chains.error(0), null);
  t.equal(chains.allowed(0), false);
  const denied = chains.decision(0).checks.filter((check) => check.denied.length > 0);
  t.same(
    denied.map((check) => [check.question, check.subject]),
    [['entrypoint', join(directory, 'chain-0')]],
  );
});

t.test('a Worker may end with results under way', async (t) => {
  const script = `
    import { Worker } from 'node:worker_threads';
    const body = (batch) => \`
      import { decideMany } from '\${process.argv[1]}';
      import { parentPort } from 'node:worker_threads';
      const disks = Array.from({ length: \${batch} }, () => ({ path: '/etc/passwd', format: 'raw', readOnly: true }));
      const ask = () => decideMany(disks, { selinux: 'off' }, { threads: 1 }).catch(() => {});
      for (let i = 0; i < 64; i++) ask();
      parentPort.postMessage('asked');
      for (const end = Date.now() + 60_000; Date.now() < end; );
    \`;
    for (let i = 0; i < 6; i++) {
      const source = 'data:text/javascript,' + encodeURIComponent(body(i % 2 ? 1 : 50));
      const worker = new Worker(new URL(source));
      await new Promise((resolve) => worker.once('message', resolve));
      await new Promise((resolve) => setTimeout(resolve, 40 * i));
      await worker.terminate();
    }
    console.log('alive');`;
  const library = new URL('../../dist/index.js', import.meta.url).href;
  const { stdout, stderr, status, signal } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', script, library],
    { encoding: 'utf8' },
  );
  t.same({ stdout, status, signal }, { stdout: 'alive\n', status: 0, signal: null }, stderr);
});
