// Runs one command of a stage, with an outer time limit, and keeps what it said.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { failure, lastLines, passed } from './results.mjs';

export const root = fileURLToPath(new URL('../..', import.meta.url));
/** Where everything that test programs print is kept. */
export const logs = `${root}build/test-logs`;

/**
 * @typedef {{ env?: Record<string, string>, minutes?: number, log: string }} CommandOptions
 *   `log` is the name of the file in `logs` without `.log`.
 */

/**
 * Its status (or `signal NAME`, `time limit`), and what it wrote on either stream.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {CommandOptions} options
 * @returns {Promise<{ status: number | string, output: string }>}
 */
export function command(command, args, { env = {}, minutes = 20, log }) {
  mkdirSync(logs, { recursive: true });
  return new Promise((resolve) => {
    const file = createWriteStream(`${logs}/${log}.log`);
    // A group of its own, so that the limit ends whatever it has started, too.
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let output = '';
    let late = false;
    const killGroup = (/** @type {NodeJS.Signals} */ signal) => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, signal);
      } catch {
        // It has just ended.
      }
    };
    // First gently: a guest's runner takes its guest, mounts and locks away with it.
    let killer;
    const limit = setTimeout(() => {
      late = true;
      killGroup('SIGTERM');
      killer = setTimeout(() => killGroup('SIGKILL'), 20_000);
    }, minutes * 60_000);
    const stop = () => killGroup('SIGTERM');
    process.on('exit', stop);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (chunk) => {
        output += chunk;
        file.write(chunk);
      });
    }
    const end = (/** @type {number | string} */ status) => {
      clearTimeout(limit);
      clearTimeout(killer);
      process.off('exit', stop);
      file.end();
      resolve({ status: late ? `the time limit of ${minutes} minutes` : status, output });
    };
    child.on('error', (error) => {
      output += `${error.message}\n`;
      end(127);
    });
    child.on('close', (status, signal) => end(status ?? `signal ${signal}`));
  });
}

/**
 * A command that either succeeds or does not, counted as one test.
 *
 * @param {string} name
 * @param {string} program
 * @param {readonly string[]} args
 * @param {Omit<CommandOptions, 'log'>} [options]
 */
export async function oneTest(name, program, args, options) {
  const { status, output } = await command(program, args, { ...options, log: name.replaceAll(/\W+/g, '-') });
  return status === 0 ? passed() : failure(name, `ended with ${status}\n${lastLines(output)}`);
}
