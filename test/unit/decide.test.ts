// Decisions from a true policy: libsepol answers from the shipped module and the rules of
// test/fixtures/policy. Images are real files with real labels where the machine lets us set them.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Check, Decision, StartRequest } from '../../types/public.js';
import { startFakeSelinux } from '../helpers/fake-selinux.js';
import { faults } from '../helpers/test-addon.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
const {
  decide,
  decideAsync,
  explain,
  prepareDecision,
  VERDICT,
  internContext,
  accessQuestion,
  cacheStatistics,
  flushCache,
} = await import('../../lib/decide.js');
const { denialMessage, missingRules } = await import('../../lib/denial-message.js');
const { ContextError, DiskError, SelinuxError, StateError, SystemError } = await import('../../lib/errors.js');
const selinux = await import('../../lib/selinux.js');

const CLIENT = 'user_u:user_r:client_t:s0-s0:c0.c7';
const OTHER = 'user_u:user_r:other_client_t:s0-s0:c0.c7';
const LAUNCHER = 'user_u:user_r:launcher_t:s0-s0:c0.c7';
const EMULATOR = { context: 'system_u:object_r:qemu_exec_t:s0' };
const label = (type: string, level = 's0'): string => `system_u:object_r:${type}:${level}`;

/** A request about contexts alone: nothing is opened. */
const about = (type: string, level = 's0', more: Partial<StartRequest> = {}): StartRequest => ({
  disks: [{ context: label(type, level), format: 'raw', readOnly: true }],
  client: CLIENT,
  emulator: EMULATOR,
  ...more,
});

const denied = (decision: Decision): Check[] => decision.checks.filter((check) => check.denied.length > 0);
const text = (decision: Decision): string[] =>
  denied(decision).map(
    (c) =>
      `${c.question}: ${c.source.split(':')[2]} ${c.target.split(':')[2]} ${c.objectClass} { ${c.denied.join(' ')} }`,
  );

t.test('an allowed start has every check, and nothing denied', async (t) => {
  const decision = decide(about('disk_t'));
  t.same(text(decision), []);
  t.match(decision, {
    allowed: true,
    evaluated: true,
    refusal: null,
    vmContext: 'user_u:user_r:vm_t:s0',
    enforcing: true,
  });
  t.same(
    decision.checks.map((check) => check.question),
    ['read-disk', 'vm-domain', 'entrypoint', 'start', 'exec', 'exec', 'exec', 'exec', 'inherit', 'inherit'],
  );
  t.type(decision.policySequence, 'number');
  for (const check of decision.checks)
    t.match(check, { rule: null, invalidContext: null, permissive: false, constraint: false });
});

t.test('nothing is opened when only contexts are given', async (t) => {
  decide(about('disk_t'));
  faults.clear();
  decide(about('disk_t'));
  const calls = Object.keys(faults.calls());
  // What is left is about this thread (its no_new_privs) and its own context, and the policy's state.
  t.notOk(
    calls.some((name) => /^(fstat|fgetxattr|getxattr|lgetxattr|fstatat|reopen)$/.test(name)),
    calls.join(' '),
  );
});

t.test('same disk, two clients: two domains', async (t) => {
  t.equal(decide(about('disk_t')).vmContext, 'user_u:user_r:vm_t:s0');
  const other = decide(about('disk_t', 's0', { client: OTHER }));
  t.equal(other.vmContext, 'user_u:user_r:other_vm_t:s0');
  t.equal(other.allowed, true);
});

t.test('the level of the VM is the intersection of clearance and disk', async (t) => {
  t.equal(decide(about('disk_t', 's0:c1,c2')).vmContext, 'user_u:user_r:vm_t:s0-s0:c1,c2');
  const narrow = about('disk_t', 's0:c1,c2', { client: 'user_u:user_r:client_t:s0-s0:c1' });
  const decision = decide(narrow);
  t.equal(decision.vmContext, 'user_u:user_r:vm_t:s0-s0:c1');
  t.equal(decision.allowed, false, 'it may not read an image with more categories than it has');
  const check = denied(decision).find((c) => c.question === 'inherit');
  t.match(check, { constraint: true, denied: ['read'] });
  t.match(missingRules(decision).join('\n'), /; a constraint on the user, role, level refuses/);
});

