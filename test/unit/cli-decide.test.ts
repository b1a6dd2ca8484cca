// `vm-entrypoint check` and `explain` on a host with the fake libselinux: every kind of answer, its exit
// status, and the shape of the JSON.
import { mkdirSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { cli, type Run, root } from '../helpers/cli.js';
import { type FakeOptions, type FakeSelinux, startFakeSelinux } from '../helpers/fake-selinux.js';

const PRELOAD = ['--import', `${root}test/helpers/cli-host.mjs`];
const CLIENT = 'user_u:user_r:client_t:s0';
const disk = (type: string): string => `system_u:object_r:${type}:s0`;

const hosts: FakeSelinux[] = [];
t.teardown(() => {
  for (const host of hosts) host.stop();
});
function host(options: FakeOptions = {}): FakeSelinux {
  const made = startFakeSelinux(options);
  hosts.push(made);
  return made;
}
const usual = host();
const run = (args: readonly string[], on: FakeSelinux = usual, env: Record<string, string> = {}): Promise<Run> =>
  cli(args, { node: PRELOAD, env: { FAKE_SELINUX_DIR: on.directory, ...env } });

const CHECK_KEYS = [
  'auditable',
  'constraint',
  'denied',
  'invalidContext',
  'objectClass',
  'permissive',
  'question',
  'requested',
  'rule',
  'source',
  'subject',
  'target',
];
const DECISION_KEYS = ['allowed', 'checks', 'enforcing', 'evaluated', 'policySequence', 'refusal', 'vmContext'];

t.test('an allowed start: status 0, the domain, nothing on stderr', async (t) => {
  const { status, stdout, stderr } = await run(['check', '--client', CLIENT, '--disk-context', disk('disk_t')]);
  t.equal(status, 0, stderr);
  t.equal(stderr, '');
  t.equal(stdout, 'allowed\nVM context: user_u:user_r:vm_t:s0\n');
});

t.test('a denied start: status 1, the reason on both streams, the missing rule', async (t) => {
  const args = ['--client', CLIENT, '--disk-context', `${disk('data_t')},readonly`];
  const check = await run(['check', ...args]);
  t.equal(check.status, 1);
  t.match(check.stdout, /^refused: /);
  t.match(check.stdout, /^DENIED +starts the VM/m);
  t.match(check.stdout, /^ +data_t -> vm_t : vm denied \{ entrypoint \}$/m);
  t.match(check.stdout, /^ {2}\(allow data_t vm_t \(vm \(entrypoint\)\)\)$/m);
  t.notMatch(check.stdout, /^allowed/m, 'check shows only what is refused');
  t.match(
    check.stderr,
    /^vm-entrypoint check: ERR_SELINUX_DENIED: denied \{ entrypoint \} scontext=\S+ tcontext=\S+ tclass=vm/,
  );
  const explain = await run(['explain', ...args]);
  t.equal(explain.status, 1);
  t.match(explain.stdout, /^allowed +client opens/m);
  t.match(explain.stdout, /^DENIED +starts the VM/m);
});

t.test('the JSON has these members and no others', async (t) => {
  const args = ['--json', '--client', CLIENT, '--disk-context', `${disk('data_t')},readonly`];
  const check = await run(['check', ...args]);
  const decision = JSON.parse(check.stdout);
  t.strictSame(Object.keys(decision).sort(), DECISION_KEYS);
  t.match(decision, {
    allowed: false,
    evaluated: true,
    refusal: 'denied',
    vmContext: 'user_u:user_r:vm_t:s0',
    enforcing: true,
  });
  t.ok(decision.checks.length >= 6);
  for (const each of decision.checks) t.strictSame(Object.keys(each).sort(), CHECK_KEYS);
  const explanation = JSON.parse((await run(['explain', ...args])).stdout);
  t.strictSame(Object.keys(explanation).sort(), [...DECISION_KEYS, 'missing'].sort());
  t.strictSame(explanation.missing, ['(allow data_t vm_t (vm (entrypoint)))']);
});

t.test('no rule for the pair, and a context that the policy does not know', async (t) => {
  const none = await run(['check', '--json', '--client', CLIENT, '--disk-context', disk('nobody_t')]);
  t.equal(none.status, 1);
  t.match(JSON.parse(none.stdout), { allowed: false, refusal: 'no-transition', vmContext: null });
  const unknown = await run([
    'check',
    '--json',
    '--client',
    'user_u:user_r:bogus_t:s0',
    '--disk-context',
    disk('disk_t'),
  ]);
  t.equal(unknown.status, 1);
  t.match(JSON.parse(unknown.stdout), { allowed: false, refusal: 'invalid-context' });
});

t.test('the options reach the request', async (t) => {
  const ask = async (...args: string[]) => {
    const { stdout, stderr } = await run(['check', '--json', '--client', CLIENT, ...args]);
    t.equal(stderr.includes('ERR_USAGE'), false, stderr);
    return JSON.parse(stdout);
  };
  const of = (decision: { checks: { question: string }[] }, question: string) =>
    decision.checks.filter((check) => check.question === question);

  const writable = await ask('--disk-context', disk('disk_t'));
  t.match(of(writable, 'read-disk'), [
    { requested: ['getattr', 'open', 'read', 'write', 'lock'], objectClass: 'file' },
  ]);
  const block = await ask('--disk-context', `${disk('disk_t')},class=blk_file,readonly`);
  t.match(of(block, 'read-disk'), [{ requested: ['getattr', 'open', 'read'], objectClass: 'blk_file' }]);

  // Of two disks the one that says boot chooses the domain, wherever it stands.
  const second = await ask('--disk-context', `${disk('data_t')},readonly`, '--disk-context', `${disk('disk_t')},boot`);
  t.equal(second.allowed, true, JSON.stringify(second));
  t.match(of(second, 'vm-domain'), [{ target: disk('disk_t') }]);
  t.equal(of(second, 'entrypoint').length, 1);

  const launcher = await ask('--disk-context', disk('disk_t'), '--launcher', 'system_u:system_r:init_t:s0');
  t.match(of(launcher, 'exec')[0], { source: 'system_u:system_r:init_t:s0' });
  const changed = await ask('--disk-context', disk('disk_t'), '--rule', 'change');
  t.match(of(changed, 'vm-domain'), [{ requested: ['type_change'] }]);
  const migrated = await ask('--disk-context', disk('disk_t'), '--action', 'migrate_in');
  t.match(of(migrated, 'start'), [{ requested: ['migrate_in'] }]);
  const categories = await run([
    'check',
    '--json',
    '--client',
    'user_u:user_r:client_t:s0-s0:c0.c7',
    '--disk-context',
    'system_u:object_r:disk_t:s0:c1,c2,readonly',
  ]);
  t.match(JSON.parse(categories.stdout), { vmContext: 'user_u:user_r:vm_t:s0-s0:c1,c2' });
});

t.test('permissive: allowed, and what is not is shown', async (t) => {
  const permissive = host({ enforcing: false });
  const { status, stdout, stderr } = await run(
    ['check', '--client', CLIENT, '--disk-context', `${disk('data_t')},readonly`],
    permissive,
  );
  t.equal(status, 0, stderr);
  t.match(stdout, /^allowed, only because it is not enforced$/m);
  t.match(stdout, /^permissive +starts the VM/m);
  t.match(stdout, /\(allow data_t vm_t \(vm \(entrypoint\)\)\)/);
});

t.test('what cannot be evaluated is status 3, never "allowed"', async (t) => {
  const args = ['check', '--json', '--client', CLIENT, '--disk-context', disk('disk_t')];
  const cases: [name: string, on: FakeSelinux, env: Record<string, string>, code: string][] = [
    ['SELinux is disabled', host({ disabled: true }), {}, 'ERR_SELINUX_DISABLED'],
    ['no libselinux', usual, { CLI_LIBRARY: '/nonexistent/libselinux.so.1' }, 'ERR_SELINUX_LIBRARY'],
    [
      'no class vm, unknown allowed',
      host({ files: ['test/fixtures/policy/base.cil'] }),
      {},
      'ERR_SELINUX_CLASS_UNKNOWN',
    ],
    [
      'no class vm, unknown denied',
      host({ files: ['test/fixtures/policy/base.cil'], unknown: 'deny' }),
      {},
      'ERR_SELINUX_CLASS_UNKNOWN',
    ],
    [
      'a class vm without its permissions',
      host({ files: ['test/fixtures/policy/base.cil'], cil: '(class vm (entrypoint)) (classorder (unordered vm))' }),
      {},
      'ERR_SELINUX_PERMISSION_UNKNOWN',
    ],
  ];
  for (const [name, on, env, code] of cases) {
    const { status, stdout, stderr } = await run(args, on, env);
    t.equal(status, 3, name);
    t.match(JSON.parse(stdout), { error: { code, message: String, hint: String } }, name);
    t.match(stderr, new RegExp(`^vm-entrypoint check: ${code}: .*\\n  \\S`), name);
  }
  const disabled = cases[0]![1];
  for (const mode of ['prefer', 'off']) {
    const { status, stdout } = await run([...args, '--selinux', mode], disabled);
    t.equal(status, 0, mode);
    t.match(JSON.parse(stdout), { allowed: true, evaluated: false, checks: [] });
  }
  t.match(
    (await run([...args.filter((arg) => arg !== '--json'), '--selinux', 'off'], disabled)).stdout,
    /without being evaluated/,
  );
});

t.test('an addon that does not load is status 3, and help still works', async (t) => {
  const broken = [
    '--import',
    "data:text/javascript,process.dlopen = () => { throw Object.assign(new Error('libc.so.6: version not found'), { code: 'ERR_DLOPEN_FAILED' }) }",
  ];
  const { status, stderr } = await cli(['check', '--disk', '/x,format=raw'], { node: broken });
  t.equal(status, 3);
  t.match(stderr, /ERR_DLOPEN_FAILED: libc.so.6: version not found\n {2}.*npm rebuild vm-entrypoint/);
  t.equal((await cli(['policy', 'show', '--path'], { node: broken })).status, 0);
  t.equal((await cli(['--help'], { node: broken })).status, 0);
});

t.test('images: what is wrong with a file is said with its path', async (t) => {
  const directory = t.testdir({ 'short.qcow2': 'QFI\xfb', 'no-label.raw': '' });
  const missing = await run(['check', '--json', '--disk', `${directory}/nothing,format=raw`]);
  t.equal(missing.status, 3);
  t.match(JSON.parse(missing.stdout), { error: { code: 'ENOENT', errno: -2, path: `${directory}/nothing` } });
  t.match(missing.stderr, /^vm-entrypoint check: ENOENT: no such file or directory/);
  const folder = await run(['check', '--disk', `${directory},format=raw`]);
  t.equal(folder.status, 3);
  t.match(folder.stderr, /ERR_DISK_NOT_REGULAR/);
});

t.test('names that a guest may have written cannot drive the terminal', async (t) => {
  const directory = t.testdir();
  const name = 'a\x1b[2J\n allowed\u202egpj';
  mkdirSync(`${directory}/${name}`);
  const { status, stdout, stderr } = await run(['check', '--disk', `${directory}/${name},format=raw`]);
  t.equal(status, 3);
  for (const text of [stdout, stderr]) {
    t.notOk([...text].some((each) => (each < ' ' && each !== '\n') || each === '\x7f' || each === '\u202e'));
    t.notOk(/^ allowed/m.test(text));
  }
  t.match(stderr, /a\\x1b\[2J\\x0a allowed\\u202egpj/);
});

t.test('a comma in a path is written twice', async (t) => {
  const directory = t.testdir();
  writeFileSync(`${directory}/a,b.raw`, '');
  const { stdout } = await run(['check', '--json', '--disk', `${directory}/a,,c.raw,format=raw`]);
  t.match(JSON.parse(stdout), { error: { code: 'ENOENT', path: `${directory}/a,c.raw` } });
});
