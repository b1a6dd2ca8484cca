// What changes in the middle of a launch, at a point that is the same each time: between the two decisions, in the
// child before its exec, and while the new program is held before its first instruction. However it ends, nothing
// runs that the last policy would not start, and the next launch works.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test, { after, afterEach, before } from 'node:test';
import {
  securityGetBooleanActive,
  securitySetBooleanList,
  securitySetenforce,
  setfilecon,
} from 'vm-entrypoint/selinux';
import {
  client,
  contextOf,
  image,
  Manager,
  missing,
  object,
  probe,
  processesOf,
  vmContext,
} from './between/harness.mjs';
import { compilePolicy, loadBinaryPolicy, withBooleans, withoutClassVm, withoutPermission } from './policies.mjs';

const disk = image('disk', 'vm_secret_virtdisk_t');
const data = image('data', 'vm_data_virtdisk_t');
const request = {
  options: { client: client('secret'), disks: [{ path: disk, format: 'raw', readOnly: true }] },
};
const running = vmContext('secret');

const DOMAIN = '(typetransition vm_secret_client_t vm_secret_virtdisk_t vm ';
// [boolean, [source, target, class, permission]]: a rule of the guest's policy that goes away with the boolean.
const RULES = {
  lab_entrypoint: ['vm_secret_virtdisk_t', 'vm_secret_t', 'vm', 'entrypoint'],
  lab_transition: ['vm_manager_t', 'vm_level', 'process', 'transition'],
  lab_sigstop: ['vm_manager_t', 'vm_level', 'process', 'sigstop'],
  lab_append: ['vm_level', 'vm_data_virtdisk_t', 'file', 'append'],
};
let policies;
function compilePolicies() {
  const rules = Object.entries(RULES).map(
    ([name, [source, target, objectClass, permission]]) =>
      `(boolean ${name} true)(booleanif (${name}) (true (allow ${source} ${target} (${objectClass} (${permission})))))`,
  );
  const switchable = compilePolicy(
    `${rules.join('\n')}
     (boolean lab_domain true)
     (booleanif (lab_domain) (true ${DOMAIN}vm_secret_t)) (false ${DOMAIN}vm_topsecret_t)))
     (boolean lab_other false)
     (booleanif (lab_other) (true (allow vm_secret_client_t vm_topsecret_t (vm (start)))))`,
    (cil) => {
      assert.ok(cil.includes(`\n${DOMAIN}vm_secret_t)\n`));
      const changed = cil.replace(`\n${DOMAIN}vm_secret_t)\n`, '\n');
      return Object.values(RULES).reduce((text, rule) => withoutPermission(text, ...rule), changed);
    },
  );
  return {
    withoutClass: compilePolicy('', withoutClassVm),
    same: switchable,
    withoutEntrypoint: withBooleans(switchable, { lab_entrypoint: false }),
    withoutTransition: withBooleans(switchable, { lab_transition: false }),
    withoutStop: withBooleans(switchable, { lab_sigstop: false }),
    withoutAppend: withBooleans(switchable, { lab_append: false }),
    otherDomain: withBooleans(switchable, { lab_domain: false, lab_other: true }),
    otherDomainRefused: withBooleans(switchable, { lab_domain: false }),
  };
}

/** The manager with the shipped addon, and one that also stops in native calls. */
let manager;
let stopping;
before(async () => {
  policies = compilePolicies();
  [manager, stopping] = await Promise.all([Manager.start(), Manager.start({ testAddon: true })]);
});
after(() => Promise.all([manager?.close(), stopping?.close()]));

/** Undoes what a test changed, and launches once more. */
let changed = false;
afterEach(async () => {
  if (!changed) return;
  changed = false;
  securitySetenforce(true);
  loadBinaryPolicy();
  setfilecon(disk, object('vm_secret_virtdisk_t'));
  setfilecon(probe, object('vm_emulator_exec_t'));
  await manager.works(request, running);
});
/** Calls `change` in the middle of the launch. */
const change =
  (what, ...args) =>
  () => {
    changed = true;
    what(...args);
  };
const load = (name) => change(() => loadBinaryPolicy(policies[name]));

test('a launch that nothing happens to, and one during which the same policy is loaded', async () => {
  await manager.works(request, running);
  for (const name of ['same', undefined]) {
    await manager.works({ ...request, build: load(name) }, running);
  }
});