t.test('refusals name their reason and their rule', async (t) => {
  const data = decide(about('data_t'));
  t.match(data, { allowed: false, refusal: 'denied', vmContext: 'user_u:user_r:vm_t:s0' });
  t.same(text(data), ['entrypoint: data_t vm_t vm { entrypoint }']);
  t.same(missingRules(data), ['(allow data_t vm_t (vm (entrypoint)))']);
  t.equal(
    denialMessage(data),
    `denied { entrypoint } scontext=${label('data_t')} tcontext=user_u:user_r:vm_t:s0 tclass=vm; missing: (allow data_t vm_t (vm (entrypoint)))`,
  );

  const sealed = decide(about('sealed_t'));
  t.same(text(sealed), ['read-disk: client_t sealed_t file { getattr open read }']);

  const nobody = decide(about('nobody_t'));
  t.match(nobody, { allowed: false, refusal: 'no-transition', vmContext: null });
  t.same(missingRules(nobody), ['(typetransition client_t nobody_t vm DOMAIN)']);

  // A secret disk that somebody labelled as a library boots nowhere.
  t.match(decide(about('lib_t')), { allowed: false, refusal: 'no-transition' });
});

t.test('the rule that is named grants exactly what was denied', async (t) => {
  for (const type of ['data_t', 'sealed_t', 'nobody_t']) {
    const missing = missingRules(decide(about(type))).map((rule) => rule.replace('DOMAIN', 'vm_t'));
    t.equal(decide(about(type)).allowed, false);
    // One that needed a domain first has more to ask afterwards.
    let cil = missing.join('\n');
    for (let round = 0; round < 3; round++) {
      fake.reload({ cil });
      const decision = decide(about(type));
      if (decision.allowed) break;
      cil = [cil, ...missingRules(decision)].join('\n');
    }
    t.equal(decide(about(type)).allowed, true, cil);
    fake.reload();
    t.equal(decide(about(type)).allowed, false);
  }
});

t.test('a role that may not have the domain: the roletype is named', async (t) => {
  const cil = '(type lonely_vm_t)(typetransition client_t lib_t vm lonely_vm_t)';
  fake.reload({ cil });
  const decision = decide(about('lib_t'));
  t.equal(decision.refusal, 'no-transition');
  t.ok(missingRules(decision).includes('(roletype user_r lonely_vm_t)'), missingRules(decision).join('\n'));
  fake.reload({ cil: `${cil}(roletype user_r lonely_vm_t)` });
  t.equal(decide(about('lib_t')).vmContext, 'user_u:user_r:lonely_vm_t:s0');
  fake.reload();
});

t.test("rule: 'change' follows type_change, at the client's low level", async (t) => {
  const decision = decide(about('disk_t', 's0:c1', { rule: 'change' }));
  t.equal(decision.vmContext, 'user_u:user_r:vm_t:s0', 'defaultrange does not apply to it');
  t.equal(decide(about('disk_t', 's0', { rule: 'change' })).allowed, true);
  t.same(decision.checks[1]?.requested, ['type_change']);
  fake.reload({ cil: '(type third_t)(roletype user_r third_t)(typechange client_t lib_t vm third_t)' });
  t.equal(decide(about('lib_t', 's0', { rule: 'change' })).vmContext, 'user_u:user_r:third_t:s0');
  t.match(decide(about('lib_t')), { refusal: 'no-transition' }, 'the other kind of rule is another question');
  fake.reload();
  t.same(missingRules(decide(about('lib_t', 's0', { rule: 'change' })))[0], '(typechange client_t lib_t vm DOMAIN)');
});

t.test('kernel, initrd, firmware and state are entrypoints, a data disk is not', async (t) => {
  const blob = { context: label('data_t') };
  for (const role of ['kernel', 'initrd', 'firmware'] as const) {
    const decision = decide(about('disk_t', 's0', { [role]: blob }));
    t.same(text(decision), ['entrypoint: data_t vm_t vm { entrypoint }'], role);
  }
  const restored = decide(about('disk_t', 's0', { state: blob, action: 'restore' }));
  t.same(text(restored), ['entrypoint: data_t vm_t vm { entrypoint }', 'start: client_t vm_t vm { restore }']);
  t.ok(restored.checks.some((c) => c.question === 'start' && c.requested[0] === 'restore'));
  const disks = [
    { context: label('disk_t'), format: 'raw', readOnly: true, boot: true },
    { context: label('data_t'), format: 'raw', readOnly: true },
  ] as const;
  t.equal(decide({ disks, client: CLIENT }).allowed, true);
});

