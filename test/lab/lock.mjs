/**
 * A lock between runners that a killed runner cannot leave behind: flock(1) holds it, and ends when the pipe from the
 * runner does.
 */

import { spawn } from 'node:child_process';
import { LabError } from './failure.mjs';

/**
 * @template T
 * @param {string} file created if it is missing, never removed (removing a lock file races with its next user)
 * @param {{ onWait?: () => void, signal?: AbortSignal }} options onWait: somebody else holds the lock
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(file, { onWait, signal }, work) {
  const holder = spawn('flock', ['-x', file, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // Its own group: Ctrl-C in a terminal must end the work first and the lock after it.
    detached: true,
  });
  const waiting = setTimeout(() => onWait?.(), 300);
  const kill = () => holder.kill('SIGTERM');
  signal?.addEventListener('abort', kill);
  try {
    await new Promise((resolve, reject) => {
      holder.once('error', reject);
      holder.once('exit', (code) =>
        reject(signal?.reason ?? new LabError(`cannot lock ${file}: flock ended with ${code}`)),
      );
      holder.stdout.once('data', resolve);
    });
    clearTimeout(waiting);
    return await work();
  } finally {
    clearTimeout(waiting);
    signal?.removeEventListener('abort', kill);
    holder.removeAllListeners('exit');
    const ended = new Promise((resolve) => holder.once('close', resolve));
    holder.stdin.on('error', () => {});
    holder.stdin.end();
    if (holder.exitCode === null && holder.signalCode === null && holder.pid !== undefined) await ended;
  }
}
