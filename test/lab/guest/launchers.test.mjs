// Launchers that may not do everything: under no_new_privs, with an emulator on a nosuid mount, without the right to
// kill or to stop what they start, with another /proc than the kernel's. What they start is what was decided, or dead.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import test, { after, before, describe } from 'node:test';
import { securitySetBooleanList, securitySetenforce } from 'vm-entrypoint/selinux';
import {
  client,
  contextOf,
  directory,
  emulator,
  eventually,
  image,
  Manager,
  missing,
  probe,
  processesOf,
  said,
  vmContext,
} from './between/harness.mjs';
import { compilePolicy, loadBinaryPolicy, withoutPermission } from './policies.mjs';

const disks = Object.fromEntries(
  ['unclass', 'secret', 'topsecret'].map((level) => [level, image(level, `vm_${level}_virtdisk_t`)]),
);
/** A launch of a client for itself; of the manager, for the client of that level. */
const request = (level, more) => ({
  options: { client: client(level), disks: [{ path: disks[level], format: 'raw', readOnly: true }], ...more },
});
const start = (level, options) => Manager.start({ context: client(level), ...options });
const stopped = (pid) => /\) T /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));

before(() => {
  loadBinaryPolicy(
    compilePolicy(
      `; One of the two rights of a restricted launcher each.
       (allow vm_secret_client_t vm_secret_t (process2 (nnp_transition)))
       (allow vm_topsecret_client_t vm_topsecret_t (process2 (nosuid_transition)))
       ; A VM domain that may change into another one by itself.
       (allow vm_secret_t self (process (setcurrent)))
       (allow vm_secret_t self (file (write)))
       (allow vm_secret_t vm_topsecret_t (process (dyntransition)))
       (allow vm_secret_client_t vm_topsecret_t (process (getattr sigkill signal)))
       (allow vm_secret_client_t vm_topsecret_t (dir (getattr open read search)))
       (allow vm_secret_client_t vm_topsecret_t (file (getattr open read)))
       (allow vm_secret_client_t vm_topsecret_t (lnk_file (getattr read)))
       ; As launcher_with_cgroups has it.
       (allow vm_secret_client_t cgroup_t (file (write)))
       ; What stands in for a container's configuration may mount over files of /proc.
       (allow unconfined_mount_t vm_secret_t (file (mounton)))
       (allow unconfined_mount_t vm_secret_t (dir (mounton)))
       (boolean lab_append true)
       (booleanif (lab_append) (true (allow vm_level vm_data_virtdisk_t (file (append)))))`,
      (cil) =>
        [
          ['vm_unclass_client_t', 'vm_unclass_t', 'process', 'sigkill'],
          ['vm_secret_client_t', 'vm_secret_t', 'process', 'sigstop'],
          ['vm_level', 'vm_data_virtdisk_t', 'file', 'append'],
        ].reduce((text, rule) => withoutPermission(text, ...rule), cil),
    ),
  );
});
after(() => loadBinaryPolicy());

// --- no_new_privs and nosuid -----------------------------------------------------------------

describe('under no_new_privs, from a nosuid mount, and both', () => {
  const mount = `${directory}/nosuid`;
  let restricted;
  before(() => {
    mkdirSync(mount);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'nosuid,mode=755', 'none', mount]);
    restricted = emulator('/project/build/test/probe_child', { at: mount });
  });
  after(() => execFileSync('umount', [mount]));

  // [who, context of the launcher, what it has]
  for (const [who, level, context, rights] of [
    ['the manager, which has launch_restricted', 'secret', undefined, ['nnp_transition', 'nosuid_transition']],
    ['a client with neither right', 'unclass', client('unclass'), []],
    ['a client with nnp_transition alone', 'secret', client('secret'), ['nnp_transition']],
    ['a client with nosuid_transition alone', 'topsecret', client('topsecret'), ['nosuid_transition']],
  ]) {
    for (const noNewPrivs of [false, true]) {
      test(`${who}${noNewPrivs ? ', under no_new_privs' : ''}`, async () => {
        const through = noNewPrivs ? ['setpriv', '--no-new-privs'] : [];
        const manager = await Manager.start({ ...(context && { context }), through });
        assert.match(
          readFileSync(`/proc/${manager.pid}/status`, 'utf8'),
          new RegExp(`^NoNewPrivs:\\s${Number(noNewPrivs)}$`, 'm'),
        );
        for (const path of [probe, restricted]) {
          const needed = [
            ...(noNewPrivs ? ['nnp_transition'] : []),
            ...(path === restricted ? ['nosuid_transition'] : []),
          ];
          const lacks = needed.filter((right) => !rights.includes(right));
          // The unclassified client may not kill what it starts: asked for as a refusal only.
          if (lacks.length === 0 && level === 'unclass') continue;
          if (lacks.length === 0) {
            const decision = await manager.works({ ...request(level), path }, vmContext(level));
            const asked = decision.checks.filter(({ objectClass }) => objectClass === 'process2');
            assert.deepEqual(
              asked.flatMap(({ requested }) => requested),
              needed,
            );
          } else {
            const error = await manager.fails({ ...request(level), path }, 'ERR_SELINUX_DENIED', 'AccessDeniedError');
            const rule = `(allow vm_${level}_client_t vm_${level}_t (process2 (${lacks.join(' ')})))`;
            assert.deepEqual(missing(error), [rule]);
            assert.ok(error.message.includes(rule), error.message);
          }
        }
        await manager.close();
      });
    }
  }
});

