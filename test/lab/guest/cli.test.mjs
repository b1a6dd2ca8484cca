// The command line on a kernel that enforces: status, check, explain, launch, and installing and removing
// the module for real. The guest has the shipped module and its example of three levels installed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

const DIRECTORY = '/srv/cli-test';
const EMULATOR = `${DIRECTORY}/emulator`;

/** Runs a program; ends with its status and what it wrote. */
function run(program, args, { onOutput } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const result = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8').on('data', (chunk) => {
        result[name] += chunk;
        onOutput?.(child, result);
      });
    }
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status: status ?? signal, ...result }));
  });
}

/** Runs a shell command that has to succeed. */
async function shell(command) {
  const { status, stdout, stderr } = await run('/bin/sh', ['-c', command]);
  assert.equal(status, 0, `${command}: ${stderr}`);
  return stdout;
}

const MAIN = ['/usr/local/bin/node', '/project/dist/cli/main.js'];
const cli = (...args) => run(MAIN[0], [MAIN[1], ...args]);
/** The same in the domain of a client. */
const as = (type, args, options) => run('/usr/bin/runcon', ['-t', type, ...MAIN, ...args], options);

const client = (level) => `vm_${level}_client_t`;
const context = (type) => `unconfined_u:unconfined_r:${type}:s0-s0:c0.c1023`;
const disk = (name, ...more) => ['--disk', [`${DIRECTORY}/${name}.raw`, 'format=raw', ...more].join(',')];
const json = ({ stdout, stderr }) => {
  try {
    return JSON.parse(stdout);
  } catch {
    throw new Error(`no JSON: ${stdout}${stderr}`);
  }
};

before(async () => {
  mkdirSync(DIRECTORY);
  for (const level of ['unclass', 'secret', 'topsecret']) {
    writeFileSync(`${DIRECTORY}/${level}.raw`, `the ${level} disk\n`.padEnd(4096, '\0'));
    await shell(`chcon -t vm_${level}_virtdisk_t ${DIRECTORY}/${level}.raw`);
  }
  // A shell in place of a VMM: it says what it may do.
  copyFileSync('/bin/bash', EMULATOR);
  await shell(`chmod 0755 ${EMULATOR} && chcon -t vm_emulator_exec_t ${EMULATOR}`);
});

test('status: ready, the module is the one that ships, and an administrator may open /dev/kvm', async () => {
  const result = await cli('status', '--json');
  const status = json(result);
  assert.equal(result.status, 0, result.stderr);
  assert.equal(status.ready, true);
  assert.deepEqual(status.problems, []);
  assert.deepEqual(
    { ...status.selinux, policyVersion: 0 },
    {
      library: true,
      enabled: true,
      enforcing: true,
      mls: true,
      unknownClasses: 'allowed',
      policyType: 'default',
      policyVersion: 0,
    },
  );
  assert.equal(status.vmClass.present.length, 18);
  assert.deepEqual(status.vmClass.missing, []);
  assert.deepEqual(status.module, { installed: true, current: true, error: null });
  assert.equal(status.kvm.accessible, true);
  assert.match(status.kvm.context, /:kvm_device_t:/);
  const qemu = status.emulators.find(({ path }) => path === '/usr/bin/qemu-system-x86_64');
  assert.match(qemu.context, /:qemu_exec_t:/);
});

test('status for a client: ready, its own context, and no /dev/kvm', async () => {
  const result = await as(client('secret'), ['status', '--json']);
  const status = json(result);
  assert.equal(result.status, 0, result.stdout);
  assert.equal(status.process.context, context(client('secret')));
  assert.equal(status.process.mayChooseContext, true);
  assert.equal(status.kvm.accessible, false);
  assert.equal(status.kvm.error, 'EACCES');
  assert.equal(status.module.installed, null);
});

test('check gives the table of the example, by exit status', async () => {
  const table = {
    unclass: { unclass: 0, secret: 1, topsecret: 1 },
    secret: { unclass: 0, secret: 0, topsecret: 1 },
    topsecret: { unclass: 0, secret: 0, topsecret: 0 },
  };
  for (const [who, row] of Object.entries(table)) {
    for (const [what, status] of Object.entries(row)) {
      const own = context(client(who));
      const readonly = who === what ? [] : ['readonly'];
      const result = await cli(
        'check',
        '--json',
        '--client',
        own,
        '--launcher',
        own,
        '--emulator',
        EMULATOR,
        ...disk(what, ...readonly),
      );
      assert.equal(result.status, status, `${who} boots ${what}: ${result.stdout}${result.stderr}`);
      if (status === 0) assert.equal(json(result).vmContext, context(`vm_${who}_t`).replace(/s0-.*/, 's0'));
    }
  }
});

