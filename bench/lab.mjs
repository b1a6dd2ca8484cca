// The cases that need SELinux, in a guest of the lab: this program's other half runs there with the
// host's build, and leaves its figures in a directory that both see.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runInLab } from '../test/lab/lab.mjs';
import { createProgress } from '../test/lab/progress.mjs';

const TIME_LIMIT_MS = 45 * 60_000;

/** What `measure` in run.mjs gives, measured in the guest. A guest that fails is a failure of every case. */
export async function measureInLab({ names, runs, progress }) {
  const exchange = mkdtempSync(join(tmpdir(), 'vm-entrypoint-bench-'));
  const interruption = new AbortController();
  const interrupt = (signal) => interruption.abort(new Error(`interrupted by ${signal}`));
  for (const name of ['SIGINT', 'SIGTERM']) process.once(name, interrupt);
  try {
    const { status } = await runInLab({
      command: 'node',
      args: [
        '/project/bench/run.mjs',
        '--place',
        'lab',
        '--runs',
        String(runs),
        '--json',
        '/bench/figures.json',
        ...names,
      ],
      mounts: [{ source: exchange, directory: '/bench' }],
      timeoutMs: TIME_LIMIT_MS,
      collect: false,
      onStdout: (bytes) => process.stderr.write(bytes),
      onStderr: (bytes) => process.stderr.write(bytes),
      progress: createProgress(),
      signal: interruption.signal,
    });
    if (status !== 0) throw new Error(`the measurement in the guest ended with status ${status}`);
    return JSON.parse(readFileSync(join(exchange, 'figures.json'), 'utf8'));
  } catch (error) {
    progress(`the lab: ${error.message}`);
    return {
      rows: [],
      failures: names.map((name) => ({ case: name, place: 'lab', message: error.message })),
      machine: null,
    };
  } finally {
    for (const name of ['SIGINT', 'SIGTERM']) process.removeListener(name, interrupt);
    rmSync(exchange, { recursive: true, force: true });
  }
}
