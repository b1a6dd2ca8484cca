// Decisions on a real SELinux kernel, held against the SELinux project's own tools. Runs in the guest:
//   npm run lab -- -- node --test /project/test/lab/guest/decide.test.mjs
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  accessQuestion,
  cacheStatistics,
  decide,
  decideAsync,
  decideMany,
  explain,
  internContext,
  missingRules,
  prepareDecision,
  VERDICT,
} from 'vm-entrypoint';
import * as selinux from 'vm-entrypoint/selinux';
import { compilePolicy, loadBinaryPolicy, withoutClassVm } from './policies.mjs';

const LEVELS = ['unclass', 'secret', 'topsecret'];
const EVERYTHING = 's0-s0:c0.c1023';
const client = (level, range = EVERYTHING) => `unconfined_u:unconfined_r:vm_${level}_client_t:${range}`;
const disk = (name, range = 's0') => `system_u:object_r:vm_${name}_virtdisk_t:${range}`;
const EMULATOR = { context: 'system_u:object_r:qemu_exec_t:s0' };
const request = (who, what, more = {}) => ({
  disks: [{ context: what, format: 'raw', readOnly: true }],
  client: who,
  launcher: who,
  emulator: EMULATOR,
  ...more,
});

const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8' });
/** What the tools of selinux-utils say; they ask the same kernel without any of our code. */
const oracle = {
  /** The permissions that are granted. */
  computeAv(source, target, objectClass) {
    const out = run('compute_av', source, target, objectClass);
    const allowed = /^allowed=(?:\s*\{([^}]*)\}|\s*(\S+))/m.exec(out);
    return new Set((allowed?.[1] ?? allowed?.[2] ?? '').trim().split(/\s+/));
  },
  computeCreate: (source, target, objectClass) => run('compute_create', source, target, objectClass).trim(),
  computeRelabel: (source, target, objectClass) => run('compute_relabel', source, target, objectClass).trim(),
};

/** Loads the running policy with more CIL, or changed. `load_policy` undoes it. */
const loadPolicy = (cil, change) => loadBinaryPolicy(compilePolicy(cil, change));

/** Every check of a decision, asked again by compute_av. */
function holdAgainstOracle(decision) {
  for (const check of decision.checks) {
    if (check.question === 'vm-domain') continue;
    const granted = oracle.computeAv(check.source, check.target, check.objectClass);
    assert.deepEqual(
      check.denied,
      check.requested.filter((permission) => !granted.has(permission)),
      `${check.source} ${check.target} ${check.objectClass}`,
    );
  }
}
const denied = (decision) => decision.checks.filter((check) => check.denied.length > 0);
const questions = (decision) => [...new Set(denied(decision).map((check) => check.question))];

// Kernel messages of the audit system would be dropped by its rate limit.
before(() => writeFileSync('/proc/sys/kernel/printk_ratelimit', '0'));

test('the kernel enforces, and would allow unknown classes', () => {
  assert.equal(selinux.securityGetenforce(), true);
  assert.equal(selinux.securityDenyUnknown(), false);
});

