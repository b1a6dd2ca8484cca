// A Node process of a given size that starts programs and says how long its event loop stood still.
//
//   node stall_process.mjs MEGABYTES PROGRAM
//
//   stdin   KIND SAMPLES BATCH    KIND: launch-gap, launch-call, spawn-gap, spawn-call
//   stdout  N N N …               nanoseconds
//
// `gap` is the longest time between two turns of the event loop from the call until the child's exit
// was reported; `call` is how long the call itself keeps the caller. The loop is kept turning by
// setImmediate, so a turn takes about a microsecond when nothing stands in its way.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { command, launch } from '../../dist/index.js';

const megabytes = Number(process.argv[2]);
const program = process.argv[3];
const directory = mkdtempSync(join(tmpdir(), 'vm-entrypoint-bench-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
const disk = join(directory, 'disk.raw');
writeFileSync(disk, Buffer.alloc(4096));

// Filled, not only reserved: what a fork copies is the page tables of resident memory.
const ballast = [];
while (process.memoryUsage.rss() < megabytes * 2 ** 20) {
  const missing = megabytes * 2 ** 20 - process.memoryUsage.rss();
  ballast.push(Buffer.alloc(Math.min(2 ** 28, Math.max(2 ** 16, missing)), 1));
}

let running = true;
let last = 0n;
let longest = 0n;
function turn() {
  const now = process.hrtime.bigint();
  if (now - last > longest) longest = now - last;
  last = now;
  if (running) setImmediate(turn);
}
const turns = (count) =>
  new Promise((resolve) =>
    (function again() {
      count-- > 0 ? setImmediate(again) : resolve();
    })(),
  );

function exited(child) {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`${program} ended with ${signal ?? code}`)),
    );
  });
}

const start = {
  async launch(called) {
    const pending = launch({
      disks: [{ path: disk, format: 'raw' }],
      emulator: command({ path: program }),
      selinux: 'off',
      stdio: 'ignore',
    });
    called();
    await exited(await pending);
  },
  async spawn(called) {
    const child = spawn(program, [], { stdio: 'ignore', env: {} });
    called();
    await exited(child);
  },
};

/** One start: the longest gap, and the time of the call. */
async function once(kind) {
  await turns(20);
  longest = 0n;
  let call = 0n;
  const before = process.hrtime.bigint();
  await start[kind](() => {
    call = process.hrtime.bigint() - before;
  });
  await turns(2);
  return { gap: Number(longest), call: Number(call) };
}

turn();
for await (const line of createInterface({ input: process.stdin })) {
  const [what, samples, batch] = line.split(' ');
  const [kind, figure] = what.split('-');
  await once(kind);
  const numbers = [];
  for (let i = 0; i < Number(samples); i++) {
    let sum = 0;
    for (let j = 0; j < Number(batch); j++) sum += (await once(kind))[figure];
    numbers.push(sum / Number(batch));
  }
  console.log(numbers.join(' '));
}
running = false;
if (process.memoryUsage.rss() < megabytes * 0.95 * 2 ** 20) {
  console.error('memory was swapped out or given back: the figures are not of the size asked for');
  process.exitCode = 1;
}
ballast.length = 0;