// --- Between the two decisions ---------------------------------------------------------------

const ENTRYPOINT = '(allow vm_secret_virtdisk_t vm_secret_t (vm (entrypoint)))';

test('between the decisions: the class goes away with its module', async () => {
  const error = await manager.fails(
    { ...request, build: load('withoutClass') },
    'ERR_SELINUX_CLASS_UNKNOWN',
    'ContextError',
  );
  assert.match(error.message, /policy install/);
});

test('between the decisions: a policy without the entrypoint', async () => {
  const error = await manager.fails(
    { ...request, build: load('withoutEntrypoint') },
    'ERR_SELINUX_DENIED',
    'AccessDeniedError',
  );
  assert.deepEqual(missing(error), [ENTRYPOINT]);
  assert.ok(error.message.includes(ENTRYPOINT), error.message);
});

test('between the decisions: a policy with another domain, in which the VM would be allowed', async () => {
  await manager.fails({ ...request, build: load('otherDomain') }, 'ERR_SELINUX_POLICY_CHANGED', 'PolicyChangedError');
  // That policy's own answer.
  await manager.works(request, vmContext('topsecret'));
});

test('between the decisions: a policy with another domain, in which it would not', async () => {
  const error = await manager.fails(
    { ...request, build: load('otherDomainRefused') },
    'ERR_SELINUX_DENIED',
    'AccessDeniedError',
  );
  assert.deepEqual(missing(error), ['(allow vm_secret_client_t vm_topsecret_t (vm (start)))']);
});

test('between the decisions: permissive and back', async () => {
  const there = change(() => {
    securitySetenforce(false);
    securitySetenforce(true);
  });
  const decision = await manager.works({ ...request, build: there }, running);
  assert.equal(decision.enforcing, true);
});

test('between the decisions: permissive from then on', async () => {
  const decision = await manager.works({ ...request, build: change(securitySetenforce, false) }, running);
  assert.equal(decision.enforcing, false);
  assert.deepEqual(
    decision.checks.filter(({ denied }) => denied.length > 0),
    [],
  );
});

test('between the decisions: enforcing again, when only permissive mode had let it pass', async () => {
  const refused = {
    options: { ...request.options, disks: [{ path: data, format: 'raw', readOnly: true }] },
  };
  const rule = '(allow vm_data_virtdisk_t vm_secret_t (vm (entrypoint)))';
  change(securitySetenforce, false)();
  const decision = await manager.works(refused, running);
  const denied = decision.checks.filter((check) => check.denied.length > 0);
  assert.deepEqual(
    denied.map((check) => [check.rule, check.permissive]),
    [[rule, true]],
  );
  const error = await manager.fails(
    { ...refused, build: change(securitySetenforce, true) },
    'ERR_SELINUX_DENIED',
    'AccessDeniedError',
  );
  assert.deepEqual(missing(error), [rule]);
});

for (const [what, type, range] of [
  ['another type', 'vm_unclass_virtdisk_t'],
  ['other categories', 'vm_secret_virtdisk_t', 's0:c7'],
]) {
  test(`between the decisions: the disk gets ${what}`, async () => {
    await manager.fails(
      { ...request, build: change(setfilecon, disk, object(type, range)) },
      'ERR_DISK_CHANGED',
      'DiskError',
    );
  });
}

test('between the decisions: the emulator gets another type', async () => {
  await manager.fails(
    { ...request, build: change(setfilecon, probe, object('qemu_exec_t')) },
    'ERR_LAUNCH_CHANGED',
    'LaunchError',
  );
});

// --- During the second decision --------------------------------------------------------------

// Labels are read again right before the clone, of the disk and of the emulator.
const verifying = { call: 'getxattr', lasting: true };
const BOOLEAN = 'allow_execmem';
function flip() {
  securitySetBooleanList({ [BOOLEAN]: !securityGetBooleanActive(BOOLEAN) });
}

test('a policy that keeps changing before the exec is asked eight times, and then it is enough', async () => {
  let pauses = 0;
  const meanwhile = () => {
    pauses++;
    flip();
  };
  try {
    await stopping.fails(
      { ...request, pause: { ...verifying, meanwhile } },
      'ERR_SELINUX_POLICY_CHANGED',
      'PolicyChangedError',
    );
  } finally {
    securitySetBooleanList({ [BOOLEAN]: true });
  }
  assert.equal(pauses, 8 * 2);
});

