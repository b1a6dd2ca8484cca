// What launches leave in the audit log, on a kernel that enforces: refusals, what was let pass because a type is
// permissive, and grants under auditallow. Once each, and in the words of the decision.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import test, { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { securitySetenforce } from 'vm-entrypoint/selinux';
import { client, image, Manager, vmContext } from './between/harness.mjs';
import { compilePolicy, loadBinaryPolicy, withoutPermission } from './policies.mjs';

const USER_AVC = 1107;
const USER_SELINUX_ERR = 1122;
const disks = Object.fromEntries(
  ['unclass', 'secret', 'topsecret', 'data'].map((type) => [type, image(type, `vm_${type}_virtdisk_t`)]),
);
const request = (level, disk) => ({
  options: { client: client(level), disks: [{ path: disks[disk], format: 'raw', readOnly: true }] },
});
const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8' });

let manager;
before(async () => {
  // Without it the kernel takes USER_AVC records only.
  run('auditctl', '-e', '1');
  loadBinaryPolicy(
    compilePolicy(
      `(auditallow vm_unclass_virtdisk_t vm_unclass_t (vm (entrypoint)))
       (auditallow vm_unclass_client_t vm_unclass_t (vm (start)))
       (auditallow vm_manager_t vm_unclass_t (process (transition)))
       (typepermissive vm_data_virtdisk_t)
       (typepermissive vm_topsecret_t)`,
      (cil) => withoutPermission(cil, 'vm_topsecret_t', 'vm_topsecret_virtdisk_t', 'file', 'read'),
    ),
  );
  manager = await Manager.start();
});
after(async () => {
  await manager?.close();
  loadBinaryPolicy();
  run('auditctl', '-e', '0');
});

/** Calls `body` and gives its result, and the records of these kinds that were written meanwhile. */
async function recorded(body) {
  run('dmesg', '--clear');
  const result = await body();
  // The kernel's audit thread prints them.
  await sleep(500);
  const records = run('dmesg')
    .split('\n')
    .flatMap((line) => {
      const [, type, rest] = /audit: type=(\d+) audit\([^)]*\): (.*)$/.exec(line) ?? [];
      return type === undefined ? [] : [{ type: Number(type), text: rest }];
    });
  return { result, records, ours: records.filter(({ type }) => type === USER_AVC || type === USER_SELINUX_ERR) };
}
/** A record of user space as its sender and its message. */
function parse({ type, text }) {
  const [, pid, sender, message] = /^pid=(\d+) .*\bsubj=(\S+) msg='(.*?) exe=/.exec(text) ?? [];
  assert.ok(message, text);
  return { type, pid: Number(pid), sender, message };
}
/** The message that belongs to one check. */
const message = (verdict, check, permissions) =>
  `avc:  ${verdict}  { ${permissions.join(' ')} } for  name="${check.subject}" scontext=${check.source} ` +
  `tcontext=${check.target} tclass=${check.objectClass}` +
  (verdict === 'denied' ? ` permissive=${Number(check.permissive)}` : '');
const denials = ({ checks }) =>
  checks.filter(({ denied }) => denied.length > 0).map((check) => message('denied', check, check.denied));
function assertRecords(records, type, messages) {
  const sender = 'unconfined_u:unconfined_r:vm_manager_t:s0-s0:c0.c1023';
  assert.deepEqual(
    records.map(parse),
    messages.map((text) => ({ type, pid: manager.pid, sender, message: text })),
  );
}

test('a start that is refused is recorded once, each denial by itself', async () => {
  const { result, ours } = await recorded(() =>
    manager.fails(request('secret', 'topsecret'), 'ERR_SELINUX_DENIED', 'AccessDeniedError'),
  );
  const expected = denials(result.decision);
  assert.ok(expected.length > 1 && expected.every((text) => text.endsWith(' permissive=0')), expected.join('\n'));
  assertRecords(ours, USER_AVC, expected);
});

test('a start that only the second decision refuses is recorded once', async () => {
  securitySetenforce(false);
  const { result, ours } = await recorded(() =>
    manager.fails(
      { ...request('secret', 'topsecret'), build: () => securitySetenforce(true) },
      'ERR_SELINUX_DENIED',
      'AccessDeniedError',
    ),
  );
  assert.deepEqual(result.decision.enforcing, true);
  assertRecords(ours, USER_AVC, denials(result.decision));
});

test('a start without a domain is recorded as an error of the policy', async () => {
  const { result, ours } = await recorded(() =>
    manager.fails(request('unclass', 'secret'), 'ERR_SELINUX_DENIED', 'AccessDeniedError'),
  );
  assert.equal(result.decision.refusal, 'no-transition');
  assertRecords(
    ours.filter(({ type }) => type === USER_SELINUX_ERR),
    USER_SELINUX_ERR,
    [
      `op=vm_entrypoint_decide seresult=denied reason=no_transition name="${disks.secret}" ` +
        `scontext=${client('unclass')} tcontext=system_u:object_r:vm_secret_virtdisk_t:s0 tclass=vm`,
    ],
  );
});

test('a permissive disk: it starts, the denial is listed as permissive, and recorded so once', async () => {
  const { result, ours } = await recorded(() => manager.works(request('secret', 'data'), vmContext('secret')));
  assert.equal(result.allowed, true);
  assert.equal(result.enforcing, true);
  const [expected, ...others] = denials(result);
  assert.deepEqual(others, []);
  assert.match(expected, /\{ entrypoint \} .*scontext=\S+:vm_data_virtdisk_t:\S+ .* permissive=1$/);
  assertRecords(ours, USER_AVC, [expected]);
});

test('a permissive VM domain: it starts, the denial is listed as permissive, and the kernel records it', async () => {
  const { result, records, ours } = await recorded(() =>
    manager.works(request('topsecret', 'topsecret'), vmContext('topsecret')),
  );
  assert.equal(result.enforcing, true);
  const denied = result.checks.filter((check) => check.denied.length > 0);
  assert.deepEqual(
    denied.map(({ question, permissive, rule }) => [question, permissive, rule]),
    [['inherit', true, '(allow vm_topsecret_t vm_topsecret_virtdisk_t (file (read)))']],
  );
  assert.deepEqual(ours, []);
  assert.ok(
    records.some(({ text }) =>
      /avc:\s+denied\s+\{ read \} .*scontext=\S+:vm_topsecret_t:\S+ tcontext=\S+:vm_topsecret_virtdisk_t:\S+ tclass=file permissive=1/.test(
        text,
      ),
    ),
    JSON.stringify(records),
  );
});

test('grants that policy wants in the log are recorded when they are used, once', async () => {
  const { result, records, ours } = await recorded(() =>
    manager.works(request('unclass', 'unclass'), vmContext('unclass')),
  );
  const granted = result.checks
    .filter(({ objectClass }) => objectClass === 'vm')
    .filter(({ question }) => question !== 'vm-domain')
    .map((check) => message('granted', check, check.requested));
  assert.equal(granted.length, 2);
  assertRecords(ours, USER_AVC, granted);
  // What the kernel asks at the exec it records itself.
  assert.equal(records.filter(({ text }) => /avc:\s+granted\s+\{ transition \}/.test(text)).length, 1);
});

test('a start that is allowed in every way leaves no record', async () => {
  const { ours } = await recorded(() => manager.works(request('secret', 'secret'), vmContext('secret')));
  assert.deepEqual(ours, []);
});