t.test('permissive mode and permissive types', async (t) => {
  selinux.securitySetenforce(false);
  const permissive = decide(about('data_t'));
  t.match(permissive, { allowed: true, enforcing: false, refusal: null });
  t.same(text(permissive), ['entrypoint: data_t vm_t vm { entrypoint }']);
  t.equal(denied(permissive)[0]?.permissive, true);
  t.match(decide(about('data_t')), { allowed: true });
  t.equal(denied(decide(about('data_t'))).length, 1, 'asked twice, denied twice');
  t.match(decide(about('nobody_t')), { allowed: false, refusal: 'no-transition' }, 'there is no domain to run in');
  selinux.securitySetenforce(true);
  t.equal(decide(about('data_t')).allowed, false);

  fake.reload({ cil: '(typepermissive data_t)' });
  const byType = decide(about('data_t'));
  t.match(byType, { allowed: true, enforcing: true });
  t.equal(denied(byType)[0]?.permissive, true);
  fake.reload({ cil: '(typepermissive vm_t)' });
  t.equal(decide(about('data_t')).allowed, false, 'the source of entrypoint is the disk');
  fake.reload();
});

t.test('dontaudit is said, and changes nothing', async (t) => {
  fake.reload({ cil: '(dontaudit data_t vm_t (vm (entrypoint)))' });
  const decision = decide(about('data_t'));
  t.equal(decision.allowed, false);
  t.equal(denied(decision)[0]?.auditable, false);
  t.match(explain(about('data_t')).lines.join('\n'), /dontaudit/);
  fake.reload();
  t.equal(denied(decide(about('data_t')))[0]?.auditable, true);
});

t.test('unknown contexts are denied and named', async (t) => {
  const gone = 'user_u:user_r:gone_t:s0';
  for (const request of [
    about('disk_t', 's0', { client: gone }),
    about('disk_t', 's0', { launcher: gone }),
    about('gone_t'),
    about('disk_t', 's0', { emulator: { context: label('gone_t') } }),
  ]) {
    const decision = decide(request);
    t.match(decision, { allowed: false, refusal: 'invalid-context' });
    t.ok(decision.checks.some((check) => check.invalidContext?.includes('gone_t')));
  }
});

t.test('without the module nothing is granted, although unknown classes are allowed', async (t) => {
  const prepared = prepareDecision(about('disk_t'));
  t.equal(prepared.verdict(), 0);
  fake.reload({ files: ['test/fixtures/policy/base.cil'] });
  t.equal(selinux.securityDenyUnknown(), false);
  const expected = { code: 'ERR_SELINUX_CLASS_UNKNOWN', message: /vm-entrypoint policy install/ };
  t.throws(() => decide(about('disk_t')), expected);
  t.ok(t.throws(() => prepared.verdict(), expected) instanceof ContextError);
  t.throws(() => accessQuestion('vm', ['start']).denied(internContext(CLIENT), internContext(CLIENT)), {
    code: 'ERR_SELINUX_CLASS_UNKNOWN',
  });
  selinux.securitySetenforce(false);
  t.throws(() => decide(about('disk_t')), expected, 'in permissive mode too');
  selinux.securitySetenforce(true);
  fake.reload();
  t.equal(prepared.verdict(), 0);
});

t.test('client and launcher default to this process', async (t) => {
  const decision = decide({ disks: [{ context: label('disk_t'), format: 'raw' }] });
  t.equal(decision.checks[0]?.source, LAUNCHER);
  t.equal(decision.checks.find((c) => c.requested[0] === 'setexec')?.source, LAUNCHER);
  fake.setContext('user_u:user_r:client_t:s0');
  t.equal(
    decide({ disks: [{ context: label('disk_t'), format: 'raw' }] }).checks[0]?.source,
    'user_u:user_r:client_t:s0',
  );
  fake.setContext(LAUNCHER);
});

