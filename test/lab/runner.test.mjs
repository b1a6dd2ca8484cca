/**
 * The lab's runner as a person calls it, by its command line: what a guest is given and gives back, and every way in
 * which a run can end, killed ones included. Options are combined, because every guest takes its time to boot.
 *
 *   node test/lab/runner.test.mjs
 *
 * As root the test also plays an ordinary user, for whom the image is built, too: in a mount namespace of its own,
 * where /etc/passwd has such a user and the project has a path that he can reach. With VMENTRY_LONG=1 he downloads the
 * packages himself, which takes minutes; otherwise he gets root's.
 */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { cacheDirectory } from './image/cache.mjs';

const project = fileURLToPath(new URL('../..', import.meta.url));
const asRoot = process.getuid?.() === 0;
const minutes = (/** @type {number} */ count) => count * 60_000;

/** Whatever a run writes on this machine is below here; /tmp may be too small for an image. */
const place = mkdtempSync('/var/tmp/lab-runner-test-');
chmodSync(place, 0o755);
after(() => rmSync(place, { recursive: true, force: true }));

/** @param {string} name */
function directory(name) {
  const path = join(place, name);
  mkdirSync(path);
  return path;
}

// Every process that a run starts inherits this, so that one which was left behind is found wherever it went.
const mark = `LAB_RUNNER_TEST=${place}`;
const temporary = directory('tmp');
const environment = { ...process.env, LAB_RUNNER_TEST: place, TMPDIR: temporary };

/** Processes that belong to a run: id and command line. */
function leftProcesses() {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').join(' ');
        const of = [readFileSync(`/proc/${pid}/environ`, 'latin1'), words, readlinkSync(`/proc/${pid}/root`)];
        return of.some((text) => text.includes(mark) || text.includes(`${place}/`)) ? [`${pid} ${words}`] : [];
      } catch {
        return []; // it has ended, or is somebody else's
      }
    });
}

/** Mounts below the place, as seen by a process. @param {string} pid */
function mountsBelow(pid) {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
      .split('\n')
      .filter((line) => line.includes(`${temporary}/`));
  } catch {
    return [];
  }
}

/** @template T @param {() => T} look @param {(seen: T) => boolean} good @param {number} ms */
async function until(look, good, ms) {
  const end = performance.now() + ms;
  for (;;) {
    const seen = look();
    if (good(seen) || performance.now() > end) return seen;
    await sleep(50);
  }
}

/** Nothing of a run is left: no process, no mount, no file, no lock. @param {string} cache */
async function assertNothingLeft(cache) {
  // What cleans up after a killed runner starts when that is gone.
  assert.deepEqual(await until(leftProcesses, (found) => found.length === 0, 20_000), []);
  assert.deepEqual(mountsBelow('self'), []);
  assert.deepEqual(
    await until(
      () => readdirSync(temporary),
      (found) => found.length === 0,
      20_000,
    ),
    [],
  );
  for (const name of readdirSync(cache)) {
    assert.ok(!name.endsWith('.unfinished'), name);
    if (!name.endsWith('.lock')) continue;
    assert.equal(spawnSync('flock', ['--nonblock', join(cache, name), 'true']).status, 0, `${name} is held`);
  }
}

/** @typedef {{ wrapper?: readonly string[], env?: NodeJS.ProcessEnv, program?: readonly string[] }} How */

