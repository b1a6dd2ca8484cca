// Measures what the project promises about speed, each figure beside a peer measured in the same run.
// See README.md for what the rows mean.
//
//   npm run bench [-- [--runs N] [--json FILE] [--here] [--no-build] [CASE…]]
//
//   CASE…        only these (see --list)
//   --runs N     runs of each comparison, 5 or more (default 5)
//   --json FILE  where the figures go, with every sample (default bench/results/DATE.json)
//   --here       no lab: measure the cases that need SELinux in this machine's own kernel
//   --no-build   measure what is built already
//   --list       name the cases
//
// Exit status: 0 all was measured (whatever the targets say), 1 something could not be, 2 usage.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { summarize, table } from './harness.mjs';
import { measureInLab } from './lab.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

/** In the order of the table. `places`: 'lab' needs SELinux, 'host' does not. */
const CASES = ['decide', 'question', 'path', 'many', 'stall', 'launch'];

function usage(message) {
  console.error(
    `${message}\nusage: npm run bench [-- [--runs N] [--json FILE] [--here] [--no-build] [--list] [CASE…]]\ncases: ${CASES.join(' ')}`,
  );
  process.exit(2);
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        runs: { type: 'string', default: '5' },
        json: { type: 'string' },
        here: { type: 'boolean', default: false },
        'no-build': { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        // For the guest's own run of this program: which place it is.
        place: { type: 'string' },
      },
    });
  } catch (error) {
    return usage(error.message);
  }
}

const progress = (message) => process.stderr.write(`${message}\n`);

/** The shipped build of the addon and the C peers; the guest gets them from the host. */
function build() {
  const run = (command, ...args) => {
    const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
    if (status !== 0) {
      console.error(`${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}`);
      process.exit(1);
    }
  };
  progress('building the addon and the peers');
  run('npm', 'run', '--silent', 'build');
  run('cmake', '-S', '.', '-B', 'build/test', '-Wno-dev');
  const programs = readdirSync(new URL('peers/', import.meta.url))
    .filter((file) => file.endsWith('.c'))
    .map((file) => file.slice(0, -2));
  run('cmake', '--build', 'build/test', '--parallel', '--target', ...programs);
}

/** Runs cases in one place; a case that fails is an entry of `failures`. */
async function measure(names, place, runs) {
  const rows = [];
  const failures = [];
  for (const name of names) {
    const { default: one } = await import(`./cases/${name}.mjs`);
    progress(`== ${name} (${place}): ${one.about}`);
    try {
      const bench = { runs, place, progress, peer: (program) => `${root}build/test/${program}` };
      for (const row of await one.measure(bench)) rows.push({ case: name, ...row });
    } catch (error) {
      progress(`${name} (${place}) could not be measured: ${error.stack}`);
      failures.push({ case: name, place, message: error.message });
    }
  }
  return { rows, failures, machine: machine() };
}

function machine() {
  const selinux = existsSync('/sys/fs/selinux/enforce');
  return {
    kernel: os.release(),
    cpus: os.cpus().length,
    cpu: os.cpus()[0]?.model,
    memory: os.totalmem(),
    node: process.version,
    selinux: selinux
      ? readFileSync('/sys/fs/selinux/enforce', 'utf8').trim() === '1'
        ? 'enforcing'
        : 'permissive'
      : 'off',
  };
}

function commit() {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      cwd: root,
      encoding: 'utf8',
      stdio: 'pipe',
    }).trim();
  } catch {
    return null;
  }
}

const { values, positionals } = parse();
if (values.list) {
  for (const name of CASES) {
    const { default: one } = await import(`./cases/${name}.mjs`);
    console.log(`${name.padEnd(9)} ${one.places.join(', ').padEnd(10)} ${one.about}`);
  }
  process.exit(0);
}
const unknown = positionals.find((name) => !CASES.includes(name));
if (unknown !== undefined) usage(`unknown case '${unknown}'`);
const runs = Number(values.runs);
if (!Number.isInteger(runs) || runs < 5 || runs > 1000) usage('--runs takes a whole number, 5 to 1000');
const names = CASES.filter((name) => positionals.length === 0 || positionals.includes(name));

if (values.place !== undefined) {
  // One place only, for the program that started this one.
  writeFileSync(values.json, JSON.stringify(await measure(names, values.place, runs)));
  process.exit(0);
}

if (!values['no-build']) build();
/** Those of the cases that have something to measure in a place. */
async function casesFor(place) {
  const loaded = await Promise.all(
    names.map(async (name) => ({ name, one: (await import(`./cases/${name}.mjs`)).default })),
  );
  return loaded.filter(({ one }) => one.places.includes(place)).map(({ name }) => name);
}
const results = {};
const onHost = await casesFor('host');
const inLab = await casesFor('lab');
if (onHost.length > 0) results.host = await measure(onHost, 'host', runs);
if (inLab.length > 0) {
  results.lab = values.here ? await measure(inLab, 'lab', runs) : await measureInLab({ names: inLab, runs, progress });
}
const rows = Object.values(results).flatMap((place) => place.rows ?? []);
const failures = Object.values(results).flatMap((place) => place.failures ?? []);
const summaries = rows
  .map((row) => ({ case: row.case, ...summarize(row) }))
  .sort((a, b) => CASES.indexOf(a.case) - CASES.indexOf(b.case));

const date = new Date().toISOString();
const file = resolve(values.json ?? `${root}bench/results/${date.slice(0, 19).replaceAll(':', '')}.json`);
mkdirSync(resolve(file, '..'), { recursive: true });
const machines = Object.fromEntries(Object.entries(results).map(([place, result]) => [place, result.machine]));
writeFileSync(file, `${JSON.stringify({ date, commit: commit(), machines, summaries, failures, rows }, null, 1)}\n`);

if (summaries.length > 0) console.log(table(summaries));
for (const { case: name, place, message } of failures) console.log(`NOT MEASURED ${name} (${place}): ${message}`);
if (summaries.length === 0 && failures.length === 0) console.log('nothing was measured');
progress(`written: ${file}`);
process.exitCode = failures.length > 0 || summaries.length === 0 ? 1 : 0;
