// `vm-entrypoint policy` with the real semodule, on a policy store below a directory of its own.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { cli, root } from '../helpers/cli.js';

const semodule = ['/usr/sbin/semodule', '/sbin/semodule'].find((path) => spawnSync(path, ['-h']).error === undefined);
const needsSemodule = semodule === undefined ? { skip: 'not installed: semodule (Debian: policycoreutils)' } : {};
const shipped = readFileSync(`${root}policy/vm_entrypoint.cil`, 'utf8');
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

// The example uses classes which the small policy of the tests does not have.
const MORE_CLASSES = `
  (class capability (chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable
    net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace
    sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control
    setfcap))
  (class netlink_audit_socket (ioctl read write create getattr setattr append bind connect getopt setopt shutdown
    nlmsg_read nlmsg_write nlmsg_relay nlmsg_readpriv nlmsg_tty_audit))
  (classorder (unordered capability netlink_audit_socket))`;

function prepare(directory: string, base: string): void {
  for (const each of ['etc/selinux/default', 'var/lib/selinux/default/active/modules']) {
    mkdirSync(`${directory}/${each}`, { recursive: true });
  }
  writeFileSync(`${directory}/etc/selinux/config`, 'SELINUX=enforcing\nSELINUXTYPE=default # comment\n');
  writeFileSync(`${directory}/etc/selinux/semanage.conf`, 'module-store = direct\nexpand-check=0\n');
  writeFileSync(`${directory}/base.cil`, base);
  execFileSync(semodule!, ['-n', '-p', directory, '-s', 'default', '-i', `${directory}/base.cil`], { stdio: 'pipe' });
}

/** Makes `directory` a root directory with a policy store that has a small base policy. */
function store(directory: string): string {
  prepare(directory, readFileSync(`${root}test/fixtures/policy/base.cil`, 'utf8') + MORE_CLASSES);
  return directory;
}

function modules(directory: string): string[] {
  const text = execFileSync(semodule!, ['-p', directory, '-s', 'default', '-lfull'], { encoding: 'utf8' });
  return text
    .split('\n')
    .flatMap((line) => (line === '' ? [] : line.trim().split(/\s+/).slice(0, 4).join(' ')))
    .sort();
}

const BASE = '400 base cil';
const MODULE = '400 vm_entrypoint cil';

t.test('show prints the module, its path, or both as JSON', async (t) => {
  t.strictSame(await cli(['policy', 'show']), { status: 0, signal: null, stdout: shipped, stderr: '' });
  const path = (await cli(['policy', 'show', '--path'])).stdout.trimEnd();
  t.equal(readFileSync(path, 'utf8'), shipped);
  const [module, ...more] = JSON.parse((await cli(['policy', 'show', '--json'])).stdout);
  t.strictSame(module, {
    name: 'vm_entrypoint',
    path,
    sha256: sha256(shipped),
    text: shipped,
  });
  t.strictSame(more, []);
  const example = await cli(['policy', 'show', '--example', 'three_levels']);
  t.equal(example.stdout, readFileSync(`${root}policy/examples/three_levels.cil`, 'utf8'));
});

t.test('install and remove change the store, once', needsSemodule, async (t) => {
  const directory = store(t.testdir());
  const install = await cli(['policy', 'install', '--root', directory, '--json']);
  t.equal(install.status, 0, install.stderr);
  t.match(JSON.parse(install.stdout), { action: 'install', changed: true, modules: [{ name: 'vm_entrypoint' }] });
  t.strictSame(modules(directory), [BASE, MODULE]);

  const again = await cli(['policy', 'install', '--root', directory]);
  t.equal(again.status, 0);
  t.match(again.stdout, /nothing to do, already installed/);

  const remove = await cli(['policy', 'remove', '--root', directory]);
  t.equal(remove.status, 0, remove.stderr);
  t.match(remove.stdout, /^vm_entrypoint: removed$/m);
  t.strictSame(modules(directory), [BASE]);
  const removed = await cli(['policy', 'remove', '--root', directory, '--json']);
  t.equal(removed.status, 0);
  t.match(JSON.parse(removed.stdout), { action: 'remove', changed: false });
});

t.test('a module of another content is replaced', needsSemodule, async (t) => {
  const directory = store(t.testdir({ 'vm_entrypoint.cil': '(class vm (entrypoint)) (classorder (unordered vm))' }));
  execFileSync(semodule!, ['-n', '-p', directory, '-i', `${directory}/vm_entrypoint.cil`], { stdio: 'pipe' });
  const install = await cli(['policy', 'install', '--root', directory]);
  t.match(install.stdout, /^vm_entrypoint: installed$/m);
  const list = execFileSync(semodule!, ['-p', directory, '-lfull', '--checksum'], { encoding: 'utf8' });
  t.ok(list.includes(sha256(shipped)));
});

