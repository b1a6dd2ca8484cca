// The launch on a kernel that enforces: what the process is when it starts, what happens to it when its
// manager dies, and what does not start. The guest has the example of three levels installed.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { securityGetenforce, setfilecon } from 'vm-entrypoint/selinux';

const directory = '/var/tmp/launch';
const native = '/project/build/test';
const client = 'unconfined_u:unconfined_r:vm_secret_client_t:s0-s0:c0.c1023';
// The common part of the client's clearance and the disk's range.
const vmContext = 'unconfined_u:unconfined_r:vm_secret_t:s0-s0:c1,c2';
const probe = `${directory}/probe_child`;
const sleeper = `${directory}/sleep`;
const disk = `${directory}/disk.raw`;

assert.equal(securityGetenforce(), true, 'this proves nothing unless SELinux enforces');
mkdirSync(directory, { recursive: true });
for (const [from, to] of [
  [`${native}/probe_child`, probe],
  ['/usr/bin/sleep', sleeper],
]) {
  copyFileSync(from, to);
  chmodSync(to, 0o755);
  setfilecon(to, 'system_u:object_r:vm_emulator_exec_t:s0');
}
writeFileSync(disk, Buffer.alloc(4096));
setfilecon(disk, 'system_u:object_r:vm_secret_virtdisk_t:s0:c1,c2');