/** Starts the runner. @param {readonly string[]} words @param {How} [how] */
function start(words, { wrapper = [], env = environment, program } = {}) {
  const [command, ...args] = [...wrapper, ...(program ?? [process.execPath, `${project}test/lab/run.mjs`]), ...words];
  const runner = spawn(/** @type {string} */ (command), args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  for (const name of /** @type {const} */ (['stdout', 'stderr'])) {
    runner[name].setEncoding('utf8').on('data', (text) => (said[name] += text));
  }
  const ended = new Promise((resolve) => runner.on('close', (code, signal) => resolve(code ?? signal)));
  return { runner, said, ended };
}

/** Runs the runner to its end. @param {readonly string[]} words @param {How} [how] */
async function run(words, how) {
  const { said, ended } = start(words, how);
  const status = await ended;
  // Progress depends on how fast this machine is.
  return { status, stdout: said.stdout, stderr: said.stderr.replaceAll(/^lab: .*\n/gm, ''), all: said.stderr };
}

/** The user's words on the shell of the guest. @param {readonly string[]} lines */
const shell = (...lines) => ['--', 'sh', '-c', lines.join('\n')];

test('words without a meaning and things that are not there end a run with status 2 before any guest', async () => {
  for (const [words, said] of /** @type {[string[], RegExp][]} */ ([
    [['--polcy', 'mls', '--', 'true'], /^lab: unknown option --polcy\n\nusage: npm run lab/],
    [['true'], /^lab: unknown option true\n/],
    [['--mount', `${place}/nowhere:/out`, '--', 'true'], /^lab: .*\/nowhere is not a directory\n$/],
    [['--disk', `${place}/nothing.raw`, '--', 'true'], /^lab: there is no .*\/nothing\.raw\n$/],
  ])) {
    const { status, stdout, all } = await run(words);
    assert.deepEqual([status, stdout], [2, ''], all);
    assert.match(all, said);
  }
  const help = await run(['--help']);
  assert.equal(help.status, 0);
  assert.match(help.stdout, /^usage: npm run lab -- \[OPTION\]… -- COMMAND/);
});

test('policy, mounts, both whole streams and the exit status pass between guest and caller', {
  timeout: minutes(15),
}, async () => {
  const [first, second] = [directory('first'), directory('second')];
  writeFileSync(`${first}/from-host`, 'from the host\n');
  const { status, stdout, stderr, all } = await run([
    ...['--policy', 'mls', '--timeout', '600'],
    ...['--mount', `${first}:/one`, '--mount', `${second}:/a/second one`],
    ...shell(
      'id -Z; getenforce; sestatus | sed -n "s/^Loaded policy name: *//p"; pwd; cat /one/from-host',
      'touch /project/x 2> /dev/null && echo "the project can be written to"',
      'cp /one/from-host "/a/second one/copy"',
      // More than any pipe or port holds, ending without a newline, while somebody still holds the output open.
      'sleep 1000 &',
      'head -c 3000000 /dev/zero | tr "\\0" o; head -c 1000000 /dev/zero | tr "\\0" e >&2; exit 37',
    ),
  ]);
  assert.equal(status, 37, all.slice(0, 4000));
  const expected = 'root:sysadm_r:sysadm_t:s0-s15:c0.c1023\nEnforcing\nmls\n/project\nfrom the host\n';
  assert.equal(stdout.slice(0, expected.length), expected);
  assert.ok(stdout.slice(expected.length) === 'o'.repeat(3_000_000), `stdout has ${stdout.length} characters`);
  assert.ok(stderr === 'e'.repeat(1_000_000), `stderr has ${stderr.length} characters: ${stderr.slice(0, 1000)}`);
  assert.equal(readFileSync(`${second}/copy`, 'utf8'), 'from the host\n');
  await assertNothingLeft(cacheDirectory());
});

/** Nobody's id, for the user that root plays. */
const userId = 54_321;

/** How the runner is called for an ordinary user, whose home is `home`. @param {string} home @returns {How} */
function asOrdinaryUser(home) {
  const env = { ...environment, HOME: home, XDG_CACHE_HOME: '', USER: 'labuser', LOGNAME: 'labuser' };
  if (!asRoot) return { env };
  const etc = directory('etc');
  for (const name of ['passwd', 'group']) copyFileSync(`/etc/${name}`, `${etc}/${name}`);
  appendFileSync(`${etc}/passwd`, `labuser:x:${userId}:${userId}::${home}:/bin/sh\n`);
  appendFileSync(`${etc}/group`, `labuser:x:${userId}:\n`);
  for (const name of ['subuid', 'subgid']) writeFileSync(`${etc}/${name}`, 'labuser:543210000:65536\n');
  // Checkout and Node may be in root's own home.
  const [hisProject, hisNode] = [directory('project'), join(place, 'node')];
  writeFileSync(hisNode, '');
  chmodSync(temporary, 0o1777);
  const script = `
    for name in passwd group subuid subgid; do
      [ -e "/etc/$name" ] || : > "/etc/$name"
      mount --bind "${etc}/$name" "/etc/$name"
    done
    mount --bind "${project}" "${hisProject}"
    mount --bind "${process.execPath}" "${hisNode}"
    cd "${hisProject}"
    exec setpriv --reuid ${userId} --regid ${userId} --clear-groups -- "$@"`;
  return {
    env,
    wrapper: ['unshare', '--mount', '--propagation', 'private', 'sh', '-euc', script, 'sh'],
    program: [hisNode, `${hisProject}/test/lab/run.mjs`],
  };
}

/** Root's unpacked packages in a cache of the user's own. @param {string} cache */
function sharePackages(cache) {
  mkdirSync(cache, { recursive: true });
  for (const name of readdirSync(cacheDirectory()).filter((entry) => entry.startsWith('packages-'))) {
    cpSync(join(cacheDirectory(), name), join(cache, name), { recursive: true });
  }
}

test('an ordinary user builds the image, attaches disks, and runs a command, permissive, in a context of his choice', {
  timeout: minutes(30),
}, async () => {
  const home = directory('home');
  const how = asOrdinaryUser(home);
  const cache = `${home}/.cache/vm-entrypoint/lab`;
  if (asRoot && !process.env.VMENTRY_LONG) sharePackages(cache);
  for (const name of ['b', 'c']) writeFileSync(`${home}/${name}.raw`, Buffer.alloc(1 << 20, name));
  if (asRoot) assert.equal(spawnSync('chown', ['-R', `${userId}:${userId}`, home]).status, 0);
  mkdirSync(`${place}/his`);
  chmodSync(`${place}/his`, 0o777);
  const context = 'unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c7';
  const begun = performance.now();
  const { status, stdout, all } = await run(
    [
      ...['--permissive', '--context', context, '--mount', `${place}/his:/his`],
      ...['--disk', `${home}/b.raw`, '--disk', `${home}/c.raw`],
      ...shell(
        'id -Z; id -u; getenforce; semodule -l | grep -x vm_entrypoint',
        // Under fakeroot the labels go a way of their own, and so do owners.
        'stat -c "%n %u:%g %C" /usr/bin/env /usr/bin/qemu-system-x86_64 /etc/shadow /root',
        'head -c 4 /dev/vdb; head -c 4 /dev/vdc; echo',
        'cp /dev/vdb /his/copy && printf written | dd of=/dev/vdc bs=7 conv=notrunc status=none',
        'kill -KILL $$',
      ),
    ],
    how,
  );
  const seconds = Math.round((performance.now() - begun) / 1000);
  assert.equal(status, 128 + 9, all);
  assert.equal(
    stdout,
    `${context}
0
Permissive
vm_entrypoint
/usr/bin/env 0:0 system_u:object_r:bin_t:s0
/usr/bin/qemu-system-x86_64 0:0 system_u:object_r:qemu_exec_t:s0
/etc/shadow 0:42 system_u:object_r:shadow_t:s0
/root 0:0 unconfined_u:object_r:user_home_dir_t:s0
bbbbcccc
`,
    all,
  );
  assert.ok(readFileSync(`${place}/his/copy`).equals(Buffer.alloc(1 << 20, 'b')));
  assert.ok(readFileSync(`${home}/b.raw`).equals(Buffer.alloc(1 << 20, 'b')), 'only read');
  assert.equal(readFileSync(`${home}/c.raw`, 'latin1').slice(0, 9), 'writtencc');
  assert.ok(
    readdirSync(cache).some((name) => name.startsWith('default-')),
    'the image is in his own cache',
  );
  await assertNothingLeft(cache);
  process.stderr.write(`as an ordinary user: ${seconds} s\n`);
});

test('a command that outlives the time limit is ended: status 124, and what it had said', {
  timeout: minutes(5),
}, async () => {
  // Boot and command together. A guest boots in 10 s, where nothing else keeps the machine busy.
  const { status, stdout, all } = await run(['--timeout', '60', ...shell('echo begun; sleep 1000')]);
  assert.deepEqual([status, stdout], [124, 'begun\n'], all);
  assert.match(all, /^lab: the time limit of 60 s is over$/m);
  await assertNothingLeft(cacheDirectory());
});

test('a runner that is killed while its guest runs leaves nothing behind', { timeout: minutes(10) }, async () => {
  const { runner, said, ended } = start(shell('echo begun; sleep 1000'));
  await until(
    () => said.stdout,
    (text) => text !== '' || runner.exitCode !== null,
    minutes(8),
  );
  assert.equal(said.stdout, 'begun\n', said.stderr);
  const before = leftProcesses();
  for (const program of ['qemu-system-x86_64', 'virtiofsd']) {
    assert.ok(
      before.some((line) => line.includes(program)),
      `${program} runs: ${before.join('\n')}`,
    );
  }
  runner.kill('SIGKILL');
  assert.equal(await ended, 'SIGKILL');
  await assertNothingLeft(cacheDirectory());
});

test('a runner that is killed while it builds the image leaves nothing behind', { timeout: minutes(15) }, async () => {
  const base = directory('cache');
  const { runner, said, ended } = start(['--', 'true'], { env: { ...environment, XDG_CACHE_HOME: base } });
  // When the new tree has mounts of its own: the moment with most to leave behind.
  const mounts = () => leftProcesses().flatMap((line) => mountsBelow(/** @type {string} */ (line.split(' ', 1)[0])));
  const seen = await until(mounts, (found) => found.length > 0 || runner.exitCode !== null, minutes(12));
  assert.ok(seen.length > 0, said.stderr);
  assert.ok(existsSync(`${base}/vm-entrypoint/lab/packages.lock`));
  runner.kill('SIGKILL');
  assert.equal(await ended, 'SIGKILL');
  await assertNothingLeft(`${base}/vm-entrypoint/lab`);
});
