/** Starts the lab's host programs so that none of them outlives the runner, whatever ends it. */

import { spawn } from 'node:child_process';
import { LabError } from './failure.mjs';
import { guard } from './guard.mjs';

/**
 * Spawns a program which the kernel kills when this process goes away, kill -9 included: setpriv asks for the parent
 * death signal and then becomes the program.
 *
 * @param {readonly string[]} command
 * @param {import('node:child_process').SpawnOptions & { wrapper?: readonly string[] }} [options] wrapper: a program
 *   which execs its arguments and changes credentials (unshare). It comes before setpriv, because a change of
 *   credentials clears the parent death signal.
 */
export function spawnTied(command, { wrapper = [], ...options } = {}) {
  const [program, ...args] = [...wrapper, 'setpriv', '--pdeathsig', 'KILL', '--', ...command];
  return spawn(/** @type {string} */ (program), args, options);
}

/**
 * Runs a program to its end and returns its stdout.
 *
 * @param {readonly string[]} command
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string, input?: string, onLine?: (line: string) => void,
 *   signal?: AbortSignal, tied?: boolean }} [options] onLine: sees every line of stdout and stderr as it comes; tied:
 *   false for a program that must be let finish even if this one is killed
 * @returns {Promise<string>}
 * @throws {LabError} when it cannot be started or does not end with status 0; the message has the end of its output
 */
export async function run(command, { onLine, input, signal, tied = true, ...options } = {}) {
  /** @type {import('node:child_process').SpawnOptions} */
  // A process group of its own, so that whatever the program started ends with it.
  const spawnOptions = { ...options, stdio: ['pipe', 'pipe', 'pipe'], detached: true };
  const child = tied
    ? spawnTied(command, spawnOptions)
    : spawn(/** @type {string} */ (command[0]), command.slice(1), spawnOptions);
  const release = tied && child.pid !== undefined ? guard('group', child.pid) : () => {};
  const kill = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, tied ? 'SIGKILL' : 'SIGTERM');
    } catch {
      // It has just ended.
    }
  };
  signal?.addEventListener('abort', kill);
  const { stdin, stdout, stderr } = child;
  if (!stdin || !stdout || !stderr) throw new TypeError('the child has no pipes');
  stdin.on('error', () => {}); // a program that does not read its input is no error
  stdin.end(input ?? '');
  let output = '';
  /** @type {string[]} */
  const tail = [];
  for (const stream of [stdout, stderr]) {
    stream.setEncoding('utf8');
    let rest = '';
    stream.on('data', (/** @type {string} */ text) => {
      if (stream === stdout) output += text;
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        onLine?.(line);
        tail.push(line);
        if (tail.length > 20) tail.shift();
      }
    });
    stream.on('end', () => {
      if (rest) tail.push(rest);
    });
  }
  /** @type {number | NodeJS.Signals | Error} */
  const end = await new Promise((resolve) => {
    child.on('error', resolve);
    child.on('close', (code, killedBy) => resolve(code ?? killedBy ?? -1));
  });
  release();
  signal?.removeEventListener('abort', kill);
  signal?.throwIfAborted();
  if (end === 0) return output;
  const reason = end instanceof Error ? end.message : `it ended with ${end}`;
  throw new LabError(`${command.slice(0, 3).join(' ')} failed: ${reason}\n${tail.join('\n')}`.trimEnd());
}