test('a policy that changes three times before the exec is asked again, and its answer counts', async () => {
  let pauses = 0;
  const meanwhile = () => {
    if (pauses++ < 6) flip();
  };
  try {
    await stopping.works({ ...request, pause: { ...verifying, meanwhile } }, running);
  } finally {
    securitySetBooleanList({ [BOOLEAN]: true });
  }
  // Four attempts, and once more while it is held.
  assert.equal(pauses, 5 * 2);
});

// --- In the child ----------------------------------------------------------------------------

const exec = (meanwhile) => ({ call: 'child:execveat', meanwhile });

test('before the exec: the same policy', async () => {
  await stopping.works({ ...request, pause: exec(load('same')) }, running);
});

test('before the exec: a policy under which the kernel refuses it; the missing rule is named', async () => {
  const error = await stopping.fails(
    { ...request, pause: exec(load('withoutTransition')) },
    'ERR_SELINUX_DENIED',
    'AccessDeniedError',
  );
  assert.deepEqual(missing(error), ['(allow vm_manager_t vm_secret_t (process (transition)))']);
});

test('before the exec: a policy under which the kernel takes a descriptor away', async () => {
  const error = await stopping.fails(
    { ...request, pause: exec(load('withoutAppend')) },
    'ERR_LAUNCH_DESCRIPTORS',
    'LaunchError',
  );
  assert.match(error.message, /Descriptor 1 /);
});

test('before the exec: a policy that forbids to hold the program does not make the launch wait for that', async () => {
  let loaded;
  const forbid = load('withoutStop');
  const meanwhile = () => {
    forbid();
    loaded = Date.now();
  };
  const { error, vm, end } = await stopping.launch({ ...request, pause: exec(meanwhile), marked: false });
  if (vm !== undefined) await end();
  assert.equal(error?.code, 'ERR_SELINUX_POLICY_CHANGED', JSON.stringify(error ?? vm));
  assert.ok(Date.now() - loaded < 10_000, `${Date.now() - loaded} ms`);
  assert.deepEqual(processesOf(stopping.pid), []);
});

// --- While the program is held ---------------------------------------------------------------

// The last call before the policy and the labels are looked at for the last time.
const held = (meanwhile) => ({
  options: { ...request.options, rlimits: { core: 0 } },
  pause: {
    call: 'prlimit',
    meanwhile() {
      const [pid, ...others] = processesOf(stopping.pid);
      assert.deepEqual(others, []);
      assert.equal(contextOf(pid), running, 'the exec is over');
      assert.match(readFileSync(`/proc/${pid}/stat`, 'latin1'), /\) T /, 'and the program is stopped');
      meanwhile();
    },
  },
});

test('held: nothing happens, or the same policy comes', async () => {
  await stopping.works(
    held(() => {}),
    running,
  );
  await stopping.works(held(load('same')), running);
});

for (const [what, name, code, error] of [
  ['without the entrypoint', 'withoutEntrypoint', 'ERR_SELINUX_POLICY_CHANGED', 'PolicyChangedError'],
  ['with another domain', 'otherDomain', 'ERR_SELINUX_POLICY_CHANGED', 'PolicyChangedError'],
  ['without the class', 'withoutClass', 'ERR_SELINUX_CLASS_UNKNOWN', 'ContextError'],
]) {
  test(`held: a policy ${what} kills it before its first instruction`, async () => {
    await stopping.fails(held(load(name)), code, error);
  });
}

test('held: enforcing again, when only permissive mode had let it pass', async () => {
  const { options, pause } = held(change(securitySetenforce, true));
  change(securitySetenforce, false)();
  await stopping.fails(
    { options: { ...options, disks: [{ path: data, format: 'raw', readOnly: true }] }, pause },
    'ERR_SELINUX_POLICY_CHANGED',
    'PolicyChangedError',
  );
});

test('held: the disk is relabelled', async () => {
  await stopping.fails(
    held(change(setfilecon, disk, object('vm_unclass_virtdisk_t'))),
    'ERR_DISK_CHANGED',
    'DiskError',
  );
});

test('held: the emulator is relabelled', async () => {
  await stopping.fails(held(change(setfilecon, probe, object('qemu_exec_t'))), 'ERR_LAUNCH_CHANGED', 'LaunchError');
});
