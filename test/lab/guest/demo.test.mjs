// The demo, held against what the example of three levels means: every client with every disk, each
// allowed VM booted from its disk, its context read back from the kernel.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { securityGetenforce } from 'vm-entrypoint/selinux';

const BOOTS = {
  'vm_unclass_client_t boots unclassified': 'vm_unclass_t',
  'vm_secret_client_t boots unclassified': 'vm_secret_t',
  'vm_topsecret_client_t boots unclassified': 'vm_topsecret_t',
  'vm_secret_client_t boots secret': 'vm_secret_t',
  'vm_topsecret_client_t boots secret': 'vm_topsecret_t',
  'vm_topsecret_client_t boots topsecret': 'vm_topsecret_t',
};
const REFUSED = {
  'vm_unclass_client_t boots secret': 'no-transition',
  'vm_unclass_client_t boots topsecret': 'no-transition',
  'vm_secret_client_t boots topsecret': 'denied',
  // A top secret disk relabelled as a library that every domain may read.
  'vm_unclass_client_t boots leaked': 'no-transition',
  'vm_secret_client_t boots leaked': 'no-transition',
  'vm_topsecret_client_t boots leaked': 'no-transition',
};

assert.equal(securityGetenforce(), true, 'this proves nothing unless SELinux enforces');
const demo = spawnSync(process.execPath, ['/project/examples/demo/guest.mjs'], { encoding: 'utf8' });
const said = demo.stdout.replaceAll('\r', '');
/** What the demo says below a title, up to the next one. */
const below = (title) => new RegExp(`^   ${title}\\n((?:      .*\\n)*)`, 'm').exec(said)?.[1] ?? '';

for (const [title, domain] of Object.entries(BOOTS)) {
  test(`${title}, in ${domain}`, () => {
    const text = below(title);
    assert.match(text, new RegExp(`pid \\d+ is \\w+:\\w+:${domain}:s0\\n`), said + demo.stderr);
    assert.match(text, new RegExp(`console: \\[guest\\] booted from the ${title.split(' ').at(-1)} disk\\n`));
  });
}
for (const [title, reason] of Object.entries(REFUSED)) {
  test(`${title}: refused, ${reason}, with the missing rules`, () => {
    const text = below(title);
    assert.ok(text.includes(`refused (${reason}); missing:\n`), said + demo.stderr);
    assert.match(text, /\((allow|typetransition) /);
  });
}
test('no guest of a refused start ever wrote to its console', () => {
  assert.ok(!said.includes('MUST NEVER BOOT'));
  assert.equal(said.match(/console: \[guest\]/g)?.length, Object.keys(BOOTS).length);
});
test('a client domain cannot open /dev/kvm', () => {
  assert.match(said, /vm_secret_client_t: open\("\/dev\/kvm", O_RDWR\) = EACCES/);
});
test('the table says for each disk and client which domain the VM gets, or that there is none', () => {
  const row = (name) => new RegExp(`^${name} +(.*)$`, 'm').exec(said)?.[1].split(/ {2,}/);
  assert.deepEqual(row('disk . client'), ['vm_unclass_client_t', 'vm_secret_client_t', 'vm_topsecret_client_t']);
  assert.deepEqual(row('unclassified'), ['vm_unclass_t', 'vm_secret_t', 'vm_topsecret_t']);
  assert.deepEqual(row('secret'), ['refused: no rule', 'vm_secret_t', 'vm_topsecret_t']);
  assert.deepEqual(row('topsecret'), ['refused: no rule', 'refused: denied', 'vm_topsecret_t']);
  assert.deepEqual(row('leaked'), Array(3).fill('refused: no rule'));
});
test('all of it is legible in 80 columns', () => {
  assert.deepEqual(
    (said + demo.stderr).split('\n').filter((line) => line.length > 80),
    [],
  );
});
test('the demo says itself that all was right', () => assert.equal(demo.status, 0, demo.stderr));

// What `npm run demo -- --host` calls, on this guest as the host that has SELinux. Programs that would change the
// machine are not there for it, only a trace of who called them.
const host = '/tmp/demo-host';
mkdirSync(`${host}/bin`, { recursive: true });
for (const name of ['apt-get', 'dpkg-query', 'sudo', 'npm', 'node-gyp', 'make']) {
  writeFileSync(`${host}/bin/${name}`, `#!/bin/sh\necho ${name} >> ${host}/called\nexit 1\n`, { mode: 0o755 });
}
const hostDemo = (project) =>
  spawnSync('bash', [`${project}/examples/demo/run.sh`, '--host'], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${host}/bin:${process.env.PATH}` },
  });
/** Files of the system that were written since `mark` was. */
const written = (mark) =>
  spawnSync('find', ['/', '-xdev', '-newer', mark, '-type', 'f'], { encoding: 'utf8' }).stdout.trim();

test('on a host with SELinux it tells state, decisions and /dev/kvm, and changes nothing', () => {
  const mark = '/root/demo-host-mark';
  writeFileSync(mark, '');
  const policy = readFileSync('/sys/fs/selinux/policy').length;
  const { status, stdout, stderr } = hostDemo('/project');
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /^ok +SELinux +enforcing, policy default/m);
  assert.match(stdout, /^ok +module +installed, as shipped$/m);
  assert.match(stdout, /^topsecret +refused: no rule +refused: denied +vm_topsecret_t$/m);
  assert.match(stdout, /^\/dev\/kvm for vm_secret_client_t: denied \{ ioctl read write open \}$/m);
  assert.equal(existsSync(`${host}/called`), false, 'no package manager and no compiler was called');
  assert.equal(written(mark), '');
  assert.equal(readFileSync('/sys/fs/selinux/policy').length, policy);
});

test('where the package is not built it says how to, and neither installs nor builds', () => {
  for (const name of ['package.json', 'examples'])
    cpSync(`/project/${name}`, `${host}/bare/${name}`, { recursive: true });
  const { status, stdout, stderr } = hostDemo(`${host}/bare`);
  assert.deepEqual([status, stdout], [3, ''], stderr);
  assert.match(stderr, /npm run build/);
  assert.match(stderr, /Fedora/);
  assert.equal(existsSync(`${host}/called`), false);
});
