// Runs every stage of the tests and adds their counts up. The last line is `N passed, N failed, N skipped`.
//
//   node test/run.mjs              every stage but the long ones
//   node test/run.mjs --long       every stage
//   node test/run.mjs [STAGE…]     only these stages, in their order
//   node test/run.mjs --list       names the stages
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * @typedef {{ passed: number, failed: number, skipped: number }} Counts
 * @typedef {{ name: string, about: string, long?: boolean, run: () => Promise<Counts> }} Stage
 */

/** Runs a command with its output passed through, and returns its status and what it wrote on stdout. */
function run(command, args, { env = {}, timeoutMinutes = 20, quiet = false } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: timeoutMinutes * 60_000,
      killSignal: 'SIGKILL',
    });
    let output = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (chunk) => {
      output += chunk;
      if (!quiet) process.stdout.write(chunk);
    });
    child.on('error', (error) => resolve({ status: 127, output: `${output}${error.message}\n` }));
    child.on('close', (status, signal) => resolve({ status: status ?? `signal ${signal}`, output }));
  });
}

/** A command that either succeeds or does not, counted as one test. */
async function one(command, args, options) {
  const { status, output } = await run(command, args, { quiet: true, ...options });
  if (status === 0) return { passed: 1, failed: 0, skipped: 0 };
  process.stdout.write(output);
  console.log(`not ok: ${command} ${args.join(' ')} ended with ${status}`);
  return { passed: 0, failed: 1, skipped: 0 };
}

/** Sums counts; a group without any test counts as one failure, so that nothing can vanish unseen. */
function sum(counts, what) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const c of counts) for (const key of Object.keys(total)) total[key] += c[key];
  if (total.passed === 0 && total.failed === 0) {
    console.log(`not ok: ${what} ran no test`);
    total.failed = 1;
  }
  return total;
}

async function nativeTests(kind, env = {}) {
  const built = await one('bash', ['test/build-native.sh', kind], { timeoutMinutes: 30 });
  if (built.failed > 0) return built;
  const programs = readdirSync(`${root}build/${kind}`).filter((file) => file.endsWith('_test'));
  const counts = [];
  for (const program of programs) {
    const { status, output } = await run(`build/${kind}/${program}`, [], { env, quiet: true, timeoutMinutes: 10 });
    const found = /test cases:\s+(\d+)\s+\|\s+(\d+) passed\s+\|\s+(\d+) failed\s+\|\s+(\d+) skipped/.exec(output);
    const ok = status === 0 && found !== null && found[1] !== '0';
    if (!ok) process.stdout.write(output);
    console.log(`${ok ? 'ok' : 'not ok'}: ${kind}/${program} (${found ? `${found[2]} cases` : `status ${status}`})`);
    counts.push({
      passed: Number(found?.[2] ?? 0),
      failed: ok ? 0 : Math.max(1, Number(found?.[3] ?? 1)),
      skipped: Number(found?.[4] ?? 0),
    });
  }
  return sum(counts, `native tests (${kind})`);
}