t.test("selinux: 'off' and 'prefer'", async (t) => {
  const off = decide(about('nobody_t', 's0', { selinux: 'off' }));
  t.same(off, {
    allowed: true,
    evaluated: false,
    refusal: null,
    vmContext: null,
    checks: [],
    enforcing: false,
    policySequence: 0,
  });
  t.equal(prepareDecision(about('nobody_t', 's0', { selinux: 'off' })).verdict(), 0);
  t.match(decide(about('nobody_t', 's0', { selinux: 'prefer' })), { allowed: false, evaluated: true });
});

t.test('decideAsync answers the same, and can be aborted', async (t) => {
  t.same(await decideAsync(about('data_t')), decide(about('data_t')));
  const reason = new Error('enough');
  await t.rejects(decideAsync(about('data_t'), { signal: AbortSignal.abort(reason) }), {
    name: 'AbortError',
    code: 'ABORT_ERR',
    cause: reason,
  });
  const controller = new AbortController();
  const pending = decideAsync(about('data_t'), { signal: controller.signal });
  controller.abort(reason);
  await t.rejects(pending, { name: 'AbortError', cause: reason });
  await t.rejects(decideAsync(about('data_t', 's0', { disks: [{ path: '/nonexistent', format: 'raw' }] })), {
    code: 'ENOENT',
  });
});

t.test('explain says what is missing', async (t) => {
  const { decision, missing, lines } = explain(about('data_t'));
  t.equal(decision.allowed, false);
  t.same(missing, ['(allow data_t vm_t (vm (entrypoint)))']);
  t.equal(lines[0], 'refused: policy denies it');
  t.equal(lines.filter((line) => line.startsWith('granted {')).length, 9);
  t.ok(lines.includes('  missing: (allow data_t vm_t (vm (entrypoint)))'));
});

t.test('the hot form gives the same verdict, and follows the policy', async (t) => {
  for (const type of ['disk_t', 'data_t', 'sealed_t', 'nobody_t', 'gone_t']) {
    const prepared = prepareDecision(about(type));
    const expected = prepared.decide().allowed;
    for (let i = 0; i < 3; i++) t.equal(prepared.verdict() === 0, expected, type);
  }
  t.equal(prepareDecision(about('data_t')).verdict(), VERDICT.entrypoint);
  t.equal(prepareDecision(about('sealed_t')).verdict(), VERDICT.readDisk);
  t.equal(prepareDecision(about('nobody_t')).verdict(), VERDICT.noTransition);
  t.equal(prepareDecision(about('gone_t')).verdict() & VERDICT.invalidContext, VERDICT.invalidContext);

  const prepared = prepareDecision(about('data_t'));
  t.equal(prepared.verdict(), VERDICT.entrypoint);
  fake.reload({ cil: '(allow data_t vm_t (vm (entrypoint)))' });
  t.equal(prepared.verdict(), 0);
  fake.reload();
  t.equal(prepared.verdict(), VERDICT.entrypoint);
  selinux.securitySetenforce(false);
  t.equal(prepared.verdict(), 0);
  selinux.securitySetenforce(true);
  t.equal(prepared.verdict(), VERDICT.entrypoint);
  // Another domain for the same pair.
  fake.reload({ cil: '(type third_t)(roletype user_r third_t)(typetransition client_t lib_t vm third_t)' });
  t.equal(prepareDecision(about('lib_t')).decide().vmContext, 'user_u:user_r:third_t:s0');
  fake.reload();
});

t.test('a warm verdict asks the policy nothing', async (t) => {
  const prepared = prepareDecision(about('disk_t'));
  prepared.verdict();
  faults.clear();
  const before = cacheStatistics();
  for (let i = 0; i < 100; i++) t.equal(prepared.verdict(), 0);
  t.same(faults.calls(), {});
  t.equal(cacheStatistics().misses, before.misses);
  t.equal(cacheStatistics().hits, before.hits + 1000);
  flushCache();
  t.equal(prepared.verdict(), 0);
  t.ok(cacheStatistics().misses > before.misses);
});