// --- Without a right on what was started -----------------------------------------------------

test('without the right to kill: tied is refused, with the rule that is missing', async () => {
  const manager = await start('unclass');
  const error = await manager.fails(request('unclass', { onManagerExit: 'kill' }), 'ERR_LAUNCH_TIE', 'LaunchError');
  assert.match(error.message, /allow \S*vm_unclass_client_t\S* \S*vm_unclass_t\S* : process sigkill/);

  // It lives without the tie, and the kernel indeed does not let this manager kill it.
  const { error: none, vm, end } = await manager.launch(request('unclass'));
  assert.equal(none, undefined, JSON.stringify(none));
  assert.equal(contextOf(vm.pid), vmContext('unclass'));
  assert.throws(() =>
    execFileSync('runcon', [client('unclass'), 'kill', '-KILL', String(vm.pid)], { stdio: 'ignore' }),
  );
  assert.deepEqual(processesOf(manager.pid), [vm.pid]);
  process.kill(vm.pid, 'SIGKILL');
  assert.deepEqual(await end('wait'), { code: null, signal: 'SIGKILL' });
  said();
  await manager.close();
});

test('without the right to kill, in permissive mode: tied works, and the VM dies with its manager', async () => {
  const manager = await start('unclass');
  securitySetenforce(false);
  try {
    const { error, vm } = await manager.launch(request('unclass', { onManagerExit: 'kill' }));
    assert.equal(error, undefined, JSON.stringify(error));
    process.kill(manager.pid, 'SIGKILL');
    await eventually('the VM dies', () => !existsSync(`/proc/${vm.pid}`));
  } finally {
    securitySetenforce(true);
  }
  said();
});

describe('without the right to stop: the program runs while it is compared', () => {
  let unheld;
  before(async () => {
    unheld = await start('secret', { testAddon: true });
  });
  after(() => unheld.close());

  test('it is verified, and in its domain', async () => {
    await unheld.works(request('secret'), vmContext('secret'));
    let ran;
    const meanwhile = async () => {
      const [pid] = processesOf(unheld.pid);
      ran = await eventually('the program has run', () => /^end$/m.test(said()));
      assert.equal(stopped(pid), false);
    };
    // What it says is heard here, so it is not marked by then.
    const { error, vm, end } = await unheld.launch({ ...request('secret'), pause: { call: 'waitid', meanwhile } });
    assert.equal(error, undefined, JSON.stringify(error));
    assert.equal(ran, true);
    assert.equal(contextOf(vm.pid), vmContext('secret'));
    await end();
  });

  test('it is waited for in the middle of its exec, which is where clone(2) returns', async () => {
    // On one processor, and a child that gives way to everybody: the launching thread goes on as soon as the child
    // has let it, long before the exec is over.
    writeFileSync('/sys/fs/cgroup/cgroup.subtree_control', '+cpu');
    const cgroup = '/sys/fs/cgroup/idle';
    mkdirSync(cgroup);
    writeFileSync(`${cgroup}/cpu.idle`, '1');
    const manager = await start('secret', { through: ['taskset', '--cpu-list', '0'] });
    for (let i = 0; i < 10; i++) await manager.works(request('secret', { cgroup }), vmContext('secret'));
    await manager.close();
    rmdirSync(cgroup);
  });

  test('with the right it has not run at that point, and is stopped', async () => {
    const held = await start('topsecret', { testAddon: true });
    const meanwhile = async () => {
      const [pid] = processesOf(held.pid);
      await eventually('the program is stopped', () => stopped(pid));
      assert.equal(said(), '');
    };
    await held.works({ ...request('topsecret'), pause: { call: 'waitid', meanwhile } }, vmContext('topsecret'));
    await held.close();
  });

  test('a program that has changed into another domain by then is found out and killed', async () => {
    const shell = emulator('/bin/dash');
    const elsewhere = vmContext('topsecret');
    let seen;
    const meanwhile = async () => {
      const [pid] = processesOf(unheld.pid);
      await eventually('the program changes its domain', () => contextOf(pid) === elsewhere);
      seen = true;
    };
    const error = await unheld.fails(
      {
        ...request('secret'),
        path: shell,
        args: ['-c', `printf %s ${elsewhere} > /proc/self/attr/current; while :; do :; done`],
        pause: { call: 'waitid', meanwhile },
      },
      'ERR_LAUNCH_CONTEXT',
      'LaunchError',
    );
    assert.equal(seen, true);
    assert.ok(error.message.includes(`'${elsewhere}' instead of '${vmContext('secret')}'`), error.message);
  });

  test('a descriptor that the kernel has taken away is found out', async () => {
    const error = await unheld.fails(
      {
        ...request('secret'),
        pause: { call: 'child:execveat', meanwhile: () => securitySetBooleanList({ lab_append: false }) },
      },
      'ERR_LAUNCH_DESCRIPTORS',
      'LaunchError',
    );
    assert.match(error.message, /Descriptor 1 /);
    securitySetBooleanList({ lab_append: true });
    await unheld.works(request('secret'), vmContext('secret'));
  });
});

