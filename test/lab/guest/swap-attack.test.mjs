/**
 * Swap attack: while one process starts VMs from an image, another renames, replaces and relabels that image as fast
 * as it can. No VM may ever run with a file or a label other than what its start was decided about.
 *
 * Whether that held is judged afterwards, from what each VM says about the descriptor that it was given and from the
 * attacker's log of all labels, on one clock. The label decided about must have been on that very file at some moment
 * between the end of the decision and the VM's first instruction: the launch has to look again in that time, and a
 * label that was changed before and not changed back must have stopped it.
 *
 *   npm run lab -- -- node --test-reporter=tap /project/test/lab/guest/swap-attack.test.mjs
 *
 * Ten thousand starts, or as many as there is time for: three minutes, or SWAP_ATTACK_MINUTES from the environment. An
 * emulated machine may need a quarter of an hour and more for all of them.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
} from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const launches = 10_000;
/** With fewer the outcomes would not have had their chance to occur. */
const fewestLaunches = 200;
const concurrency = 4;
/** The longest pause of the attacker. With none at all hardly any start would come through. */
const pauseMicroseconds = 4000;
const attackMs = Number(process.env.SWAP_ATTACK_MINUTES ?? 3) * 60_000;
/** For everything: past this the test is stuck. */
const limitMs = attackMs + 5 * 60_000;

const programs = '/project/build/test';
const clientType = 'vm_unclass_client_t';
// Two labels whose VMs differ by their categories, and one that starts no VM.
const labels = [
  'system_u:object_r:vm_unclass_virtdisk_t:s0:c1,c2',
  'system_u:object_r:vm_unclass_virtdisk_t:s0:c3,c4',
  'system_u:object_r:vm_data_virtdisk_t:s0',
];

/** Copies a program to where it may be executed in another domain, with a label that allows it. */
function install(name, type) {
  const directory = '/usr/local/lib/swap-attack';
  mkdirSync(directory, { recursive: true });
  const path = `${directory}/${name}`;
  assert.ok(existsSync(`${programs}/${name}`), `${name} is not built: run \`bash test/build-native.sh\` on the host`);
  copyFileSync(`${programs}/${name}`, path);
  chmodSync(path, 0o755);
  execFileSync('chcon', ['-t', type, path]);
  return path;
}

/** Starts launcher.mjs in the client's domain and returns its output, one object a line. */
async function runLauncher(options) {
  const script = fileURLToPath(new URL('./swap-attack/launcher.mjs', import.meta.url));
  const args = ['-t', clientType, '-l', 's0-s0:c0.c1023', process.execPath, script, JSON.stringify(options)];
  const launcher = spawn('runcon', args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: limitMs,
    killSignal: 'SIGKILL',
  });
  const results = [];
  const closed = once(launcher, 'close');
  for await (const line of createInterface({ input: launcher.stdout })) results.push(JSON.parse(line));
  const [code, signal] = await closed;
  assert.deepEqual([code, signal], [0, null], `the launcher ended early, after ${results.length} starts`);
  return results;
}

/** What trivial_emulator.c said, as an object. */
function parseReport(line) {
  const report = Object.fromEntries(
    line
      .trim()
      .split(' ')
      .map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
  );
  return { ...report, started: BigInt(report.started), looked: BigInt(report.looked) };
}

/**
 * The attacker's log as a function: was `label` on `inode` at any moment from `from` to `to`? Where a call was under
 * way, both the old and the new label count.
 */
function readLog(path) {
  const events = new Map();
  for (const line of readFileSync(path, 'utf8').trim().split('\n')) {
    const [before, after, inode, index] = line.split(' ');
    if (!events.has(inode)) events.set(inode, []);
    events.get(inode).push({ before: BigInt(before), after: BigInt(after), label: labels[Number(index)] });
  }
  const wasOn = (label, inode, from, to) =>
    (events.get(inode) ?? []).some(
      (event, i, list) =>
        event.label === label && event.before <= to && (list[i + 1] === undefined || list[i + 1].after >= from),
    );
  return { wasOn, knows: (inode) => events.has(inode), count: [...events.values()].flat().length };
}