test('explain names what is missing', async () => {
  const own = context(client('secret'));
  const result = await cli('explain', '--client', own, '--launcher', own, ...disk('topsecret', 'readonly'));
  assert.equal(result.status, 1);
  assert.match(result.stdout, /^allowed +domain|^allowed +VM domain from/m);
  assert.match(result.stdout, /^DENIED +starts the VM/m);
  assert.match(result.stdout, /^ {2}\(allow vm_topsecret_virtdisk_t vm_secret_t \(vm \(entrypoint\)\)\)$/m);
  assert.match(result.stderr, /^vm-entrypoint explain: ERR_SELINUX_DENIED: denied \{/);
});

test('launch runs in the domain that policy chose, and passes the status on', async () => {
  const script = 'read -r me < /proc/self/attr/current; echo "$me"; read -r line <&{disk0}; echo "$line"; exit 42';
  const result = await as(client('secret'), ['launch', ...disk('secret'), '--', EMULATOR, '-c', script]);
  assert.equal(result.status, 42, result.stderr);
  const [me, line] = result.stdout.split('\n');
  assert.match(me, /^unconfined_u:unconfined_r:vm_secret_t:s0\0?$/);
  assert.equal(line, 'the secret disk');
});

test('from inside the VM domain the image cannot be opened by its path, nor can another', async () => {
  const script = `for name in secret unclass topsecret; do (exec 9< ${DIRECTORY}/$name.raw) 2> /dev/null && echo "opened $name"; done; echo end`;
  const result = await as(client('secret'), ['launch', ...disk('secret'), '--', EMULATOR, '-c', script]);
  assert.equal(result.status, 0, result.stderr);
  assert.equal(result.stdout, 'end\n');
});

test('a refused launch: status 1, the missing rule, and nothing ran', async () => {
  const result = await as(client('secret'), [
    'launch',
    '--json',
    ...disk('topsecret', 'readonly'),
    '--',
    EMULATOR,
    '-c',
    `echo ran > ${DIRECTORY}/ran`,
  ]);
  assert.equal(result.status, 1, result.stderr);
  const { error } = json(result);
  assert.equal(error.code, 'ERR_SELINUX_DENIED');
  assert.equal(error.decision.allowed, false);
  assert.match(
    result.stderr,
    /^vm-entrypoint launch: ERR_SELINUX_DENIED: denied \{ .*\} scontext=\S+ tcontext=\S+ tclass=\w+/,
  );
  await shell(`test ! -e ${DIRECTORY}/ran`);
});

test('an emulator without the label for it is refused', async () => {
  const result = await as(client('secret'), ['launch', ...disk('secret'), '--', '/bin/bash', '-c', 'echo ran']);
  assert.equal(result.status, 1, result.stderr);
  assert.match(result.stderr, /missing: \(allow \S+ \S+ \(\w+ \(/);
  assert.equal(result.stdout, '');
});

test('signals reach the VM across the domains', async () => {
  let sent = false;
  const script = 'trap "exit 77" TERM; echo ready; while :; do read -r -t 0.2 <&{disk0}; done';
  const result = await as(client('secret'), ['launch', ...disk('secret'), '--', EMULATOR, '-c', script], {
    onOutput: (child, { stdout }) => {
      if (sent || !stdout.includes('ready')) return;
      sent = true;
      child.kill('SIGTERM');
    },
  });
  assert.equal(result.status, 77, result.stderr);
});

test('policy remove is refused while another module needs it, and semodule is heard', async () => {
  const result = await cli('policy', 'remove', '--json');
  assert.equal(result.status, 3, result.stdout);
  const { error } = json(result);
  assert.equal(error.code, 'ERR_POLICY_IN_USE');
  assert.match(error.hint, /policy remove --example three_levels/);
  assert.ok(
    error.output.some((line) => /Failed to resolve/.test(line)),
    error.output.join('\n'),
  );
  // Through a pipe: the domain of semodule may not write to the sockets that Node makes.
  assert.match(await shell('semodule -lfull | cat'), /vm_entrypoint/);
});

test('policy remove, and then nothing is decided any more; policy install, and it is again', async () => {
  const labelled = `system_u:object_r:vm_secret_virtdisk_t:s0`;
  const ask = ['check', '--client', context(client('secret')), '--disk-context', labelled];

  const remove = await cli('policy', 'remove', '--example', 'three_levels');
  assert.equal(remove.status, 0, remove.stderr);
  assert.match(remove.stdout, /^vm_entrypoint, three_levels: removed$/m);
  const without = await cli(...ask);
  assert.equal(without.status, 3, without.stdout);
  assert.match(without.stderr, /ERR_SELINUX_CLASS_UNKNOWN: .*\n {2}.*policy install/);
  const status = await cli('status', '--json');
  assert.equal(status.status, 3);
  assert.deepEqual(
    json(status)
      .problems.filter(({ severity }) => severity === 'error')
      .map(({ id }) => id),
    ['class'],
  );
  assert.deepEqual(json(status).module, { installed: false, current: null, error: null });

  // Not loaded: the store has it, the kernel does not.
  const quiet = await cli('policy', 'install', '-n');
  assert.equal(quiet.status, 0, quiet.stderr);
  assert.match(quiet.stdout, /semodule -R/);
  assert.equal((await cli(...ask)).status, 3);
  const stored = await cli('policy', 'install');
  assert.equal(stored.status, 3, stored.stdout);
  assert.match(stored.stderr, /ERR_POLICY_NOT_LOADED: .*vm:entrypoint/);

  const install = await cli('policy', 'install', '--example', 'three_levels', '--json');
  assert.equal(install.status, 0, install.stderr);
  assert.equal(json(install).changed, true);
  const again = await cli(...ask, '--launcher', context(client('secret')));
  assert.equal(again.status, 0, again.stderr);
});

after(() => shell(`rm -rf ${DIRECTORY}`));