// --- Another /proc than the kernel's ---------------------------------------------------------

describe('/proc', () => {
  const privately = ['unshare', '--mount', '--propagation', 'private'];
  const inside = (manager, ...command) => execFileSync('nsenter', ['-t', String(manager.pid), '-m', '--', ...command]);
  const failsWithProc = (manager, more) =>
    manager.fails({ ...request('secret'), ...more }, 'ERR_LAUNCH_PROCFS', 'LaunchError');

  for (const [what, ...mount] of [
    ['another file system', '-t', 'tmpfs', 'none'],
    ['a directory of the kernel’s', '--bind', '/proc/sys'],
  ]) {
    test(`${what} in its place, mounted before the launch or in its middle`, async () => {
      const manager = await Manager.start({ through: privately });
      await manager.works(request('secret'), vmContext('secret'));
      const put = () => inside(manager, 'mount', ...mount, '/proc');
      await failsWithProc(manager, { build: put });
      await failsWithProc(manager);
      inside(manager, 'umount', '/proc');
      await manager.works(request('secret'), vmContext('secret'));
      await manager.close();
    });
  }

  test("another pid namespace's, in which this process has no number", async () => {
    const manager = await Manager.start({ through: privately });
    const enter = ['nsenter', '-t', String(manager.pid), '-m', '--', 'unshare', '--pid', '--fork', '--kill-child'];
    const script = 'mount -t proc none /proc && echo mounted && exec sleep 600';
    const other = spawn(enter[0], [...enter.slice(1), 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => other.once('exit', resolve));
    await new Promise((resolve) => other.stdout.once('data', resolve));
    await failsWithProc(manager);
    inside(manager, 'umount', '/proc');
    other.kill('SIGKILL');
    await ended;
    await manager.works(request('secret'), vmContext('secret'));
    await manager.close();
  });

  test("another pid namespace's, in which this process has another number", async () => {
    const manager = await Manager.start({ through: ['unshare', '--pid', '--fork', '--kill-child'], forks: true });
    await failsWithProc(manager);
    await manager.close();
  });

  for (const name of ['stat', 'fd']) {
    test(`something over /proc/PID/${name} of the program that is held`, async () => {
      const manager = await Manager.start({ through: privately, testAddon: true });
      let file;
      const meanwhile = async () => {
        const [pid] = processesOf(manager.pid);
        await eventually('the program is stopped', () => stopped(pid));
        file = `/proc/${pid}/${name}`;
        inside(manager, 'mount', '--bind', name === 'fd' ? directory : '/dev/null', file);
      };
      const error = await failsWithProc(manager, { pause: { call: 'waitid', meanwhile } });
      assert.ok(error.message.includes(file), error.message);
      await manager.works(request('secret'), vmContext('secret'));
      await manager.close();
    });
  }
});