test('the swap attack', { timeout: limitMs + 60_000 }, async (t) => {
  assert.equal(execFileSync('getenforce', { encoding: 'utf8' }).trim(), 'Enforcing');
  const directory = mkdtempSync('/tmp/swap-attack-');
  chmodSync(directory, 0o755);
  const emulator = install('trivial_emulator', 'vm_emulator_exec_t');
  const attackerPath = install('swap_attacker', 'bin_t');

  // In peace, each label by itself: which context does it give?
  const contexts = new Map();
  for (const [index, label] of labels.entries()) {
    const path = `${directory}/quiet-${index}`;
    execFileSync('truncate', ['-s', '65536', path]);
    execFileSync('chcon', [label, path]);
    const [result] = await runLauncher({ path, emulator, launches: 1, concurrency: 1, milliseconds: limitMs });
    if (result.outcome === 'started') contexts.set(label, result.context);
    else assert.equal(result.outcome, 'ERR_SELINUX_DENIED', result.message);
    if (index < 2) assert.ok(contexts.has(label), result.message);
  }
  assert.deepEqual([...contexts.keys()], labels.slice(0, 2), 'the first two labels start VMs, the third does not');
  assert.notEqual(contexts.get(labels[0]), contexts.get(labels[1]));

  const log = `${directory}/log`;
  const logFd = openSync(log, 'w');
  const attacker = spawn(attackerPath, [directory, 'disk', String(pauseMicroseconds), ...labels], {
    stdio: ['ignore', logFd, 'inherit'],
  });
  closeSync(logFd);
  const attackerClosed = once(attacker, 'close');
  const begun = performance.now();
  let results;
  try {
    while (!existsSync(`${directory}/disk.link`)) await sleep(10);
    results = await runLauncher({ path: `${directory}/disk`, emulator, launches, concurrency, milliseconds: attackMs });
  } finally {
    attacker.kill('SIGTERM');
  }
  const seconds = (performance.now() - begun) / 1000;
  assert.deepEqual(await attackerClosed, [0, null], 'the attacker kept attacking to the end');
  const attack = readLog(log);

  const outcomes = {};
  for (const { outcome } of results) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  const started = results
    .filter(({ outcome }) => outcome === 'started')
    .map((result) => ({ ...result, vm: parseReport(result.report) }));
  const relabelledLater = started.filter(({ decided, vm }) => vm.label !== decided).length;
  t.diagnostic(
    `${results.length} of ${launches} starts in ${seconds.toFixed(0)} s (${(results.length / seconds).toFixed(1)} a second) against ${attack.count} labellings`,
  );
  t.diagnostic(`outcomes: ${JSON.stringify(outcomes)}; relabelled once they ran: ${relabelledLater}`);

  /** @param {(result: typeof started[number]) => boolean} holds */
  const forEachVm = (name, holds) =>
    t.test(name, () => {
      const wrong = started.filter((result) => !holds(result));
      assert.equal(
        wrong.length,
        0,
        `${wrong.length} of ${started.length}, such as ${JSON.stringify(wrong[0], (_, value) => (typeof value === 'bigint' ? String(value) : value))}`,
      );
    });

  await t.test('all starts came to an end, with an outcome that the attack explains', () => {
    assert.ok(results.length >= fewestLaunches, `only ${results.length} of ${launches} starts in ${seconds} s`);
    const explained = [
      'started',
      'ERR_DISK_CHANGED', // relabelled between decision and exec
      'ERR_SELINUX_DENIED', // had the third label when it was looked at
      'ERR_DISK_NOT_REGULAR', // was a symbolic link at that moment
      'EACCES fstat', // the same, where the client may not look at the link
      'ENOENT openat', // was nothing
      'ERR_LAUNCH_DESCRIPTORS', // relabelled during the exec: the kernel took the descriptor away
    ];
    assert.deepEqual(
      results.filter(({ outcome }) => !explained.includes(outcome)),
      [],
    );
  });
  await t.test('starts came through, were refused by policy, and were stopped by the second look', () => {
    for (const outcome of ['started', 'ERR_SELINUX_DENIED', 'ERR_DISK_CHANGED'])
      assert.ok(outcomes[outcome] > 0, outcome);
  });
  await forEachVm(
    'every VM ran in the context decided',
    ({ context, decision, vm }) => vm.context === context && context === decision,
  );
  await forEachVm(
    'that context is the one of the label decided about',
    ({ context, decided }) => contexts.get(decided) === context,
  );
  await forEachVm(
    'every VM had one of the attacked files, no other and no substitute',
    ({ vm }) => vm.type === '100000' && attack.knows(vm.inode),
  );
  await forEachVm(
    'the label decided about was on that very file when the launch looked again',
    ({ decided, ready, vm }) => attack.wasOn(decided, vm.inode, BigInt(ready), vm.started),
  );
  // This is about the test: if clock or log were wrong, the check above would mean nothing.
  await forEachVm('the log agrees with what the VMs saw', ({ vm }) =>
    attack.wasOn(vm.label, vm.inode, vm.started, vm.looked),
  );
});
