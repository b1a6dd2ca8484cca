// A process with a heap of a given size that starts programs and says how long its event loop stood still meanwhile.
//
//   node --max-old-space-size=N stall-process.mjs MEGABYTES
//
//   stdin   launch | spawn     starts one program that way
//   stdout  NUMBER             first: the resident megabytes; then for each line the longest gap in nanoseconds
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { command, launch } from '../../dist/index.js';

const directory = mkdtempSync(join(tmpdir(), 'vm-entrypoint-stall-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
const disk = join(directory, 'disk.raw');
writeFileSync(disk, Buffer.alloc(4096));

// Objects of V8's heap, a megabyte each and every page of it written. (Numbers, so that a collection has nothing to
// follow in them.)
const template = new Array(2 ** 17).fill(0.5);
const ballast = [];
globalThis.ballast = ballast; // reachable to the end
while (process.memoryUsage.rss() < Number(process.argv[2]) * 2 ** 20) ballast.push(template.slice());

let last = 0n;
let longest = 0n;
(function turn() {
  const now = process.hrtime.bigint();
  if (now - last > longest) longest = now - last;
  last = now;
  setImmediate(turn);
})();
const turns = async (count) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

const start = {
  launch: () =>
    launch({
      disks: [{ path: disk, format: 'raw' }],
      emulator: command({ path: '/bin/true' }),
      selinux: 'off',
      stdio: 'ignore',
    }),
  spawn: async () => spawn('/bin/true', [], { stdio: 'ignore', env: {} }),
};

async function stallOf(kind) {
  await turns(20);
  longest = 0n;
  const child = await start[kind]();
  const status = await new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  await turns(2);
  if (status !== 0) throw new Error(`${kind}: ended with ${status}`);
  return longest;
}

for (const kind of ['launch', 'spawn']) await stallOf(kind);
console.log(Math.round(process.memoryUsage.rss() / 2 ** 20));
for await (const line of createInterface({ input: process.stdin })) console.log(String(await stallOf(line)));
process.exit();