describe('three clients, three disks', () => {
  // As the table in policy/examples/three_levels.cil has it.
  const expected = {
    unclass: { unclass: 'vm_unclass_t', secret: null, topsecret: null },
    secret: { unclass: 'vm_secret_t', secret: 'vm_secret_t', topsecret: ['read-disk', 'entrypoint', 'inherit'] },
    topsecret: { unclass: 'vm_topsecret_t', secret: 'vm_topsecret_t', topsecret: 'vm_topsecret_t' },
  };
  for (const who of LEVELS) {
    for (const what of LEVELS) {
      test(`${who} client, ${what} disk`, () => {
        const decision = decide(request(client(who), disk(what)));
        const domain = expected[who][what];
        if (domain === null) {
          assert.equal(decision.refusal, 'no-transition');
          assert.equal(decision.vmContext, null);
          assert.throws(() => oracle.computeCreate(client(who), disk(what), 'vm'));
          assert.ok(
            missingRules(decision).includes(`(typetransition vm_${who}_client_t vm_${what}_virtdisk_t vm DOMAIN)`),
          );
        } else {
          assert.equal(decision.vmContext, oracle.computeCreate(client(who), disk(what), 'vm'));
          if (typeof domain === 'string') {
            assert.deepEqual(denied(decision), []);
            assert.equal(decision.allowed, true);
            assert.equal(decision.vmContext, `unconfined_u:unconfined_r:${domain}:s0`);
          } else {
            assert.equal(decision.refusal, 'denied');
            assert.deepEqual(questions(decision), domain);
          }
        }
        assert.equal(decision.enforcing, true);
        holdAgainstOracle(decision);
      });
    }
  }

  test('writing up or down is another question than reading', () => {
    const writable = (who, what) =>
      decide({ ...request(client(who), disk(what)), disks: [{ context: disk(what), format: 'raw' }] });
    assert.equal(writable('secret', 'secret').allowed, true);
    const down = writable('secret', 'unclass');
    assert.equal(down.allowed, false);
    assert.deepEqual(questions(down), ['read-disk', 'inherit']);
    holdAgainstOracle(down);
  });
});

test('what has a rule but no entrypoint, and what has an entrypoint but is not readable', () => {
  const data = decide(request(client('secret'), disk('data')));
  assert.deepEqual(questions(data), ['entrypoint']);
  assert.deepEqual(missingRules(data), ['(allow vm_data_virtdisk_t vm_secret_t (vm (entrypoint)))']);
  const sealed = decide(request(client('secret'), disk('sealed')));
  assert.ok(questions(sealed).includes('read-disk') && !questions(sealed).includes('entrypoint'));
  holdAgainstOracle(data);
  holdAgainstOracle(sealed);
});

test('a disk that was labelled lib_t boots for nobody', () => {
  const lib = 'system_u:object_r:lib_t:s0';
  for (const who of [...LEVELS.map((level) => client(level)), selinux.getcon()]) {
    const decision = decide(request(who, lib));
    assert.equal(decision.allowed, false);
    assert.equal(decision.refusal, 'no-transition');
  }
});

test('a manager decides about its client, and execs itself', () => {
  const manager = `unconfined_u:unconfined_r:vm_manager_t:${EVERYTHING}`;
  const decision = decide(request(client('secret'), disk('secret'), { launcher: manager }));
  assert.deepEqual(denied(decision), []);
  assert.equal(decision.checks.find((check) => check.requested[0] === 'transition').source, manager);
  assert.equal(decide(request(manager, disk('secret'))).allowed, false);
  holdAgainstOracle(decision);
});

describe('levels', () => {
  test('the VM gets the intersection of the clearance and the disk', () => {
    for (const [clearance, range] of [
      [EVERYTHING, 's0:c1,c2'],
      [EVERYTHING, 's0:c7'],
      ['s0-s0:c1.c5', 's0:c1,c2'],
      ['s0', 's0:c1,c2'],
      ['s0-s0:c3', 's0:c1,c2'],
    ]) {
      const who = client('secret', clearance);
      const decision = decide(request(who, disk('secret', range)));
      assert.equal(decision.vmContext, oracle.computeCreate(who, disk('secret', range), 'vm'), `${clearance} ${range}`);
      holdAgainstOracle(decision);
    }
    assert.match(decide(request(client('secret'), disk('secret', 's0:c1,c2'))).vmContext, /:s0-s0:c1,c2$/);
    assert.equal(decide(request(client('secret'), disk('secret', 's0:c1,c2'))).allowed, true);
  });

  test('an image of another category pair is refused, and the constraint is named as the reason', () => {
    const decision = decide({
      ...request(client('secret'), disk('secret', 's0:c1,c2')),
      disks: [
        { context: disk('secret', 's0:c1,c2'), format: 'raw', readOnly: true, boot: true },
        { context: disk('secret', 's0:c3,c4'), format: 'raw', readOnly: true },
      ],
    });
    assert.equal(decision.allowed, false);
    const [check] = denied(decision);
    assert.equal(check.question, 'inherit');
    assert.equal(check.constraint, true);
    assert.equal(check.rule, null);
    // The same pair of types at one level is granted, so no allow rule is missing.
    assert.ok(oracle.computeAv(check.source, disk('secret', 's0:c1,c2'), 'file').has('read'));
    holdAgainstOracle(decision);
  });

  test('categories that client and disk do not share', () => {
    const decision = decide(request(client('secret', 's0-s0:c3'), disk('secret', 's0:c1,c2')));
    assert.equal(decision.allowed, false);
    holdAgainstOracle(decision);
  });
});

