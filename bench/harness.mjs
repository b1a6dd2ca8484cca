// What the cases share: sides that give samples on request, the interleaving of two sides, and the
// statistics over them.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/**
 * One side of a comparison. `sample(samples, batch)` gives that many numbers, each the mean of
 * `batch` operations in nanoseconds.
 * @typedef {{ sample: (samples: number, batch: number) => Promise<number[]> | number[], close?: () => Promise<void> }} Side
 */

/**
 * One measured row. In `runs[i]`, each `slice` samples of the peer were followed by as many of ours; `last` is the
 * peer after all of them.
 * @typedef {{
 *   what: string, peerName: string, place: string, target: number | null, batch: number, slice: number,
 *   runs: { peer: number[], ours: number[] }[], last: number[], notes: string[],
 * }} Row
 */

/** A program that answers `SAMPLES BATCH` lines: the C peers, and Node processes that do the same. */
export class PeerProcess {
  /** @param {string} program @param {string[]} args */
  constructor(program, args) {
    this.name = [program, ...args].join(' ');
    this.child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.complaint = '';
    this.child.stderr.setEncoding('utf8').on('data', (text) => {
      this.complaint += text;
    });
    this.closed = new Promise((resolve) => {
      this.child.on('error', (error) => resolve(error.message));
      this.child.on('close', (status, signal) => resolve(status === 0 ? null : `ended with ${signal ?? status}`));
    });
    // A peer that is already gone breaks the pipe; `sample` then reports its end.
    this.child.stdin.on('error', () => {});
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** `kind`: the word before the numbers, for a process that measures more than one thing. */
  async sample(samples, batch, kind) {
    this.child.stdin.write(`${kind === undefined ? '' : `${kind} `}${samples} ${batch}\n`);
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`${this.name}: ${(await this.closed) ?? 'ended early'}: ${this.complaint.trim()}`);
    const numbers = value.split(' ').map(Number);
    if (numbers.length !== samples || !numbers.every((n) => n > 0)) {
      throw new Error(`${this.name}: answered '${value}' to ${samples} ${batch}`);
    }
    return numbers;
  }

  /** One of the things it measures, as a side. */
  side(kind) {
    return { sample: (samples, batch) => this.sample(samples, batch, kind) };
  }

  async close() {
    this.child.stdin.end();
    const failed = await this.closed;
    if (failed !== null) throw new Error(`${this.name}: ${failed}: ${this.complaint.trim()}`);
  }
}

/** A side that runs here. `operation(batch)` does the operation that many times; the loop is its own. */
export function inProcess(operation) {
  return {
    sample(samples, batch) {
      operation(batch);
      const numbers = [];
      for (let i = 0; i < samples; i++) {
        const start = process.hrtime.bigint();
        operation(batch);
        numbers.push(Number(process.hrtime.bigint() - start) / batch);
      }
      return numbers;
    },
  };
}

/** The same for an operation that has to be waited for; one at a time, and it says itself how long it took. */
export function timedAsync(operation) {
  return {
    async sample(samples, batch) {
      await operation();
      const numbers = [];
      for (let i = 0; i < samples; i++) {
        let sum = 0;
        for (let j = 0; j < batch; j++) sum += await operation();
        numbers.push(sum / batch);
      }
      return numbers;
    },
  };
}

/**
 * Measures `peer`, `ours`, `peer`, `ours`, …, `peer`: in each run `slices` times both, and the peer once more at the end.
 * Short slices, because a shared machine changes its speed from one moment to the next.
 * @param {{ what: string, peerName: string, place: string, target: number | null, ours: Side, peer: Side,
 *   runs: number, slices?: number, samples: number, batch?: number, notes?: string[],
 *   progress: (message: string) => void }} options `samples`: in each slice
 * @returns {Promise<Row>}
 */
export async function compare({
  what,
  peerName,
  place,
  target,
  ours,
  peer,
  runs,
  slices = 10,
  samples,
  batch = 1,
  notes = [],
  progress,
}) {
  const row = { what, peerName, place, target, batch, slice: samples, runs: [], last: [], notes };
  for (let number = 1; number <= runs; number++) {
    progress(`${what}: run ${number} of ${runs}`);
    const run = { peer: [], ours: [] };
    for (let slice = 0; slice < slices; slice++) {
      run.peer.push(...(await peer.sample(samples, batch)));
      run.ours.push(...(await ours.sample(samples, batch)));
    }
    row.runs.push(run);
  }
  row.last = await peer.sample(samples, batch);
  return row;
}

/** The value below which the share `q` of the numbers lies (nearest rank). */
export function quantile(numbers, q) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
}
const median = (numbers) => quantile(numbers, 0.5);

/** The figures of a row. The ratio is the median over the runs of median against median. */
export function summarize(row) {
  const ratios = row.runs.map((run) => median(run.ours) / median(run.peer));
  const all = row.runs.flatMap((run) => run.ours);
  const peers = [...row.runs.flatMap((run) => run.peer), ...row.last];
  const ratio = median(ratios);
  return {
    what: row.what,
    peerName: row.peerName,
    place: row.place,
    runs: row.runs.length,
    samples: all.length,
    batch: row.batch,
    ours: { median: median(all), p99: quantile(all, 0.99) },
    peer: {
      median: median(peers),
      p99: quantile(peers, 0.99),
      first: median(row.runs[0].peer.slice(0, row.slice)),
      last: median(row.last),
    },
    ratio,
    ratios: { least: Math.min(...ratios), greatest: Math.max(...ratios) },
    target: row.target,
    met: row.target === null ? null : ratio <= row.target,
    notes: row.notes,
  };
}

/** Nanoseconds for people. */
export function duration(ns) {
  if (ns < 1000) return `${ns.toFixed(ns < 100 ? 1 : 0)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toPrecision(3)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toPrecision(3)} ms`;
  return `${(ns / 1e9).toPrecision(3)} s`;
}

const ratioText = (ratio) => (ratio < 0.1 ? ratio.toPrecision(2) : ratio.toFixed(2));

/** The table, one row a comparison, then what the rows have to say. */
export function table(summaries) {
  const head = ['what', 'where', 'median', 'p99', 'peer', 'median', 'p99', 'drift', 'ratio', 'spread', 'target', 'met'];
  const body = summaries.map((s) => [
    s.what,
    s.place,
    duration(s.ours.median),
    duration(s.ours.p99),
    s.peerName,
    duration(s.peer.median),
    duration(s.peer.p99),
    `${((s.peer.last / s.peer.first - 1) * 100).toFixed(0)} %`,
    ratioText(s.ratio),
    `${ratioText(s.ratios.least)}–${ratioText(s.ratios.greatest)}`,
    s.target === null ? '' : `≤ ${s.target}`,
    s.met === null ? '' : s.met ? 'yes' : 'NO',
  ]);
  const widths = head.map((title, column) =>
    Math.max(...[title, ...body.map((cells) => cells[column])].map((t) => t.length)),
  );
  const left = new Set([0, 1, 4]);
  const line = (cells) =>
    cells
      .map((t, i) => (left.has(i) ? t.padEnd(widths[i]) : t.padStart(widths[i])))
      .join('  ')
      .trimEnd();
  const notes = summaries.flatMap((s) => s.notes.map((note) => `${s.what} (${s.place}): ${note}`));
  return [line(head), ...body.map(line), ...(notes.length > 0 ? ['', ...new Set(notes)] : [])].join('\n');
}