async function tap(env = {}, args = []) {
  const { status, output } = await run('npx', ['tap', '--reporter=tap', ...args], {
    env,
    quiet: true,
    timeoutMinutes: 30,
  });
  const footer = [...output.matchAll(/^# \{ (.*?) \}$/gm)].at(-1)?.[1] ?? '';
  const count = (name) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(footer)?.[1] ?? 0);
  const failed = count('fail');
  if (status !== 0 || failed > 0) process.stdout.write(output);
  for (const [line] of output.matchAll(/^ *ok .*# SKIP.*$/gm)) console.log(line.trim());
  return sum(
    [{ passed: count('pass'), failed: Math.max(failed, status === 0 ? 0 : 1), skipped: count('skip') }],
    'tap',
  );
}

async function asanLibrary() {
  const { output } = await run('gcc', ['-print-file-name=libasan.so'], { quiet: true });
  return output.trim();
}

// These run for minutes under emulation: thousands of starts, or a rebuild of the whole policy by semodule.
const LONG_LAB_FILES = new Set(['cli.test.mjs', 'decide.test.mjs', 'swap-attack.test.mjs']);

/** Files of test/lab/guest/, each in a guest of its own: they change the policy under themselves. */
async function labTests(long) {
  const files = readdirSync(`${root}test/lab/guest`)
    .filter((file) => file.endsWith('.test.mjs') && LONG_LAB_FILES.has(file) === long)
    .sort();
  const counts = [];
  for (const file of files) {
    const started = Date.now();
    const { status, output } = await run(
      'node',
      [
        'test/lab/run.mjs',
        '--timeout',
        '1500',
        '--',
        'node',
        '--test-reporter=tap',
        '--expose-gc',
        `/project/test/lab/guest/${file}`,
      ],
      { quiet: true, timeoutMinutes: 40 },
    );
    const count = (name) => Number([...output.matchAll(new RegExp(`^# ${name} (\\d+)$`, 'gm'))].at(-1)?.[1] ?? 0);
    const failed = count('fail') + count('cancelled');
    const ok = status === 0 && failed === 0 && count('pass') > 0;
    if (!ok) process.stdout.write(output);
    for (const [line] of output.matchAll(/^ *ok .*# SKIP.*$/gm)) console.log(line.trim());
    console.log(
      `${ok ? 'ok' : 'not ok'}: lab/${file} (${count('pass')} tests, ${Math.round((Date.now() - started) / 1000)} s)`,
    );
    counts.push({ passed: count('pass'), failed: ok ? 0 : Math.max(1, failed), skipped: count('skipped') });
  }
  return sum(counts, 'lab');
}

/** @type {Stage[]} */
const stages = [
  {
    name: 'build',
    about: 'the addon that ships, and the TypeScript',
    run: () => one('npm', ['run', '--silent', 'build']),
  },
  { name: 'lint', about: 'biome, clang-format, warnings', run: () => one('npm', ['run', '--silent', 'lint']) },
  { name: 'native', about: 'C++ tests', run: () => nativeTests('test') },
  { name: 'unit', about: 'TypeScript tests', run: () => tap() },
  {
    name: 'asan',
    long: true,
    about: 'C++ tests under ASan and UBSan',
    run: () => nativeTests('asan', { ASAN_OPTIONS: 'detect_leaks=1' }),
  },
  {
    name: 'unit-asan',
    long: true,
    about: 'TypeScript tests with the addon under ASan and UBSan',
    run: async () =>
      tap({
        LD_PRELOAD: await asanLibrary(),
        // node itself leaks at exit and is not instrumented: leaks are what the native stage looks for.
        ASAN_OPTIONS: 'detect_leaks=0:handle_segv=0',
        VMENTRY_TEST_BUILD: 'build/asan',
      }),
  },
  { name: 'tsan', long: true, about: 'C++ tests under TSan', run: () => nativeTests('tsan') },
  {
    name: 'fuzz',
    long: true,
    about: 'fuzz targets, each for a short time',
    run: () => one('bash', ['test/fuzz/run.sh']),
  },
  { name: 'package', about: 'the packed package in a project of its own', run: () => one('bash', ['test/package.sh']) },
  { name: 'lab', about: 'the guest with SELinux enforcing', run: () => labTests(false) },
  { name: 'lab-long', long: true, about: 'its tests that take minutes', run: () => labTests(true) },
];

const args = process.argv.slice(2);
if (args.includes('--list')) {
  for (const { name, about, long } of stages) console.log(`${name.padEnd(10)} ${about}${long ? ' (long)' : ''}`);
  process.exit(0);
}
const withLong = args.includes('--long');
const names = args.filter((arg) => arg !== '--long');
const unknown = names.find((arg) => !stages.some(({ name }) => name === arg));
if (unknown !== undefined) {
  console.error(`unknown stage '${unknown}'; known are ${stages.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
if (!existsSync(`${root}node_modules`)) {
  console.error('run `npm test`, which sets the machine up first');
  process.exit(3);
}

const counts = [];
for (const stage of stages.filter(({ name, long }) => (names.length > 0 ? names.includes(name) : withLong || !long))) {
  const started = Date.now();
  console.log(`== ${stage.name}: ${stage.about}`);
  const count = await stage.run();
  counts.push(count);
  const { passed, failed, skipped } = count;
  console.log(
    `== ${stage.name}: ${passed} passed, ${failed} failed, ${skipped} skipped (${Math.round((Date.now() - started) / 1000)} s)`,
  );
}
const total = sum(counts, 'the run');
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 ? 0 : 1;