t.test('a million verdicts with fresh contexts do not grow the cache', async (t) => {
  const { setCacheLimit } = await import('../../lib/decide.js');
  setCacheLimit(256 * 1024);
  for (let i = 0; i < 3000; i++) decide(about(`gone${i}_t`));
  const { bytes } = cacheStatistics();
  for (let i = 3000; i < 6000; i++) decide(about(`gone${i}_t`));
  t.ok(cacheStatistics().bytes <= 256 * 1024);
  t.ok(Math.abs(cacheStatistics().bytes - bytes) < 1024);
  setCacheLimit(8 * 1024 * 1024);
});

t.test('single questions by number', async (t) => {
  const client = internContext(CLIENT);
  t.equal(internContext(CLIENT), client);
  const vm = internContext('user_u:user_r:vm_t:s0');
  const may = accessQuestion('vm', ['start', 'debug', 'stop']);
  t.same(
    { objectClass: may.objectClass, permissions: may.permissions },
    { objectClass: 'vm', permissions: ['start', 'debug', 'stop'] },
  );
  const answer = may.denied(client, vm);
  t.equal(answer & 1, 0, 'start is granted');
  t.equal(may.denied(client, vm), answer);
  t.equal(may.denied(vm, client), 0b111);
  t.equal(may.denied(internContext('user_u:user_r:gone_t:s0'), vm), 0b111);
  faults.clear();
  for (let i = 0; i < 10; i++) may.denied(client, vm);
  t.same(faults.calls(), {}, 'from the cache');
  fake.reload({ cil: '(allow vm_t client_t (vm (debug)))' });
  t.equal(may.denied(vm, client), 0b101);
  fake.reload();
  t.equal(may.denied(vm, client), 0b111);
  for (const bad of [0, -1, 1.5e15, Number.NaN, Infinity, 2 ** 60]) {
    t.ok(t.throws(() => may.denied(bad, vm), { code: 'ERR_STALE_HANDLE' }) instanceof StateError);
  }
  t.throws(() => accessQuestion('vm', ['fly']).denied(client, vm), { code: 'ERR_SELINUX_PERMISSION_UNKNOWN' });
});

t.test('a number that was given up is refused, never taken for another context', async (t) => {
  const { setCacheLimit } = await import('../../lib/decide.js');
  const old = internContext('user_u:user_r:client_t:s0:c5');
  setCacheLimit(64 * 1024);
  for (let i = 0; i < 2000; i++) internContext(`a:b:fresh${i}_t:s0`);
  flushCache();
  t.throws(() => accessQuestion('vm', ['start']).denied(old, old), { code: 'ERR_STALE_HANDLE' });
  t.not(internContext('user_u:user_r:client_t:s0:c5'), old);
  setCacheLimit(8 * 1024 * 1024);
});

// --- Real files ------------------------------------------------------------------------------

const files = t.testdir({});
const file = (name: string, context: string | null): string => {
  const path = join(files, name);
  writeFileSync(path, 'x'.repeat(4096));
  if (context !== null) selinux.setfilecon(path, context);
  return path;
};
let canLabel = true;
try {
  file('probe', label('disk_t'));
} catch {
  canLabel = false;
}
const skip = canLabel ? false : 'labels cannot be set here';

t.test('labels are read from the files', { skip }, async (t) => {
  const disk = file('disk.raw', label('disk_t', 's0:c3'));
  const kernel = file('vmlinuz', label('disk_t'));
  const emulator = file('qemu', label('qemu_exec_t'));
  const request: StartRequest = {
    disks: [{ path: disk, format: 'raw' }],
    kernel: { path: kernel },
    client: CLIENT,
    emulator,
  };
  const decision = decide(request);
  t.match(decision, { allowed: true, vmContext: 'user_u:user_r:vm_t:s0-s0:c3' });
  t.equal(decision.checks[0]?.subject, disk);
  t.ok(decision.checks.some((check) => check.subject === emulator && check.target === label('qemu_exec_t')));
  const fd = openSync(disk, 'r');
  const byFd = decide({ ...request, disks: [{ fd, path: 'my disk', format: 'raw', readOnly: true }] });
  t.match(byFd, { allowed: true, vmContext: 'user_u:user_r:vm_t:s0-s0:c3' });
  t.equal(byFd.checks[0]?.subject, 'my disk');
  closeSync(fd);
  selinux.setfilecon(disk, label('lib_t'));
  t.match(decide(request), { allowed: false, refusal: 'no-transition' });
});

