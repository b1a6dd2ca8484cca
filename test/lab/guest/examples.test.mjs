// The examples as somebody who copies them would run them: in the client's own domain, with QEMU and a disk that
// boots. Each VM has to say so on its console, in the context that the kernel confirms.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { getpidcon, securityGetenforce, setfilecon } from 'vm-entrypoint/selinux';
import { bootableImage } from '../../../examples/demo/boot-sector.mjs';

const directory = '/var/tmp/examples';
/** Seconds, where nothing else keeps the machine busy. */
const limit = 3 * 60_000;

assert.equal(securityGetenforce(), true, 'this proves nothing unless SELinux enforces');
mkdirSync(directory, { recursive: true });

/** A disk that boots, with a label. @param {string} name @param {string} type @param {string} level */
function makeDisk(name, type, level) {
  const path = `${directory}/${name}.raw`;
  writeFileSync(path, bootableImage(`[guest] booted from ${name}`));
  setfilecon(path, `system_u:object_r:${type}:${level}`);
  return path;
}
// With categories: everything that the VM is given has to have its level and not the client's.
const own = makeDisk('own', 'vm_secret_virtdisk_t', 's0:c1,c2');
const withoutRule = makeDisk('no-rule', 'lib_t', 's0');
const forbidden = makeDisk('forbidden', 'vm_topsecret_virtdisk_t', 's0');

/** @param {string} example @param {string[]} args */
const inClientDomain = (example, ...args) => [
  ...['-t', 'vm_secret_client_t', '--', process.execPath, `/project/examples/${example}`],
  ...args,
];

for (const example of ['launch-qemu.mjs', 'keep-your-own-spawn.mjs']) {
  test(`${example}: the VM boots from its disk, in the domain that policy chose, and ends with the program`, {
    timeout: limit,
  }, async (t) => {
    const program = spawn('runcon', inClientDomain(example, own), { stdio: 'pipe' });
    // Where the test fails, its VM must not keep the guest busy until the stage's limit.
    t.after(() => program.kill('SIGTERM'));
    const ended = once(program, 'close');
    const said = { stdout: '', stderr: '' };
    for (const name of /** @type {const} */ (['stdout', 'stderr'])) {
      program[name].setEncoding('latin1').on('data', (text) => (said[name] += text));
    }
    while (!/\[guest\] .*\r\n/.test(said.stdout) && program.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.match(said.stdout, /\[guest\] booted from own\r\n/, said.stderr);
    const [, pid, context] = /^pid (\d+) runs as (\S+)$/m.exec(said.stderr) ?? [];
    assert.equal(context, 'unconfined_u:unconfined_r:vm_secret_t:s0-s0:c1,c2', said.stderr);
    assert.equal(getpidcon(Number(pid)), context);
    program.kill('SIGTERM');
    await ended;
    // QEMU takes the signal for a wish to power off.
    assert.match(said.stderr, /^pid .*\nqemu-system-x86_64: terminating on signal 15 .*\nended with status 0\n$/);
    assert.ok(!existsSync(`/proc/${pid}`), 'the VM is gone');
  });

  test(`${example}: a disk that may not start a VM for this client is refused with the missing rules`, {
    timeout: limit,
  }, () => {
    for (const [disk, missing] of /** @type {[string, RegExp][]} */ ([
      [forbidden, /^\(allow vm_topsecret_virtdisk_t vm_secret_t \(vm \(entrypoint\)\)\)$/m],
      [withoutRule, /^\(typetransition vm_secret_client_t lib_t vm /m],
    ])) {
      const { status, stdout, stderr } = spawnSync('runcon', inClientDomain(example, disk), { encoding: 'latin1' });
      assert.deepEqual([status, stdout], [1, ''], stderr);
      assert.match(stderr, /^refused \((denied|no-transition)\); missing:\n/);
      assert.match(stderr, missing);
      assert.doesNotMatch(stderr, /null|undefined/);
    }
  });
}
