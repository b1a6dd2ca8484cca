// The decision and the launch under the mls policy, where a client has a clearance and a disk a level of its own.
// lab: --policy mls
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { decide, missingRules } from 'vm-entrypoint';
import { securityGetenforce } from 'vm-entrypoint/selinux';

assert.equal(securityGetenforce(), true, 'this proves nothing unless SELinux enforces');

const directory = '/var/tmp/mls';
const probe = `${directory}/probe_child`;
const context = (type, range) => `root:sysadm_r:${type}:${range}`;
const client = (range) => context('vm_secret_client_t', range);
const label = (type, range) => `system_u:object_r:${type}:${range}`;
const MANAGER = context('vm_manager_t', 's0-s15:c0.c1023');
const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8' });

mkdirSync(directory);
copyFileSync('/project/build/test/probe_child', probe);
chmodSync(probe, 0o755);
const ranges = { low: 's0', middle: 's2', high: 's5', pair: 's2:c1,c2' };
const disks = Object.fromEntries(Object.keys(ranges).map((name) => [name, `${directory}/${name}.raw`]));
for (const path of Object.values(disks)) writeFileSync(path, Buffer.alloc(4096));
// An administrator may not raise a file's level; setfiles(8) may, as its configuration says.
const specification = '/etc/mls-test-contexts';
writeFileSync(
  specification,
  [
    `${directory} -d ${label('vm_boot_file_t', 's0')}`,
    `${probe} -- ${label('vm_emulator_exec_t', 's0')}`,
    ...Object.entries(ranges).map(([name, range]) => `${disks[name]} -- ${label('vm_secret_virtdisk_t', range)}`),
    '',
  ].join('\n'),
);
run('setfiles', '-F', specification, directory);

/** Launches as a process in the context `launcher` for a client: what the program said of itself, or the error. */
function launch(launcher, forClient, disk) {
  const script = `
    import { command, launch } from 'vm-entrypoint';
    import { text } from 'node:stream/consumers';
    const [client, path, emulator] = process.argv.slice(1);
    const say = (value) => console.log(JSON.stringify(value));
    try {
      const vm = await launch({ client, disks: [{ path, format: 'raw', readOnly: true }],
        emulator: command({ path: emulator }), stdio: ['ignore', 'pipe', 'ignore'] });
      say({ context: vm.context, out: await text(vm.stdout), decision: vm.decision });
    } catch ({ name, code, message, decision }) {
      say({ name, code, message, decision });
    }`;
  const node = [process.execPath, '--input-type=module', '-e', script, '--'];
  return JSON.parse(
    execFileSync('runcon', [launcher, ...node, forClient, disk, probe], { encoding: 'utf8', cwd: '/project' }),
  );
}
const request = (forClient, range, type = 'vm_secret_virtdisk_t') => ({
  disks: [{ context: label(type, range), format: 'raw', readOnly: true }],
  client: forClient,
  launcher: MANAGER,
  emulator: { context: label('vm_emulator_exec_t', 's0') },
});
const domainOf = (decision) => decision.checks.find(({ question }) => question === 'vm-domain');

for (const [what, launcher, forClient, disk, range] of [
  ['the manager, for a client with a clearance', MANAGER, client('s0-s3'), 'middle', 's2'],
  ['the manager, at the lowest level', MANAGER, client('s0-s3'), 'low', 's0'],
  ['a client with a clearance, for itself', client('s0-s3'), client('s0-s3'), 'middle', 's2'],
  ['a client at a level with categories', MANAGER, client('s2:c1,c2'), 'pair', 's2:c1,c2'],
]) {
  test(`${what}: the VM runs at the level of its disk`, () => {
    const expected = context('vm_secret_t', range);
    const decision = decide({ ...request(forClient, ranges[disk]), launcher });
    assert.equal(decision.vmContext, expected);
    assert.equal(run('compute_create', forClient, label('vm_secret_virtdisk_t', range), 'vm').trim(), expected);
    assert.deepEqual(missingRules(decision), []);
    assert.equal(decision.allowed, true);

    const vm = launch(launcher, forClient, disks[disk]);
    assert.equal(vm.context, expected, JSON.stringify(vm));
    assert.match(vm.out, new RegExp(`^current ${expected}$`, 'm'));
    assert.match(vm.out, /^fd 10 /m);
  });
}

test('a disk above the clearance: the kernel says EINVAL, and it is a refusal for want of a domain', () => {
  const who = client('s0-s3');
  const oracle = spawnSync('compute_create', [who, label('vm_secret_virtdisk_t', 's5'), 'vm'], { encoding: 'utf8' });
  assert.match(oracle.stderr, /Invalid argument/);

  const decision = decide(request(who, 's5'));
  assert.equal(decision.allowed, false);
  assert.equal(decision.refusal, 'no-transition');
  assert.equal(decision.vmContext, null);
  const domain = domainOf(decision);
  assert.deepEqual([domain.constraint, domain.rule, domain.invalidContext], [true, null, null]);
  assert.match(missingRules(decision).join('\n'), /their ranges do not meet/);

  const error = launch(MANAGER, who, disks.high);
  assert.equal(error.name, 'AccessDeniedError', JSON.stringify(error));
  assert.equal(error.decision.refusal, 'no-transition');
  assert.match(error.message, /their ranges do not meet/);
});

test('a disk above the clearance, of a type without a rule: the rule is named too', () => {
  const domain = domainOf(decide(request(client('s0-s3'), 's5', 'lib_t')));
  assert.deepEqual([domain.constraint, domain.rule], [true, '(typetransition vm_secret_client_t lib_t vm DOMAIN)']);
});

test('the command line denies it, and can evaluate it', () => {
  const disk = `${label('vm_secret_virtdisk_t', 's5')},readonly`;
  const args = ['/project/dist/cli/main.js', 'explain', '--client', client('s0-s3'), '--disk-context', disk];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(status, 1, stderr);
  assert.match(stdout, /^refused: policy names no domain/);
  assert.match(stdout, /their ranges do not meet/);
});

test('a client with all categories gets a VM that may not read a disk with some, and the constraint is named', () => {
  const who = client('s0-s15:c0.c1023');
  const error = launch(MANAGER, who, disks.pair);
  assert.equal(error.name, 'AccessDeniedError', JSON.stringify(error));
  assert.equal(error.decision.vmContext, context('vm_secret_t', 's2-s2:c1,c2'));
  assert.deepEqual(
    error.decision.checks
      .filter(({ denied }) => denied.length > 0)
      .map(({ question, constraint, rule }) => [question, constraint, rule]),
    [['inherit', true, null]],
  );
});