const prelude = `
  import { launch, command, withExecContext } from 'vm-entrypoint';
  import * as selinux from 'vm-entrypoint/selinux';
  import { text } from 'node:stream/consumers';
  import { once } from 'node:events';
  const start = (path, args, more) => launch({ client: '${client}',
    disks: [{ path: '${disk}', format: 'raw', readOnly: true }], emulator: command({ path, args }), ...more });
  const probe = async (more, args = []) => {
    const vm = await start('${probe}', args, { stdio: ['ignore', 'pipe', 'ignore'], ...more });
    const closed = once(vm, 'close');
    const out = await text(vm.stdout);
    await closed;
    return { context: vm.context, out };
  };
  const fails = (promise) => promise.then(() => null, ({ name, code, message }) => ({ name, code, message }));
  const say = (value) => console.log(JSON.stringify(value));
`;
const node = (body) => [process.execPath, '--input-type=module', '-e', prelude + body];
/** Runs a program in the manager's domain, or another; gives what it said. */
function manager(body, domain = 'vm_manager_t') {
  const output = execFileSync('runcon', ['-t', domain, '--', ...node(body)], {
    encoding: 'utf8',
    cwd: '/project',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(output);
}
const lines = (out, key) =>
  out
    .split('\n')
    .filter((line) => line.startsWith(`${key} `))
    .map((line) => line.slice(key.length + 1));
const alive = (pid) => existsSync(`/proc/${pid}/stat`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test('the process is in its context, with its descriptors and limits, and nothing else', () => {
  const { context, out } = manager(
    `say(await probe({ rlimits: { nofile: { soft: 4321, hard: 5000 }, core: 0 }, detached: true }));`,
  );
  assert.equal(context, vmContext);
  assert.deepEqual(lines(out, 'current'), [vmContext]);
  assert.deepEqual(lines(out, 'exec'), [''], 'the exec context is used up');
  assert.deepEqual(
    lines(out, 'fd').map((line) => Number(line.split(' ')[0])),
    [0, 1, 2, 10],
  );
  assert.deepEqual(lines(out, 'secure'), ['1'], 'a secure exec');
  assert.ok(lines(out, 'limit').includes('7 4321 5000'), 'limits that the exec had reset');
  assert.deepEqual(lines(out, 'sid'), lines(out, 'pid'));
});

test('user and groups', () => {
  const { out } = manager(`say(await probe({ uid: 4242, gid: 4343, groups: [4444] }));`);
  assert.deepEqual(lines(out, 'uid'), ['4242 4242 4242']);
  assert.deepEqual(lines(out, 'groups'), ['4444']);
  assert.deepEqual(lines(out, 'current'), [vmContext]);
});

test('a pipe has the type of the manager and the level of the VM', () => {
  const label = manager(`
    const vm = await start('${sleeper}', ['60']);
    say(selinux.fgetfilecon(vm.stdout._handle.fd));
    vm.kill('SIGKILL');
  `);
  assert.match(label, /:vm_manager_t:s0-s0:c1,c2$/);
});

test('fifty programs that start at once to close what they were given', () => {
  const seen = manager(`
    const all = [];
    for (let i = 0; i < 50; i++) {
      const vm = await start('${sleeper}', ['0'], { stdio: 'ignore' });
      all.push(once(vm, 'close').then(([code]) => vm.context + ' ' + code));
    }
    say([...new Set(await Promise.all(all))]);
  `);
  assert.deepEqual(seen, [`${vmContext} 0`]);
});

test('withExecContext and child_process', () => {
  const [context, after] = manager(`
    import { spawn } from 'node:child_process';
    const child = withExecContext('${vmContext}', () => spawn('${sleeper}', ['60'], { stdio: 'ignore' }));
    await once(child, 'spawn');
    // spawn waits for the exec, which may still be at its last steps.
    await new Promise((resolve) => setTimeout(resolve, 100));
    say([selinux.getpidcon(child.pid), selinux.getexeccon()]);
    child.kill('SIGKILL');
  `);
  assert.equal(context, vmContext);
  assert.equal(after, null);
});

test('an emulator on a nosuid mount: where policy grants that, and nowhere else', () => {
  const mount = `${directory}/nosuid`;
  mkdirSync(mount);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'nosuid,mode=755', 'none', mount]);
  try {
    copyFileSync(probe, `${mount}/probe_child`);
    chmodSync(`${mount}/probe_child`, 0o755);
    setfilecon(`${mount}/probe_child`, 'system_u:object_r:vm_emulator_exec_t:s0');
    const body = `say(await fails(start('${mount}/probe_child', [], { stdio: 'ignore' })));`;
    assert.equal(manager(body), null, 'the manager has launch_restricted');
    const error = manager(body, 'vm_secret_client_t');
    assert.equal(error.name, 'AccessDeniedError', error.message);
    assert.match(error.message, /nosuid_transition/);
  } finally {
    execFileSync('umount', [mount]);
    rmSync(mount, { recursive: true });
  }
});

test('a descriptor that the domain may not use is refused by name, and not silently replaced', () => {
  const secret = `${directory}/manager-only`;
  writeFileSync(secret, 'secret');
  setfilecon(secret, 'system_u:object_r:vm_topsecret_virtdisk_t:s0');
  const error = manager(`
    import { openSync } from 'node:fs';
    const fd = openSync('${secret}', 'r');
    say(await fails(start('${probe}', [], { stdio: ['ignore', 'ignore', 'ignore', fd] })));
  `);
  assert.equal(error.name, 'AccessDeniedError', error.message);
  assert.match(error.message, /vm_topsecret_virtdisk_t.*tclass=file/);
});

for (const [option, dies] of [
  ['live', false],
  ['kill', true],
]) {
  test(`the manager is killed, onManagerExit: '${option}'`, async () => {
    const process_ = spawn(
      'runcon',
      [
        '-t',
        'vm_manager_t',
        '--',
        ...node(`
          const vm = await start('${sleeper}', ['60'], { stdio: 'ignore', onManagerExit: '${option}' });
          say(vm.pid);
        `),
      ],
      { cwd: '/project', stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const pid = Number(await new Promise((resolve) => process_.stdout.once('data', resolve)));
    assert.ok(alive(pid));
    process_.kill('SIGKILL');
    await new Promise((resolve) => process_.once('exit', resolve));
    for (let i = 0; i < 50 && alive(pid) === dies; i++) await pause(20);
    assert.equal(alive(pid), !dies);
    if (!dies) process.kill(pid, 'SIGKILL');
  });
}

test('policy loads and switches of the mode during launches: in its context, or not at all', async () => {
  const running = spawn(
    'runcon',
    [
      '-t',
      'vm_manager_t',
      '--',
      ...node(`
        const seen = {};
        for (const end = Date.now() + 20000; Date.now() < end; ) {
          const outcome = await start('${probe}', [], { stdio: ['ignore', 'pipe', 'ignore'] }).then(
            async (vm) => /^current (.*)$/m.exec(await text(vm.stdout))?.[1] + ' ' + (vm.context === '${vmContext}'),
            (error) => error.code + ' ' + error.message);
          seen[outcome] = (seen[outcome] ?? 0) + 1;
        }
        say(seen);
      `),
    ],
    { cwd: '/project', stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let output = '';
  running.stdout.on('data', (chunk) => {
    output += chunk;
  });
  let over = false;
  const ended = new Promise((resolve) => running.once('exit', resolve)).then(() => {
    over = true;
  });
  let changes = 0;
  while (!over) {
    for (const mode of ['0', '1']) {
      spawnSync('setenforce', [mode]);
      await pause(150);
    }
    spawnSync('load_policy');
    changes++;
    await pause(150);
  }
  await ended;
  spawnSync('setenforce', ['1']);
  const seen = JSON.parse(output);
  const right = `${vmContext} true`;
  assert.ok(changes > 3 && seen[right] > 20, `${changes} changes, ${output}`);
  for (const outcome of Object.keys(seen)) {
    if (outcome !== right) assert.match(outcome, /^ERR_SELINUX_POLICY_CHANGED /, output);
  }
});

test('every call of a launch made to fail, and the manager killed at every one', () => {
  const result = spawnSync('runcon', ['-t', 'vm_manager_t', '--', `${native}/launch_spawn_test`], {
    encoding: 'utf8',
    env: {
      ...process.env,
      VMENTRY_LAUNCH_IMAGE: disk,
      VMENTRY_LAUNCH_EMULATOR: sleeper,
      VMENTRY_LAUNCH_CLIENT: client,
    },
  });
  assert.equal(result.status, 0, result.stdout + result.stderr);
  assert.match(result.stdout, /4 passed/);
});
