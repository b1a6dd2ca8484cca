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
 * Ten thousand starts, and not one less: a minute and a half, where nothing else keeps the machine busy. With
 * VMENTRY_LONG=1 (`npm test -- --long`) fifty thousand.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
} from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const long = process.env.VMENTRY_LONG === '1';
const launches = long ? 50_000 : 10_000;
const concurrency = 4;
/** The longest pause of the attacker. With none at all hardly any start would come through. */
const pauseMicroseconds = 4000;
const attackMs = (long ? 120 : 30) * 60_000;
/** For everything: past this the test is stuck. */
const limitMs = attackMs + (long ? 15 : 5) * 60_000;

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
  return { ...report, started: Number(report.started), looked: Number(report.looked) };
}

/**
 * The attacker's log as a function: was `label` on `inode` at any moment from `from` to `to`? Where a call was under
 * way, both the old and the new label count. An hour's log is large, so only what is about `inodes` is kept. (The
 * clock's nanoseconds since boot are whole numbers for a hundred days.)
 *
 * @param {string} path
 * @param {ReadonlySet<string>} inodes
 */
async function readLog(path, inodes) {
  const events = new Map();
  let count = 0;
  for await (const line of createInterface({ input: createReadStream(path) })) {
    count++;
    const [before, after, inode, index] = line.split(' ');
    if (!inodes.has(inode)) continue;
    if (!events.has(inode)) events.set(inode, []);
    events.get(inode).push({ before: Number(before), after: Number(after), label: labels[Number(index)] });
  }
  const wasOn = (label, inode, from, to) =>
    (events.get(inode) ?? []).some(
      (event, i, list) =>
        event.label === label && event.before <= to && (list[i + 1] === undefined || list[i + 1].after >= from),
    );
  return { wasOn, knows: (inode) => events.has(inode), count };
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
  const outcomes = {};
  for (const { outcome } of results) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  const started = results
    .filter(({ outcome }) => outcome === 'started')
    .map((result) => ({ ...result, vm: parseReport(result.report) }));
  const attack = await readLog(log, new Set(started.map(({ vm }) => vm.inode)));
  const relabelledLater = started.filter(({ decided, vm }) => vm.label !== decided).length;
  t.diagnostic(
    `${results.length} of ${launches} starts in ${seconds.toFixed(0)} s (${(results.length / seconds).toFixed(1)} a second) against ${attack.count} labellings`,
  );
  t.diagnostic(`outcomes: ${JSON.stringify(outcomes)}; relabelled once they ran: ${relabelledLater}`);

  /** @param {(result: typeof started[number]) => boolean} holds */
  const forEachVm = (name, holds) =>
    t.test(name, () => {
      const wrong = started.filter((result) => !holds(result));
      assert.equal(wrong.length, 0, `${wrong.length} of ${started.length}, such as ${JSON.stringify(wrong[0])}`);
    });

  await t.test('all starts came to an end, with an outcome that the attack explains', () => {
    assert.equal(results.length, launches, `in ${seconds} s`);
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
    ({ decided, ready, vm }) => attack.wasOn(decided, vm.inode, Number(ready), vm.started),
  );
  // This is about the test: if clock or log were wrong, the check above would mean nothing.
  await forEachVm('the log agrees with what the VMs saw', ({ vm }) =>
    attack.wasOn(vm.label, vm.inode, vm.started, vm.looked),
  );
});