test("rule: 'change' is compute_relabel's answer", () => {
  const decision = decide(request(client('topsecret'), disk('secret', 's0:c5'), { rule: 'change' }));
  assert.equal(decision.vmContext, oracle.computeRelabel(client('topsecret'), disk('secret', 's0:c5'), 'vm'));
  assert.match(decision.vmContext, /vm_topsecret_t:s0$/);
});

test('contexts that the policy does not know', () => {
  for (const [who, what] of [
    ['unconfined_u:unconfined_r:nobody_here_t:s0', disk('secret')],
    [client('secret'), 'system_u:object_r:nothing_here_t:s0'],
    [client('secret', 's0-s0:c0.c5000'), disk('secret')],
  ]) {
    const decision = decide(request(who, what));
    assert.equal(decision.allowed, false);
    assert.equal(decision.refusal, 'invalid-context');
  }
});

test('no white space in a context reaches the kernel', () => {
  assert.throws(() => decide(request(`${client('secret')} ${client('secret')} 1`, disk('secret'))), {
    code: 'ERR_INVALID_ARG_VALUE',
  });
});

describe('files', () => {
  const directory = mkdtempSync('/var/tmp/decide-');
  const image = join(directory, 'disk.raw');

  test('the label is the file’s', async () => {
    writeFileSync(image, 'x'.repeat(65536));
    selinux.setfilecon(image, disk('secret', 's0:c10,c20'));
    const asked = {
      disks: [{ path: image, format: 'raw' }],
      client: client('secret'),
      emulator: '/usr/bin/qemu-system-x86_64',
    };
    const decision = decide(asked);
    assert.equal(decision.checks[0].target, disk('secret', 's0:c10,c20'));
    assert.match(decision.vmContext, /vm_secret_t:s0-s0:c10,c20$/);
    assert.ok(
      decision.checks.some(
        (check) => check.target.includes('qemu_exec_t') && check.subject === '/usr/bin/qemu-system-x86_64',
      ),
    );
    assert.deepEqual(await decideAsync(asked), decision);
    selinux.setfilecon(image, 'system_u:object_r:lib_t:s0');
    assert.equal(decide(asked).refusal, 'no-transition');
    assert.equal(decide({ ...asked, client: undefined }).checks[0].source, selinux.getcon());
  });

  test('many of them, some of which may not boot', async () => {
    const names = Array.from({ length: 90 }, (_, i) => join(directory, `${i}.raw`));
    for (const [i, path] of names.entries()) {
      writeFileSync(path, '');
      selinux.setfilecon(path, disk(LEVELS[i % 3], `s0:c${i % 50},c${500 + (i % 7)}`));
    }
    const result = await decideMany(
      names.map((path) => ({ path, format: 'raw', readOnly: true })),
      { client: client('secret'), launcher: client('secret'), emulator: EMULATOR },
      { threads: 2 },
    );
    assert.equal(result.errors.size, 0);
    for (let i = 0; i < names.length; i++) assert.equal(result.allowed(i), i % 3 !== 2);
    for (const i of [0, 1, 2]) {
      holdAgainstOracle(result.decision(i));
      assert.equal(result.vmContext(i), oracle.computeCreate(client('secret'), selinux.getfilecon(names[i]), 'vm'));
    }
  });

  test('an emulator on a nosuid mount, and a launcher with no_new_privs', async () => {
    const mount = join(directory, 'nosuid');
    mkdirSync(mount);
    run('mount', '-t', 'tmpfs', '-o', 'nosuid', 'none', mount);
    after(() => run('umount', mount));
    copyFileSync('/usr/bin/true', join(mount, 'vmm'));
    selinux.setfilecon(join(mount, 'vmm'), EMULATOR.context);
    const decision = decide(request(client('secret'), disk('secret'), { emulator: join(mount, 'vmm') }));
    const check = decision.checks.find(({ objectClass }) => objectClass === 'process2');
    assert.deepEqual(check.requested, ['nosuid_transition']);
    assert.equal(decision.allowed, false);
    assert.ok(missingRules(decision).includes('(allow vm_secret_client_t vm_secret_t (process2 (nosuid_transition)))'));
    holdAgainstOracle(decision);

    const script = `
      const { decide } = await import('vm-entrypoint');
      const decision = decide(${JSON.stringify(request(client('secret'), disk('secret')))});
      console.log(JSON.stringify(decision.checks.find(({ objectClass }) => objectClass === 'process2')));`;
    const out = execFileSync('setpriv', ['--no-new-privs', process.execPath, '--input-type=module', '-e', script], {
      cwd: import.meta.dirname ?? '/project',
      encoding: 'utf8',
    });
    assert.deepEqual(JSON.parse(out).requested, ['nnp_transition']);
  });
});