t.test(
  'what is installed is told by looking only: its priority, whether it is on, and its contents',
  needsSemodule,
  async (t) => {
    const { effectiveModule, installedModules } = await import(`${root}dist/policy-module.js`);
    for (const compression of ['', 'bzip-blocksize=0\n']) {
      const directory = store(t.testdir());
      appendFileSync(`${directory}/etc/selinux/semanage.conf`, compression);
      t.equal(await effectiveModule('vm_entrypoint', { root: directory }), undefined);
      for (const [priority, text] of [
        ['300', '(class vm (entrypoint)) (classorder (unordered vm))'],
        ['400', shipped],
      ] as const) {
        writeFileSync(`${directory}/vm_entrypoint.cil`, text);
        execFileSync(semodule!, ['-n', '-p', directory, '-X', priority, '-i', `${directory}/vm_entrypoint.cil`]);
      }
      const expected = { name: 'vm_entrypoint', priority: 400, enabled: true, sha256: sha256(shipped) };
      t.strictSame(
        await effectiveModule('vm_entrypoint', { root: directory }),
        expected,
        `compression: ${compression}`,
      );
      const all = await installedModules({ root: directory });
      t.strictSame(
        all.find(({ priority, name }) => priority === 400 && name === 'vm_entrypoint'),
        expected,
        'as semodule',
      );
      execFileSync(semodule!, ['-n', '-p', directory, '-d', 'vm_entrypoint']);
      t.strictSame(await effectiveModule('vm_entrypoint', { root: directory }), { ...expected, enabled: false });
    }
  },
);

t.test('a module that would not count after the install is an error', needsSemodule, async (t) => {
  const directory = store(t.testdir({ 'vm_entrypoint.cil': '(class vm (entrypoint)) (classorder (unordered vm))' }));
  execFileSync(semodule!, ['-n', '-p', directory, '-X', '500', '-i', `${directory}/vm_entrypoint.cil`], {
    stdio: 'pipe',
  });
  const hidden = await cli(['policy', 'install', '--root', directory]);
  t.equal(hidden.status, 3);
  t.match(hidden.stderr, /ERR_POLICY_OVERRIDDEN: .*priority 500\n {2}.*semodule -X 500 -r vm_entrypoint/);

  const disabled = store(t.testdir());
  execFileSync(semodule!, ['-n', '-p', disabled, '-i', `${root}policy/vm_entrypoint.cil`], { stdio: 'pipe' });
  execFileSync(semodule!, ['-n', '-p', disabled, '-d', 'vm_entrypoint'], { stdio: 'pipe' });
  const off = await cli(['policy', 'install', '--root', disabled]);
  t.equal(off.status, 3);
  t.match(off.stderr, /ERR_POLICY_OVERRIDDEN: .*disabled\n {2}.*semodule -e vm_entrypoint/);
});

t.test('remove takes every copy, whatever its priority', needsSemodule, async (t) => {
  const directory = store(t.testdir());
  for (const priority of ['100', '400']) {
    execFileSync(semodule!, ['-n', '-p', directory, '-X', priority, '-i', `${root}policy/vm_entrypoint.cil`], {
      stdio: 'pipe',
    });
  }
  t.equal((await cli(['policy', 'remove', '--root', directory])).status, 0);
  t.strictSame(modules(directory), [BASE]);
});

t.test('a module that others need is not removed, and they are named', needsSemodule, async (t) => {
  const site = '(type site_vm_t) (call vm_entrypoint.domain_minimal (site_vm_t))';
  const directory = store(t.testdir({ 'site.cil': site }));
  execFileSync(
    semodule!,
    ['-n', '-p', directory, '-i', `${root}policy/vm_entrypoint.cil`, '-i', `${directory}/site.cil`],
    { stdio: 'pipe' },
  );
  const before = modules(directory);
  const refused = await cli(['policy', 'remove', '--root', directory, '--json']);
  t.equal(refused.status, 3);
  t.match(refused.stderr, /ERR_POLICY_IN_USE: the module 'site' needs 'vm_entrypoint'; the policy is unchanged/);
  t.match(refused.stderr, /^ {2}\| Failed to resolve/m, "semodule's own words are passed on");
  t.match(JSON.parse(refused.stdout), {
    error: { code: 'ERR_POLICY_IN_USE', hint: /semodule -r site/, output: [/Failed to resolve/] },
  });
  t.strictSame(modules(directory), before);
});

