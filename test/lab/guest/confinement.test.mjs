// What a captured emulator can do from inside its VM domain: a program in the emulator's place, started
// by launch() with one image, tries to reach everything else.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { securityGetenforce, setfilecon } from 'vm-entrypoint/selinux';

const EACCES = 13;
const directory = '/var/tmp/confinement';
const emulator = `${directory}/captured_emulator`;
const image = (name, type, range = 's0') => {
  const path = `${directory}/${name}.raw`;
  writeFileSync(path, Buffer.alloc(65536, name));
  setfilecon(path, `system_u:object_r:${type}:${range}`);
  return path;
};

assert.equal(securityGetenforce(), true, 'this proves nothing unless SELinux enforces');
mkdirSync(directory, { recursive: true });
copyFileSync('/project/build/test/captured_emulator', emulator);
chmodSync(emulator, 0o755);
setfilecon(emulator, 'system_u:object_r:vm_emulator_exec_t:s0');
const own = image('own', 'vm_secret_virtdisk_t', 's0:c1,c2');
const sameType = image('same-type', 'vm_secret_virtdisk_t', 's0:c1,c2');
const otherVm = image('other-vm', 'vm_secret_virtdisk_t', 's0:c3,c4');
const otherLevel = image('other-level', 'vm_topsecret_virtdisk_t');
const data = image('data', 'vm_data_virtdisk_t');

// The launch happens in the manager's domain; what the program said comes back as text.
const script = `
  import { launch, command } from 'vm-entrypoint';
  import { text } from 'node:stream/consumers';
  const [own, emulator, readOnly, ...paths] = process.argv.slice(1);
  const vm = await launch({
    client: 'unconfined_u:unconfined_r:vm_secret_client_t:s0-s0:c0.c1023',
    disks: [{ path: own, format: 'raw', readOnly: readOnly === 'true' }],
    emulator: command({ path: emulator, args: ({ disks }) => [String(disks[0].files[0].fd), ...paths] }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, err] = await Promise.all([text(vm.stdout), text(vm.stderr)]);
  console.log(JSON.stringify({ context: vm.context, out, err }));
`;
function run(readOnly, paths) {
  const args = ['-t', 'vm_manager_t', '--', process.execPath, '--input-type=module', '-e', script, '--'];
  const output = execFileSync('runcon', [...args, own, emulator, String(readOnly), ...paths], {
    encoding: 'utf8',
    cwd: '/project',
  });
  const { context, out, err } = JSON.parse(output);
  assert.match(out, /^end 0$/m, `the program did not end: ${out}${err}`);
  const results = new Map(
    out
      .trim()
      .split('\n')
      .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  );
  return { context, results };
}

const paths = [own, sameType, otherVm, otherLevel, data, '/etc/shadow', '/proc/1/environ'];
const writable = run(false, paths);

test('it runs in the domain and at the level that its disk chose', () => {
  assert.equal(writable.context, 'unconfined_u:unconfined_r:vm_secret_t:s0-s0:c1,c2');
});
test('it reads and writes the image that it was given', () => {
  assert.equal(writable.results.get('read-inherited'), 0);
  assert.equal(writable.results.get('write-inherited'), 0);
});
test('it cannot open that image a second time, through its descriptor or by its path', () => {
  assert.equal(writable.results.get('reopen-inherited'), EACCES);
  assert.equal(writable.results.get(`open:${own}`), EACCES);
});
for (const [what, path] of Object.entries({
  'its own type and level': sameType,
  'another VM': otherVm,
  'another level': otherLevel,
  data,
})) {
  test(`it cannot open an image of ${what}`, () => assert.equal(writable.results.get(`open:${path}`), EACCES));
}
test('it cannot relabel its image', () => assert.notEqual(writable.results.get('relabel-inherited'), 0));
test('it cannot leave its domain', () => {
  assert.equal(writable.results.get('setcon'), EACCES);
  assert.equal(writable.results.get('setexeccon'), EACCES);
});
test('it cannot trace or signal the manager', () => {
  assert.notEqual(writable.results.get('trace-parent'), 0);
  assert.equal(writable.results.get('kill-parent'), EACCES);
});
test('it cannot read secrets of the host', () => {
  assert.equal(writable.results.get('open:/etc/shadow'), EACCES);
  assert.equal(writable.results.get('open:/proc/1/environ'), EACCES);
});
test('a read-only image arrives as a read-only descriptor', () => {
  const { results } = run(true, []);
  assert.equal(results.get('read-inherited'), 0);
  assert.equal(results.get('write-inherited'), 9);
});
