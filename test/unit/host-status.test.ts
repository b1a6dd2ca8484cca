// `vm-entrypoint status`: each state of a host, what is said about it, and that nothing but errors says no.
import { chmodSync, symlinkSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { cli, type Run, type RunOptions, root } from '../helpers/cli.js';
import { type FakeOptions, type FakeSelinux, startFakeSelinux } from '../helpers/fake-selinux.js';

const hosts: FakeSelinux[] = [];
t.teardown(() => {
  for (const host of hosts) host.stop();
});
function host(options: FakeOptions = {}): FakeSelinux {
  const made = startFakeSelinux(options);
  hosts.push(made);
  return made;
}
function status(on: FakeSelinux, args: readonly string[] = ['--json'], options: RunOptions = {}): Promise<Run> {
  return cli(['status', ...args], {
    ...options,
    node: ['--import', `${root}test/helpers/cli-host.mjs`, ...(options.node ?? [])],
    env: { FAKE_SELINUX_DIR: on.directory, ...options.env },
  });
}
const usual = host();
const LAUNCHER = 'user_u:user_r:launcher_t:s0-s0:c0.c7';

const CLIENT_WITHOUT_SETEXEC = 'user_u:user_r:other_client_t:s0';

interface Answer {
  readonly ready: boolean;
  readonly problems: readonly {
    readonly id: string;
    readonly severity: string;
    readonly message: string;
    readonly remedy: string;
  }[];
  readonly [name: string]: unknown;
}
const answer = ({ stdout }: Run): Answer => JSON.parse(stdout);
/** Problems of this machine that are not the subject. */
const about = ({ problems }: Answer, ...ids: string[]) => problems.filter(({ id }) => ids.includes(id));

t.test('a host where a launch can work', async (t) => {
  const run = await status(usual);
  t.equal(run.status, 0, run.stderr);
  t.equal(run.stderr, '');
  const found = answer(run);
  t.strictSame(Object.keys(found).sort(), [
    'addon',
    'emulators',
    'kvm',
    'module',
    'problems',
    'process',
    'ready',
    'selinux',
    'vmClass',
  ]);
  t.match(found, {
    ready: true,
    addon: { loaded: true, error: null },
    selinux: { library: true, enabled: true, enforcing: true, mls: true, unknownClasses: 'allowed' },
    process: { context: LAUNCHER, noNewPrivileges: false, mayChooseContext: true },
    kvm: { node: '/dev/kvm' },
  });
  t.match(found.vmClass, { missing: [] });
  t.equal((found.vmClass as { present: string[] }).present.length, 18);
  t.strictSame(
    found.problems.filter(({ severity }) => severity === 'error'),
    [],
  );
});

t.test('the table says the same', async (t) => {
  const { status: exit, stdout } = await status(usual, []);
  t.equal(exit, 0);
  t.match(stdout, /^ok {2}SELinux {7}enforcing, /m);
  t.match(stdout, /^ok {2}class vm {6}18 of 18 permissions$/m);
  t.ok(stdout.includes(`ok  this process  ${LAUNCHER}\n`));
  t.match(stdout, /^A launch can work here\.$/m);
});

t.test('errors make it not ready, with what to do', async (t) => {
  const base = ['test/fixtures/policy/base.cil'];
  const cases: [id: string, on: FakeSelinux, env: Record<string, string>, remedy: RegExp][] = [
    ['selinux-disabled', host({ disabled: true }), {}, /./],
    ['library', usual, { CLI_LIBRARY: '/nonexistent/libselinux.so.1' }, /libselinux1/],
    ['class', host({ files: base }), {}, /vm-entrypoint policy install/],
    [
      'permissions',
      host({ files: base, cil: '(class vm (entrypoint start)) (classorder (unordered vm))' }),
      {},
      /vm-entrypoint policy install/,
    ],
    ['setexec', host({ context: CLIENT_WITHOUT_SETEXEC }), {}, /vm_entrypoint.launcher/],
  ];
  for (const [id, on, env, remedy] of cases) {
    const run = await status(on, ['--json'], { env });
    t.equal(run.status, 3, id);
    const found = answer(run);
    t.equal(found.ready, false, id);
    t.match(about(found, id), [{ id, severity: 'error', message: String, remedy }], id);
    t.strictSame(
      found.problems.filter(({ severity }) => severity === 'error').map((problem) => problem.id),
      [id],
      'and no consequences of it',
    );
    t.match(run.stderr, /^vm-entrypoint status: \S/, id);
    const table = await status(on, [], { env });
    t.equal(table.status, 3);
    t.match(table.stdout, /^No launch can work here\.$/m);
    t.match(table.stdout, /^no {2}/m);
    t.match(table.stdout, /^What to do\n {2}(no|! ) \S/m);
  }
  const lacking = answer(await status(cases[3]![1]));
  t.match(lacking.vmClass, { present: ['entrypoint', 'start'] });
  t.match(about(lacking, 'permissions')[0]?.message, /lacks \{ stop reset .* debug \}/);
});

t.test('warnings leave it ready', async (t) => {
  const permissive = answer(await status(host({ enforcing: false })));
  t.match(permissive, { ready: true, selinux: { enforcing: false } });
  t.match(about(permissive, 'permissive'), [{ severity: 'warning', remedy: /setenforce 1/ }]);

  const unarmed = answer(await status(host({ enforcing: false, context: CLIENT_WITHOUT_SETEXEC })));
  t.equal(unarmed.ready, true, 'in permissive mode a missing setexec stops nothing');
  t.match(about(unarmed, 'setexec'), [{ severity: 'warning' }]);
});

t.test('no_new_privs is found', async (t) => {
  const found = answer(await status(usual, ['--json'], { through: ['setpriv', '--no-new-privs'] }));
  t.match(found, { ready: true, process: { noNewPrivileges: true } });
  t.match(about(found, 'no-new-privileges'), [{ severity: 'warning', remedy: /launch_restricted/ }]);
});

t.test('emulators are looked for on PATH, each once, scripts with a warning', async (t) => {
  const directory = t.testdir({ bin: {}, other: {} });
  const make = (path: string, text: string) => {
    writeFileSync(`${directory}/${path}`, text);
    chmodSync(`${directory}/${path}`, 0o755);
  };
  make('bin/firecracker', '\x7fELF');
  make('bin/kvm', '#!/bin/sh\nexec qemu-system-x86_64 -enable-kvm "$@"\n');
  make('bin/lkvm', '\x7fELF');
  chmodSync(`${directory}/bin/lkvm`, 0o644);
  symlinkSync('../bin/firecracker', `${directory}/other/firecracker`);
  const found = answer(
    await status(usual, ['--json'], { env: { PATH: `${directory}/bin:${directory}/other:relative` } }),
  );
  const mine = (found.emulators as { path: string }[]).filter(({ path }) => path.startsWith(directory));
  t.strictSame(
    mine.map(({ path, script }: { path: string; script?: boolean }) => [path.slice(directory.length), script]),
    [
      ['/bin/kvm', true],
      ['/bin/firecracker', false],
    ],
  );
  t.match(about(found, 'emulator-script'), [{ severity: 'warning', message: /bin\/kvm is a script/ }]);
  t.strictSame(about(found, 'emulator'), []);
});

t.test('without any emulator there is a warning', async (t) => {
  const found = answer(await status(usual, ['--json'], { env: { PATH: t.testdir() } }));
  if ((found.emulators as unknown[]).length === 0) t.match(about(found, 'emulator'), [{ severity: 'warning' }]);
  else t.match(found.emulators, [{ path: '/usr/libexec/qemu-kvm' }]);
});

t.test('without the addon the rest is still told', async (t) => {
  const broken =
    "data:text/javascript,process.dlopen = () => { throw Object.assign(new Error('wrong ELF class'), { code: 'ERR_DLOPEN_FAILED' }) }";
  const run = await cli(['status', '--json'], { node: ['--import', broken] });
  t.equal(run.status, 3);
  const found = answer(run);
  t.match(found, {
    ready: false,
    addon: { loaded: false, error: /wrong ELF class/ },
    selinux: { library: false, enabled: false },
  });
  t.match(about(found, 'addon', 'library', 'selinux-disabled'), [{ id: 'addon', remedy: /npm rebuild/ }]);
  t.match(found.kvm, { node: '/dev/kvm' });
  const table = await cli(['status'], { node: ['--import', broken] });
  t.match(table.stdout, /^no {2}addon/m);
  t.match(table.stdout, /^\? {3}SELinux {7}not known/m);
});