describe('what changes meanwhile', () => {
  const who = client('secret');
  after(() => selinux.securitySetenforce(true));

  test('setenforce is seen at once, and permissive mode forgets no denial', () => {
    const prepared = prepareDecision(request(who, disk('data')));
    assert.equal(prepared.verdict(), VERDICT.entrypoint);
    for (let i = 0; i < 5; i++) {
      selinux.securitySetenforce(false);
      assert.equal(prepared.verdict(), 0);
      const permissive = decide(request(who, disk('data')));
      assert.equal(permissive.allowed, true);
      assert.equal(permissive.enforcing, false);
      assert.deepEqual(questions(permissive), ['entrypoint']);
      assert.equal(denied(permissive)[0].permissive, true);
      assert.equal(decide(request(client('unclass'), disk('topsecret'))).refusal, 'no-transition');
      selinux.securitySetenforce(true);
      assert.equal(prepared.verdict(), VERDICT.entrypoint);
    }
  });

  test('in permissive mode the kernel hands out an invalid context, which is still no domain', () => {
    selinux.securitySetenforce(false);
    const handedOut = oracle.computeCreate(client('unclass'), disk('topsecret'), 'vm');
    const decision = decide(request(client('unclass'), disk('topsecret')));
    selinux.securitySetenforce(true);
    assert.match(handedOut, /vm_topsecret_virtdisk_t/);
    assert.equal(decision.allowed, false);
    assert.equal(decision.refusal, 'no-transition');
  });

  test('a cached verdict asks the kernel nothing until the policy is loaded again', () => {
    const prepared = prepareDecision(request(who, disk('secret')));
    prepared.verdict();
    const { misses } = cacheStatistics();
    for (let i = 0; i < 1000; i++) prepared.verdict();
    assert.equal(cacheStatistics().misses, misses);
    run('load_policy');
    assert.equal(prepared.verdict(), 0);
    assert.ok(cacheStatistics().misses > misses);
  });

  test('decisions during policy loads are whole, and each belongs to one policy', async () => {
    // Each load is a new policy in the kernel.
    const loads = spawn('sh', ['-c', 'for i in 1 2 3 4; do load_policy; done'], { stdio: 'inherit' });
    const ended = new Promise((resolve) => loads.once('exit', resolve));
    let running = true;
    ended.then(() => {
      running = false;
    });
    const prepared = prepareDecision(request(who, disk('data')));
    const sequences = new Set();
    let decisions = 0;
    while (running) {
      const [allowed, refused] = await Promise.all([
        decideAsync(request(who, disk('secret'))),
        decideAsync(request(who, disk('data'))),
      ]);
      assert.equal(allowed.allowed, true);
      assert.equal(allowed.checks.length, 10);
      assert.equal(refused.allowed, false);
      assert.equal(prepared.verdict(), VERDICT.entrypoint);
      sequences.add(allowed.policySequence);
      decisions++;
    }
    assert.equal(await ended, 0);
    assert.ok(sequences.size >= 2, `${sequences.size} policies in ${decisions} rounds`);
  });

  test('a permissive type, and a rule that a module brings', () => {
    const prepared = prepareDecision(request(who, disk('data')));
    assert.equal(prepared.verdict(), VERDICT.entrypoint);
    loadPolicy(
      `(typepermissive vm_secret_client_t)
       (allow vm_data_virtdisk_t vm_secret_t (vm (entrypoint)))`,
    );
    assert.equal(prepared.verdict(), 0, 'the rule is there');
    const sealed = decide(request(who, disk('sealed')));
    assert.equal(sealed.enforcing, true);
    assert.ok(sealed.checks[0].denied.length > 0);
    assert.equal(sealed.checks[0].permissive, true, 'the source is permissive');
    holdAgainstOracle(sealed);
    run('load_policy');
    assert.equal(prepared.verdict(), VERDICT.entrypoint, 'the rule is gone');
    assert.equal(decide(request(who, disk('sealed'))).allowed, false);
  });

  test('a role that may not have the domain', () => {
    loadPolicy('(type lonely_vm_t)(typetransition vm_topsecret_client_t lib_t vm lonely_vm_t)');
    const decision = decide(request(client('topsecret'), 'system_u:object_r:lib_t:s0'));
    run('load_policy');
    assert.equal(decision.refusal, 'no-transition');
    assert.ok(
      missingRules(decision).includes('(roletype unconfined_r lonely_vm_t)'),
      missingRules(decision).join('\n'),
    );
  });

  test('without the class nothing is granted, although the kernel allows unknown ones', () => {
    const prepared = prepareDecision(request(who, disk('secret')));
    assert.equal(prepared.verdict(), 0);
    const question = accessQuestion('vm', ['start']);
    const [a, b] = [internContext(who), internContext('unconfined_u:unconfined_r:vm_secret_t:s0')];
    assert.equal(question.denied(a, b), 0);
    loadPolicy('', withoutClassVm);
    try {
      assert.equal(selinux.securityDenyUnknown(), false);
      const gone = { code: 'ERR_SELINUX_CLASS_UNKNOWN', message: /vm-entrypoint policy install/ };
      assert.throws(() => decide(request(who, disk('secret'))), gone);
      assert.throws(() => prepared.verdict(), gone);
      assert.throws(() => question.denied(a, b), { code: 'ERR_SELINUX_CLASS_UNKNOWN' });
      selinux.securitySetenforce(false);
      assert.throws(() => decide(request(who, disk('secret'))), gone, 'in permissive mode too');
      selinux.securitySetenforce(true);
      // What libselinux's own function says to the same question.
      run('selinux_check_access', who, 'unconfined_u:unconfined_r:vm_secret_t:s0', 'vm', 'start');
    } finally {
      selinux.securitySetenforce(true);
      run('load_policy');
    }
    assert.equal(prepared.verdict(), 0, 'it is back');
    assert.equal(question.denied(a, b), 0);
  });

  test('a permission missing, as in an older module', () => {
    loadPolicy('', (cil) => withoutClassVm(cil, 'migrate_in'));
    try {
      assert.equal(decide(request(who, disk('secret'))).allowed, true);
      assert.throws(() => decide(request(who, disk('secret'), { action: 'migrate_in' })), {
        code: 'ERR_SELINUX_PERMISSION_UNKNOWN',
        message: /'migrate_in'.*vm-entrypoint policy install/,
      });
    } finally {
      run('load_policy');
    }
  });
});

