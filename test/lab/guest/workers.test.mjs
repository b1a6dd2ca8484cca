// Four hundred launches from four Workers in four contexts at once: each child in its own, nothing left.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { securityGetenforce, setfilecon } from 'vm-entrypoint/selinux';

const launches = 100;
const directory = '/var/tmp/workers';
const emulator = `${directory}/trivial_emulator`;

assert.equal(securityGetenforce(), true, 'this proves nothing unless SELinux enforces');
mkdirSync(directory, { recursive: true });
copyFileSync('/project/build/test/trivial_emulator', emulator);
chmodSync(emulator, 0o755);
setfilecon(emulator, 'system_u:object_r:vm_emulator_exec_t:s0');

const jobs = [
  ['vm_unclass', 's0', 'vm_unclass_t:s0'],
  ['vm_secret', 's0', 'vm_secret_t:s0'],
  ['vm_secret', 's0:c1,c2', 'vm_secret_t:s0-s0:c1,c2'],
  ['vm_topsecret', 's0:c7,c9', 'vm_topsecret_t:s0-s0:c7,c9'],
].map(([level, range, expected], i) => {
  const disk = `${directory}/disk${i}.raw`;
  writeFileSync(disk, Buffer.alloc(4096));
  setfilecon(disk, `system_u:object_r:${level}_virtdisk_t:${range}`);
  const client = `unconfined_u:unconfined_r:${level}_client_t:s0-s0:c0.c1023`;
  return { client, disk, emulator, launches, expected: `unconfined_u:unconfined_r:${expected}` };
});

const launcher = new URL('./workers/launcher.mjs', import.meta.url).pathname;
const output = execFileSync(
  'runcon',
  ['-t', 'vm_manager_t', '--', process.execPath, launcher, JSON.stringify({ jobs })],
  { encoding: 'utf8' },
);
const { results, before, after, execAttribute } = JSON.parse(output);

for (const [i, { expected }] of jobs.entries()) {
  test(`Worker ${i}: ${launches} launches, every one in ${expected}`, () => {
    // The child's own word, equal to what launch() said, with exit code 0.
    assert.deepEqual(results[i].seen, { [`${expected} true 0`]: launches });
    assert.equal(results[i].execAttribute, null);
  });
}
test("the manager's own exec attribute is empty", () => assert.equal(execAttribute, null));
test('no descriptor, socket, thread or zombie is left', () => assert.deepEqual(after, before));
