// Every call that a launch makes on a host with SELinux (the fake one), made to fail: never a VM that was not decided
// about or runs in another context, the right error, nothing left behind, and the next launch works. And what is logged.
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { LaunchOptions } from '../../types/public.js';
import { startFakeSelinux } from '../helpers/fake-selinux.js';
import { allowed, cannotLabel, labelled, VM_CONTEXT } from '../helpers/labelled.js';
import { belongings, nothingIsLeft, sweep, UNKNOWN_EXIT } from '../helpers/launch-sweep.js';
import { fakeAudit, faults } from '../helpers/test-addon.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
fake.setLaunched(VM_CONTEXT);
faults.preload(fakeAudit);
const { launch } = await import('../../lib/launch.js');
const { flushCache } = await import('../../lib/decide.js');
const { AccessDeniedError } = await import('../../lib/errors.js');

const directory = t.testdir({});
const skip = cannotLabel(directory);
const log = join(directory, 'audit.log');
process.env.FAKE_AUDIT_LOG = log;
/** The records since the last call. */
function audited(): string[] {
  try {
    const records = readFileSync(log, 'utf8').split('\n').slice(0, -1);
    rmSync(log);
    return records;
  } catch {
    return [];
  }
}
const { EIO, ENOMEM, EOPNOTSUPP } = constants.errno;

// Without the right to write to the audit log nothing is logged.
const CAP_AUDIT_WRITE = 29n;
const capabilities = BigInt(`0x${/^CapEff:\t(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]}`);
const mayAudit = (capabilities >> CAP_AUDIT_WRITE) & 1n;
const skipAudit = mayAudit ? skip : 'needs CAP_AUDIT_WRITE';

/** What every launch here shares, its own files in `directory`; what comes after it replaces it. */
const options = (more: Partial<LaunchOptions> = {}): LaunchOptions => ({ ...allowed(directory, '/bin/true'), ...more });
const disks = (type: string): LaunchOptions['disks'] => [
  { path: labelled(directory, `${type}.raw`, type), format: 'raw', readOnly: true },
];

/** Launches with nothing in the cache, so that every question is asked; what is unlike an allowed start is an error. */
async function run(start: LaunchOptions): Promise<Error | undefined> {
  flushCache();
  fake.takeExecContext();
  try {
    const vm = await launch(start);
    const [code, signal] = await once(vm, 'close');
    if (vm.context !== VM_CONTEXT) return new Error(`runs in ${vm.context}`);
    const set = fake.takeExecContext();
    if (set !== VM_CONTEXT) return new Error(`was executed in '${set}'`);
    if (code === 0) return undefined;
    return Object.assign(new Error(`ended with ${code ?? signal}`), { code: UNKNOWN_EXIT });
  } catch (error) {
    return error as Error;
  }
}

/** The same for a start that fails as it has to: this is its good end. */
const runTo = (end: (error: Error) => boolean, start: LaunchOptions) => async (): Promise<Error | undefined> => {
  const error = (await run(start)) ?? new Error('launched');
  return end(error) ? undefined : error;
};

/** Once for each class that is asked about. */
const cannotFail = (classes: number) => ({
  selinux_flush_class_cache: [classes, 'selinux_flush_class_cache(3) returns nothing'] as const,
});

t.test('an allowed launch', { skip }, async (t) => {
  const start = options();
  const failed = await sweep(t, { run: () => run(start), errnos: [EIO, ENOMEM], harmless: cannotFail(5) });
  for (const call of ['security_compute_av_flags_raw', 'security_compute_create_raw', 'child:exec-context-write']) {
    t.ok(failed.has(call), call);
  }
});

t.test('a refused launch: a refusal stands whether it could be logged or not', { skip: skipAudit }, async (t) => {
  const start = options({ disks: disks('data_t') });
  const refused = runTo((error) => error instanceof AccessDeniedError && error.tclass === 'vm', start);
  audited();
  t.equal(await refused(), undefined);
  t.match(audited(), [/^1107 avc: {2}denied {2}\{ entrypoint \} for .*data_t.* tclass=vm permissive=0$/]);
  const failed = await sweep(t, {
    run: refused,
    errnos: [EIO, ENOMEM],
    harmless: {
      ...cannotFail(4),
      audit_open: [1, 'the refusal stands'],
      audit_log_user_avc_message: [1, 'the refusal stands'],
      openat: [1, 'whether it may be logged is not known, and the refusal stands'],
      read: [2, 'whether it may be logged is not known, and the refusal stands'],
    },
  });
  t.notOk(failed.has('clone'));
  audited();
});

t.test('sockets, up to where a kernel without SELinux has no label for them', { skip }, async (t) => {
  const start = options({ stdio: 'pipe' });
  const unlabelled = (error: NodeJS.ErrnoException): boolean =>
    error.name === 'SystemError' && error.errno === -EOPNOTSUPP && error.syscall === 'fgetxattr';
  const failed = await sweep(t, {
    run: runTo(unlabelled, start),
    errnos: [EIO, ENOMEM],
    harmless: {
      ...cannotFail(4),
      pwrite: [1, "the thread's attribute is cleared in a second attempt"],
      pread: [1, "the thread's attribute is cleared in a second attempt"],
    },
  });
  for (const call of ['pwrite', 'getsockopt']) t.ok(failed.has(call), call);
  t.equal(readFileSync(join(fake.directory, 'attr/sockcreate'), 'utf8'), '', 'and no thread keeps the label');
});

t.test('what a start that goes on has logged', { skip: skipAudit }, async (t) => {
  const start = (type: string): LaunchOptions => options({ disks: disks(type) });
  audited();
  t.equal(await run(start('disk_t')), undefined);
  t.same(audited(), [], 'nothing, usually');

  t.test('a grant that policy wants to see', async (t) => {
    fake.reload({ cil: '(auditallow client_t vm_t (vm (start)))' });
    t.equal(await run(start('disk_t')), undefined);
    t.match(audited(), [/^1107 avc: {2}granted {2}\{ start \} for .* tcontext=user_u:user_r:vm_t:s0 tclass=vm$/]);
  });
  t.test('a denial that is not enforced', async (t) => {
    fake.reload({ cil: '(typepermissive data_t)' });
    t.equal(await run(start('data_t')), undefined);
    t.match(audited(), [/^1107 avc: {2}denied {2}\{ entrypoint \} .* tclass=vm permissive=1$/]);
    for (const call of ['audit_open', 'audit_log_user_avc_message']) {
      faults.clear();
      faults.arm(call, 0, EIO);
      t.equal(await run(start('data_t')), undefined, 'it is as allowed as before where it cannot be logged');
      faults.clear();
      t.same(audited(), []);
    }
  });
  t.teardown(() => fake.reload());
});

t.test('a VM that does not run in its context is ended', { skip }, async (t) => {
  const start = options();
  const before = belongings();
  for (const found of ['user_u:user_r:launcher_t:s0', 'user_u:user_r:vm_t:s0:c1', '']) {
    fake.setLaunched(found);
    t.match(await run(start), found === '' ? { code: 'ERR_SELINUX_ATTRIBUTE' } : { code: 'ERR_LAUNCH_CONTEXT' });
  }
  fake.setLaunched(VM_CONTEXT);
  await nothingIsLeft(t, before, 'nothing is left');
});