t.test('several modules are changed together or not at all', needsSemodule, async (t) => {
  const directory = store(t.testdir());
  const both = ['--root', directory, '--example', 'three_levels'];
  const install = await cli(['policy', 'install', ...both]);
  t.equal(install.status, 0, install.stderr);
  t.strictSame(modules(directory), [BASE, '400 three_levels cil', MODULE]);
  t.match((await cli(['policy', 'remove', '--root', directory])).stderr, /policy remove --example three_levels/);
  const remove = await cli(['policy', 'remove', ...both]);
  t.equal(remove.status, 0, remove.stderr);
  t.strictSame(modules(directory), [BASE]);

  // A base policy without a class that the module needs.
  const poor = t.testdir({ base: {} });
  prepare(
    poor,
    readFileSync(`${root}test/fixtures/policy/base.cil`, 'utf8').replace('(class fd (use))', '').replace(' fd ', ' '),
  );
  const failed = await cli(['policy', 'install', '--root', poor, '--example', 'three_levels']);
  t.equal(failed.status, 3);
  t.match(failed.stderr, /ERR_POLICY_SEMODULE: the policy is unchanged: semodule ended with 1/);
  t.strictSame(modules(poor), [BASE]);
});

t.test('a store that does not exist is not created', async (t) => {
  const directory = t.testdir();
  const { status, stderr } = await cli(['policy', 'install', '--root', directory, '--store', 'nope']);
  t.equal(status, 3);
  t.match(stderr, /ERR_POLICY_NO_STORE: .*'nope'/);
  t.match(
    (await cli(['policy', 'install', '--root', directory, '--store', '../../etc'])).stderr,
    /ERR_POLICY_NO_STORE/,
  );
});

t.test('without semodule its package is named', async (t) => {
  const directory = t.testdir({ var: { lib: { selinux: { default: {} } } } });
  // Looked for on PATH and in sbin, which an empty root directory hides.
  const { status, stderr } = await cli(['policy', 'install', '--root', directory, '--store', 'default'], {
    node: [
      '--import',
      `data:text/javascript,import fs from 'node:fs';import {syncBuiltinESMExports as s} from 'node:module';
      const real = fs.accessSync; fs.accessSync = (path, mode) => { if (String(path).endsWith('/semodule')) throw new Error('ENOENT'); return real(path, mode); }; s();`,
    ],
  });
  t.equal(status, 3);
  t.match(stderr, /ERR_POLICY_NO_SEMODULE: semodule is not installed\n {2}Install policycoreutils/);
});

t.test(
  'an ordinary user is told that root is needed',
  { skip: process.getuid?.() !== 0 && 'needs root to become another user' },
  async (t) => {
    const { status, stderr } = await cli(['policy', 'remove', '--store', 'default', '--json'], {
      node: [
        '--import',
        `data:text/javascript,import fs from 'node:fs';import {syncBuiltinESMExports as s} from 'node:module';
      fs.existsSync = () => true; s(); process.setuid(65534);`,
      ],
    });
    t.equal(status, 3);
    t.match(stderr, /EPERM: operation not permitted: only root may read and change the policy store/);
  },
);

t.test('a transaction that has begun is finished, whatever signal arrives', async (t) => {
  const directory = t.testdir({ bin: {}, var: { lib: { selinux: { default: {} } } } });
  // Stands in for a slow semodule: on transactions it takes its time, then writes what it did.
  copyFileSync('/bin/sh', `${directory}/bin/sh`);
  writeFileSync(
    `${directory}/bin/semodule`,
    `#!/bin/sh
     case " $* " in *" -lfull "*) cat ${directory}/list 2>/dev/null; exit 0;; esac
     echo started > ${directory}/started
     sleep 5
     echo "400 vm_entrypoint cil sha256:$(sha256sum ${root}policy/vm_entrypoint.cil | cut -d' ' -f1)" > ${directory}/list\n`,
  );
  chmodSync(`${directory}/bin/semodule`, 0o755);
  const { spawn } = await import('node:child_process');
  const { main } = await import('../helpers/cli.js');
  const child = spawn(process.execPath, [main, 'policy', 'install', '--root', directory, '--store', 'default'], {
    env: { ...process.env, NODE_OPTIONS: undefined, PATH: `${directory}/bin:${process.env.PATH}` },
    // A group of its own, which then gets the signal as a whole: as with Ctrl-C on a terminal.
    detached: true,
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  let started = false;
  for (let i = 0; i < 200 && !started; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    started = spawnSync('test', ['-s', `${directory}/started`]).status === 0;
  }
  t.ok(started);
  process.kill(-child.pid!, 'SIGINT');
  process.kill(-child.pid!, 'SIGTERM');
  const [status] = await new Promise<[number | null]>((resolve) => child.on('close', (code) => resolve([code])));
  t.equal(status, 0, stderr);
  t.match(stderr, /waiting for semodule, which finishes what it has begun/);
  t.match(stderr, /semodule is rebuilding the policy \(3 s\)/, 'progress');
  t.match(readFileSync(`${directory}/list`, 'utf8'), /vm_entrypoint/);
});
