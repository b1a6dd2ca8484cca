// A process may end at any moment: in every state of the package it ends as it wanted to, without a crash and without
// a complaint, and no VM is left that nobody heard of.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startFakeSelinux } from '../helpers/fake-selinux.js';
import { CLIENT, cannotLabel, labelled, labelledProgram, VM_CONTEXT } from '../helpers/labelled.js';
import { eventually, textOf } from '../helpers/launching.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
fake.setLaunched(VM_CONTEXT);

const directory = t.testdir({});
const host = new URL('../helpers/cli-host.mjs', import.meta.url).href;
const library = new URL('../../dist/index.js', import.meta.url).href;
// Nobody else sleeps this long: how a VM is found that its launcher did not tell about.
const SECONDS = `86400.${process.pid}`;

const preamble = (files: Record<string, string>): string => `
  import { openSync } from 'node:fs';
  import * as vme from ${JSON.stringify(library)};
  import * as selinux from ${JSON.stringify(library.replace('index.js', 'selinux.js'))};
  const files = ${JSON.stringify(files)};
  const client = ${JSON.stringify(CLIENT)};
  const context = (type) => 'system_u:object_r:' + type + ':s0';
  const emulator = { context: context('qemu_exec_t') };
  const request = { disks: [{ context: context('disk_t'), format: 'raw', readOnly: true }], client, emulator };
  const many = Array.from({ length: 20_000 }, (_, i) => ({ context: context('gone' + i + '_t'), format: 'raw' }));
  const start = (args = [${JSON.stringify(SECONDS)}], more = {}) => {
    const log = openSync(files.log, 'r+');
    return { disks: [{ path: files.disk, format: 'raw', readOnly: true }], client, stdio: [log, log, log],
      emulator: vme.command({ path: files.emulator, args }), ...more };
  };
`;

/** What the process does before it ends. */
const states: Record<string, string> = {
  'nothing was done': '',
  'a decision was made': 'vme.decide(request);',
  'a refusal was made': `vme.decide({ ...request, client: context('no') });`,
  'decideAsync is under way': 'for (let i = 0; i < 50; i++) vme.decideAsync(request);',
  'decideMany is under way': 'vme.decideMany(many, { client, emulator }, { threads: 2, onProgress() {} });',
  'decideMany was aborted':
    'const c = new AbortController(); vme.decideMany(many, { client, emulator }, { signal: c.signal }).catch(() => {}); c.abort();',
  'something is prepared': 'globalThis.kept = vme.prepareDecision(request); kept.verdict();',
  'a table is open': `globalThis.kept = selinux.selabelOpen(); kept.lookup('/srv');`,
  'somebody watches': 'globalThis.kept = selinux.watch();',
  'an exec context is set': `vme.withExecContext('user_u:user_r:launcher_t:s0', () => { END });`,
  'a thread has an exec context': `selinux.setexeccon('user_u:user_r:launcher_t:s0');`,
  'a launch is being prepared': 'vme.launch(start());',
  'a launch is prepared':
    'await new Promise((resolve) => { const options = start(); vme.launch({ ...options, emulator: { path: files.emulator, build() { resolve(); return { args: [] }; } } }); });',
  'a process is being started':
    'await new Promise((resolve) => { vme.launch({ ...start(), emulator: { path: files.emulator, build() { setTimeout(resolve, 2); return { args: [LONG] }; } } }).then((vm) => tell(vm)); });',
  'a launch was aborted':
    'const c = new AbortController(); vme.launch(start(undefined, { signal: c.signal })).catch(() => {}); c.abort();',
  'a VM runs': 'const vm = await vme.launch(start()); tell(vm);',
  'a VM runs that is tied': `const vm = await vme.launch(start(undefined, { onManagerExit: 'kill' }));`,
  'a VM runs that nobody waits for': 'const vm = await vme.launch(start()); tell(vm); vm.unref();',
  'a VM is being killed': `const vm = await vme.launch(start()); vm.kill('SIGKILL');`,
  'a VM has ended': `const vm = await vme.launch(start(['0'])); await new Promise((resolve) => vm.once('close', resolve));`,
  'its end is being told': `const vm = await vme.launch(start(['0'])); vm.once('exit', () => { END });`,
  'its end is being told, and the last thing heard of it': `const vm = await vme.launch(start(['0'])); vm.once('close', () => { END }); await new Promise(() => {});`,
};

const ends: Record<string, { statement: string; status: number | null; signal: NodeJS.Signals | null }> = {
  'process.exit': { statement: 'process.exit(0);', status: 0, signal: null },
  // None that can be caught: tap has its children catch the others.
  'a signal': { statement: `process.kill(process.pid, 'SIGKILL'); for (;;);`, status: null, signal: 'SIGKILL' },
};

function running(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(SECONDS);
      } catch {
        return false;
      }
    });
}

const skip = cannotLabel(directory);
const files: Record<string, string> = skip
  ? {}
  : {
      log: labelled(directory, 'log', 'disk_t'),
      disk: labelled(directory, 'disk.raw', 'disk_t'),
      emulator: labelledProgram(directory, 'emulator', '/bin/sleep'),
    };

async function endOf(state: string, end: string) {
  // The kernel's goes with its thread; this one is a file.
  writeFileSync(join(fake.directory, 'attr/exec'), '');
  const file = join(directory, 'program.mjs');
  const body = state.replaceAll('END', end).replaceAll('LONG', JSON.stringify(SECONDS));
  writeFileSync(file, `${preamble(files)} const tell = (vm) => console.log(vm.pid);\n${body}\n${end}\n`);
  const child = spawn(process.execPath, ['--import', host, file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', FAKE_SELINUX_DIR: fake.directory },
  });
  const [stdout, stderr] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    new Promise((resolve) => child.once('close', resolve)),
  ]);
  return { status: child.exitCode, signal: child.signalCode, stderr, told: stdout.trim() };
}

for (const [name, state] of Object.entries(states)) {
  const launches = state.includes('start(');
  t.test(`the process ends while ${name}`, { skip: launches && skip }, async (t) => {
    for (const { statement, status, signal } of Object.values(ends)) {
      const { told, ...ended } = await endOf(state, statement);
      t.same(ended, { status, signal, stderr: '' });
      if (told === '') {
        t.ok(await eventually(() => running().length === 0), 'no VM that nobody has heard of');
      } else {
        t.same(running(), [Number(told)], 'the VM lives on');
        process.kill(Number(told), 'SIGKILL');
        t.ok(await eventually(() => running().length === 0));
      }
    }
  });
}
