// The stages of the tests, in the order in which they run.
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { command, oneTest, root } from './command.mjs';
import { add, doctestResults, failure, nodeTestResults, none, tapResults } from './results.mjs';

/**
 * @typedef {import('./results.mjs').Results} Results
 * @typedef {{ say: (line: string) => void, long: boolean }} Context
 * @typedef {{ name: string, about: string, inGuest?: boolean, long?: boolean, run: (context: Context) => Promise<Results> }} Stage
 */

/** Calls `work` for each item, `width` at a time, and adds up. */
async function each(items, width, work) {
  const rest = [...items];
  let total = none();
  const worker = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) {
      const result = await work(item);
      total = add(total, result);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return total;
}

/**
 * Builds that several stages need, each done once in a run: stages may run beside each other, and two builds in one
 * directory would get in each other's way.
 *
 * @type {Map<string, Promise<Results>>}
 */
const builds = new Map();

/** @param {string} name @param {string} program @param {readonly string[]} args @returns {Promise<Results>} */
function buildOnce(name, program, args) {
  const build = builds.get(name) ?? oneTest(name, program, args, { minutes: 40 });
  builds.set(name, build);
  return build;
}

/** What CMakeLists.txt makes. @param {'test' | 'asan' | 'tsan'} kind */
const nativeBuild = (kind) => buildOnce(`build-${kind}`, 'bash', ['test/build-native.sh', kind]);
/** The addon that ships and dist/, unless they are up to date. */
const shippedBuild = () => buildOnce('build-shipped', 'bash', ['test/build-shipped.sh']);

/**
 * What TypeScript tests and guests need. `null`, or what has failed.
 *
 * @param {'test' | 'asan'} kind
 */
async function failedBuild(kind) {
  for (const build of [shippedBuild, () => nativeBuild(kind)]) {
    const built = await build();
    if (built.failed > 0) return built;
  }
  return null;
}

/** Builds and runs the C++ tests. @param {'test' | 'asan' | 'tsan'} kind @param {Context} context */
async function nativeTests(kind, { say }, env = {}) {
  const built = await nativeBuild(kind);
  if (built.failed > 0) return built;
  const programs = readdirSync(`${root}build/${kind}`).filter((file) => file.endsWith('_test'));
  return each(programs, availableParallelism(), async (program) => {
    const name = `${kind}/${program}`;
    const run = await command(`build/${kind}/${program}`, [], { env, minutes: 15, log: `${kind}-${program}` });
    const result = doctestResults(name, run.output, run.status);
    say(`${result.failed === 0 ? 'ok' : 'not ok'} ${program} (${result.passed} cases)`);
    return result;
  });
}

/**
 * The TypeScript tests. `args` may raise the limit of .taprc for one file.
 *
 * @param {string} log
 * @param {'test' | 'asan'} kind which build of the addon
 */
async function unitTests(log, kind, env = {}, args = []) {
  // dist/ is what the tests of the command line run.
  const failed = await failedBuild(kind);
  if (failed !== null) return failed;
  const { status, output } = await command('npx', ['tap', '--reporter=tap', ...args], { env, minutes: 40, log });
  return tapResults(log, output, status);
}

async function sanitizerLibrary() {
  const { output } = await command('gcc', ['-print-file-name=libasan.so'], { log: 'asan-library' });
  return output.trim();
}

/**
 * A file of test/lab/guest/, in a guest of its own: they change the policy under themselves. A line that begins with
 * `// lab: ` gives options of the lab's runner.
 *
 * @param {string} file
 * @param {Context} context
 */
async function guestTest(file, { say, long }) {
  const started = Date.now();
  const text = readFileSync(`${root}test/lab/guest/${file}`, 'utf8');
  const options = /^\/\/ lab: (.*)$/m.exec(text)?.[1].trim().split(/\s+/) ?? [];
  const minutes = long ? 150 : 40;
  const run = await command(
    'node',
    [
      'test/lab/run.mjs',
      ...['--timeout', String(minutes * 60), ...options, '--'],
      ...(long ? ['env', 'VMENTRY_LONG=1'] : []),
      ...['node', '--test-reporter=tap', '--expose-gc', `/project/test/lab/guest/${file}`],
    ],
    { minutes: minutes + 5, log: `lab-${file.replace('.test.mjs', '')}` },
  );
  const result = nodeTestResults(`lab/${file}`, run.output, run.status);
  const seconds = Math.round((Date.now() - started) / 1000);
  say(`${result.failed === 0 ? 'ok' : 'not ok'} ${file} (${result.passed} tests, ${seconds} s)`);
  return result;
}

/** @param {Context} context */
async function guestTests(context) {
  // The guest sees the checkout: `vm-entrypoint` is dist/ with the addon that ships, programs are in build/test/.
  const failed = await failedBuild('test');
  if (failed !== null) return failed;
  const files = readdirSync(`${root}test/lab/guest`).filter((file) => file.endsWith('.test.mjs'));
  if (files.length === 0) return failure('lab', 'no test files');
  return each(files.sort(), 1, (file) => guestTest(file, context));
}

/** @type {Stage[]} */
export const stages = [
  {
    name: 'build',
    about: 'the addon that ships, and the TypeScript',
    run: () => oneTest('build', 'npm', ['run', '--silent', 'build']),
  },
  {
    name: 'lint',
    about: 'biome and clang-format',
    run: () => oneTest('lint', 'npm', ['run', '--silent', 'lint']),
  },
  { name: 'native', about: 'C++ tests', run: (context) => nativeTests('test', context) },
  {
    name: 'tidy',
    about: 'clang-tidy',
    run: () => oneTest('tidy', 'bash', ['test/tidy-native.sh'], { minutes: 40 }),
  },
  { name: 'unit', about: 'TypeScript tests', run: () => unitTests('unit', 'test') },
  {
    name: 'asan',
    about: 'C++ tests under ASan, LSan and UBSan',
    run: (context) => nativeTests('asan', context, { ASAN_OPTIONS: 'detect_leaks=1' }),
  },
  {
    name: 'unit-asan',
    long: true,
    about: 'TypeScript tests with the addon under ASan and UBSan',
    run: async () =>
      unitTests(
        'unit-asan',
        'asan',
        {
          VMENTRY_TEST_BUILD: 'build/asan',
          LD_PRELOAD: await sanitizerLibrary(),
          // node leaks at its exit and is not instrumented: leaks are what the stage before looks for.
          ASAN_OPTIONS: 'detect_leaks=0:handle_segv=0',
        },
        ['--timeout=1200'],
      ),
  },
  { name: 'tsan', about: 'C++ tests under TSan', run: (context) => nativeTests('tsan', context) },
  {
    name: 'fuzz',
    about: 'fuzz targets, each for a short time',
    run: ({ long }) => oneTest('fuzz', 'bash', ['test/fuzz/run.sh', long ? '600' : '20'], { minutes: 60 }),
  },
  {
    name: 'package',
    about: 'the packed package in a project of its own',
    run: () => oneTest('package', 'bash', ['test/package.sh'], { minutes: 30 }),
  },
  {
    name: 'lab-runner',
    about: "the lab's runner by its command line, as root and as an ordinary user",
    inGuest: true,
    run: async ({ long }) => {
      const args = ['--test-reporter=tap', 'test/lab/runner.test.mjs'];
      const env = long ? { VMENTRY_LONG: '1' } : {};
      const { status, output } = await command('node', args, { env, minutes: 60, log: 'lab-runner' });
      return nodeTestResults('lab-runner', output, status);
    },
  },
  { name: 'lab', about: 'in a guest with SELinux enforcing', inGuest: true, run: guestTests },
];