t.test('what is no image, and what has no label, is an error', { skip }, async (t) => {
  const unlabeled = file('unlabeled', null);
  const ask =
    (path: string): (() => Decision) =>
    () =>
      decide({ disks: [{ path, format: 'raw' }], client: CLIENT });
  t.ok(t.throws(ask(unlabeled), { code: 'ERR_DISK_UNLABELED', path: unlabeled }) instanceof DiskError);
  t.throws(ask(files), { code: 'ERR_DISK_NOT_REGULAR' });
  symlinkSync('disk.raw', join(files, 'link'));
  t.throws(ask(join(files, 'link')), { code: 'ERR_DISK_NOT_REGULAR' });
  t.throws(ask('/dev/null'), { code: 'ERR_DISK_NOT_REGULAR' });
  t.ok(t.throws(ask(join(files, 'missing')), { code: 'ENOENT' }) instanceof SystemError);
  const disk = file('ok.raw', label('disk_t'));
  const run = (emulator: string) => () => decide({ disks: [{ path: disk, format: 'raw' }], client: CLIENT, emulator });
  t.throws(run(join(files, 'missing')), { code: 'ENOENT' });
  t.throws(run(files), { code: 'EACCES' });
  t.throws(run(unlabeled), { code: 'ERR_SELINUX_UNLABELED' });
  // As a foreign file system may have it: libselinux refuses to write such a thing.
  const twoWords = file('two-words', null);
  execFileSync('setfattr', ['-n', 'security.selinux', '-v', 'user_u:object_r:bin_t:s0\n(allow)', twoWords]);
  t.throws(run(twoWords), { code: 'ERR_SELINUX_UNLABELED' });
  t.equal(
    decide({ ...about('disk_t'), selinux: 'off', disks: [{ path: unlabeled, format: 'raw' }], emulator: unlabeled })
      .allowed,
    true,
  );
});

t.test('verdictOn: another image in place of the boot disk', { skip }, async (t) => {
  const good = file('good.raw', label('disk_t'));
  const data = file('data.raw', label('data_t'));
  const lib = file('lib.raw', label('lib_t'));
  const prepared = prepareDecision({ ...about('disk_t'), disks: [{ path: good, format: 'raw', readOnly: true }] });
  for (let i = 0; i < 3; i++) {
    t.equal(prepared.verdictOn(good), 0);
    t.equal(prepared.verdictOn(data), VERDICT.entrypoint);
    t.equal(prepared.verdictOn(lib), VERDICT.noTransition);
  }
  selinux.setfilecon(good, label('lib_t'));
  t.equal(prepared.verdictOn(good), VERDICT.noTransition);
  t.equal(prepared.verdict(), 0, 'that one is about the contexts as they were');
  selinux.setfilecon(good, label('disk_t'));
  t.equal(prepared.verdictOn(good), 0);
  fake.reload({ cil: '(allow data_t vm_t (vm (entrypoint)))' });
  t.equal(prepared.verdictOn(data), 0);
  fake.reload();
  t.equal(prepared.verdictOn(data), VERDICT.entrypoint);
  // Writing is part of the question.
  const writing = prepareDecision({ ...about('disk_t'), client: OTHER, disks: [{ path: good, format: 'raw' }] });
  t.equal(writing.verdictOn(good), VERDICT.readDisk | VERDICT.inherit);

  t.throws(() => prepared.verdictOn(join(files, 'missing')), { code: 'ENOENT' });
  t.throws(() => prepared.verdictOn(files), { code: 'ERR_DISK_NOT_REGULAR' });
  symlinkSync(good, join(files, 'link2'));
  t.throws(() => prepared.verdictOn(join(files, 'link2')), { code: 'ERR_DISK_NOT_REGULAR' });
  t.throws(() => prepared.verdictOn(file('bare', null)), { code: 'ERR_DISK_UNLABELED' });
  t.throws(() => prepared.verdictOn(`/${'x'.repeat(5000)}`), { code: 'ENAMETOOLONG' });
  t.throws(() => prepared.verdictOn('a\0b'), { code: 'ERR_INVALID_ARG_VALUE' });
  mkdirSync(join(files, 'sub'));
  t.ok(new SelinuxError('ERR_X', 'x') instanceof Error);
});
