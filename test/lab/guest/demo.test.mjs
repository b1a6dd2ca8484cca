// The demo, held against what the example of three levels means: every client with every disk, each
// allowed VM booted from its disk, its context read back from the kernel.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
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
test('the demo says itself that all was right', () => assert.equal(demo.status, 0, demo.stderr));
