// A large process launches as a small one does: nothing on the event loop is proportional to the memory of the process,
// as it is in a fork. Figures are for bench/; here are only ratios that no busy machine can move so far.
import { type ChildProcess, spawn } from 'node:child_process';
import { freemem } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const LARGE_MB = 4096;
const ROUNDS = 12;
const script = fileURLToPath(new URL('../helpers/stall-process.mjs', import.meta.url));

class Side {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(megabytes: number) {
    const { LD_PRELOAD: _, NODE_OPTIONS: __, ...env } = process.env;
    this.#child = spawn(process.execPath, [`--max-old-space-size=${2 * LARGE_MB}`, script, String(megabytes)], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env,
    });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async number(line = ''): Promise<number> {
    if (line !== '') this.#child.stdin?.write(`${line}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`ended with ${this.#child.signalCode ?? this.#child.exitCode}`);
    return Number(value);
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }
}

// What a start itself takes, it takes every time; what else runs on the machine only adds to it, now and then.
const lowerQuartile = (numbers: number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 4)] as number;

const missing = (LARGE_MB + 1024) * 2 ** 20 - freemem();
const skip = missing > 0 ? `needs ${Math.ceil(missing / 2 ** 20)} MB more of free memory` : false;

t.test('launch stalls the event loop of a process of 4 GB no more than that of a small one', { skip }, async (t) => {
  const large = new Side(LARGE_MB);
  const small = new Side(0);
  t.teardown(() => {
    large.close();
    small.close();
  });
  t.ok((await large.number()) >= LARGE_MB, 'it has its size');
  t.ok((await small.number()) < 200);
  const stalls = { large: [] as number[], small: [] as number[], spawn: [] as number[] };
  // In turns, so that what else runs concerns all of them.
  for (let round = 0; round < ROUNDS; round++) {
    stalls.small.push(await small.number('launch'));
    stalls.large.push(await large.number('launch'));
    stalls.spawn.push(await large.number('spawn'));
  }
  const figures = Object.fromEntries(Object.entries(stalls).map(([side, list]) => [side, lowerQuartile(list)]));
  const text = Object.entries(figures)
    .map(([side, ns]) => `${side} ${(ns / 1e6).toFixed(2)} ms`)
    .join(', ');
  t.ok(figures.large! < 5 * figures.small!, text);
  t.ok(figures.small! < 5 * figures.large!, text);
});