test('explain names what is missing, and adding it is enough', () => {
  const { decision, missing } = explain(request(client('secret'), disk('data')));
  assert.equal(decision.allowed, false);
  assert.deepEqual(missing, ['(allow vm_data_virtdisk_t vm_secret_t (vm (entrypoint)))']);
});

test('the questions about the exec are those that the kernel asks', async () => {
  // Granted accesses of the types involved are logged; a program is launched; the log is compared with
  // the checks.
  const directory = mkdtempSync('/var/tmp/decide-');
  const launcher = 'vm_secret_client_t';
  const vm = 'vm_secret_t';
  loadPolicy(
    `(auditallow ${launcher} self (process (setexec)))
     (auditallow ${launcher} ${vm} (process (transition)))
     (auditallow ${launcher} ${vm} (process2 (all)))
     (auditallow ${launcher} vm_emulator_exec_t (file (all)))
     (auditallow ${vm} vm_emulator_exec_t (file (all)))
     (auditallow ${vm} ${launcher} (fd (all)))
     (auditallow ${vm} vm_secret_virtdisk_t (file (all)))`,
  );
  after(() => run('load_policy'));
  const image = join(directory, 'disk.raw');
  const program = join(directory, 'vmm');
  writeFileSync(image, 'x'.repeat(4096));
  copyFileSync('/usr/bin/true', program);
  for (const path of [directory, image]) selinux.setfilecon(path, disk('secret'));
  selinux.setfilecon(program, 'system_u:object_r:vm_emulator_exec_t:s0');
  run('chmod', '755', directory);
  run('dmesg', '--clear');
  const script = `
    const { launch, command } = await import('vm-entrypoint');
    const vm = await launch({ disks: [{ path: ${JSON.stringify(image)}, format: 'raw' }], emulator: command({ path: ${JSON.stringify(program)} }) });
    await new Promise((resolve) => vm.once('exit', resolve));
    console.log(JSON.stringify({ context: vm.context }));`;
  const { stdout } = await promisify(execFile)(
    'runcon',
    [client('secret'), process.execPath, '--input-type=module', '-e', script],
    { cwd: '/project', encoding: 'utf8' },
  );
  assert.match(JSON.parse(stdout).context, /:vm_secret_t:/);

  const asked = new Map();
  for (const line of run('dmesg').split('\n')) {
    const record = /avc:\s+granted\s+\{ ([^}]*) \}.*scontext=(\S+) tcontext=(\S+) tclass=(\S+)/.exec(line);
    if (record === null) continue;
    const key = `${record[2].split(':')[2]} ${record[3].split(':')[2]} ${record[4]}`;
    const permissions = asked.get(key) ?? new Set();
    for (const permission of record[1].trim().split(' ')) permissions.add(permission);
    asked.set(key, permissions);
  }
  const decision = decide({
    disks: [{ path: image, format: 'raw' }],
    client: client('secret'),
    launcher: client('secret'),
    emulator: program,
  });
  for (const check of decision.checks.filter(({ question }) => question === 'exec' || question === 'inherit')) {
    const key = `${check.source.split(':')[2]} ${check.target.split(':')[2]} ${check.objectClass}`;
    for (const permission of check.requested) {
      // What a VMM does with its images later (stat, locks) true(1) does not do.
      if (
        check.objectClass === 'file' &&
        key.startsWith(`${vm} vm_secret_virtdisk_t`) &&
        ['getattr', 'lock'].includes(permission)
      )
        continue;
      assert.ok(
        asked.get(key)?.has(permission),
        `the kernel never asked ${key} { ${permission} }: ${[...(asked.get(key) ?? [])]}`,
      );
    }
  }
  // And the other way round: nothing it asked was left out. (getattr and open before the exec are the
  // launcher's own looks at the files.)
  for (const [key, permissions] of asked) {
    const known = new Set(
      decision.checks
        .filter((check) => `${check.source.split(':')[2]} ${check.target.split(':')[2]} ${check.objectClass}` === key)
        .flatMap((check) => check.requested),
    );
    const extra = [...permissions].filter((permission) => !known.has(permission) && permission !== 'getattr');
    assert.deepEqual(extra, [], key);
  }
});

test('the status page is that of the kernel', () => {
  const enforce = readFileSync('/sys/fs/selinux/enforce', 'utf8').trim() === '1';
  assert.equal(decide(request(client('secret'), disk('secret'))).enforcing, enforce);
});
