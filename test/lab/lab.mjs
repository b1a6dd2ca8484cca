/** Runs commands in the guest: what both the runner's command line and test programs call. */

import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { exitStatus, LabError } from './failure.mjs';
import { guard } from './guard.mjs';
import { missingPackages } from './host-packages.mjs';
import { image as buildImage, withPackages } from './image/build.mjs';
import { encodeJob } from './job.mjs';
import { createProgress } from './progress.mjs';
import { BootError, runGuest } from './qemu.mjs';
import { serveShares } from './shares.mjs';

export { exitStatus, LabError } from './failure.mjs';

const project = fileURLToPath(new URL('../../', import.meta.url));

/** An administrator's login, with the whole range of levels. */
export const defaultContexts = Object.freeze({
  default: 'unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023',
  mls: 'root:sysadm_r:sysadm_t:s0-s15:c0.c1023',
});

/** A guest that has not started its command by then is frozen. */
const bootLimitMs = 120_000;

/**
 * @typedef {object} LabOptions
 * @property {string} command program, looked up on the guest's PATH
 * @property {readonly string[]} [args]
 * @property {'default' | 'mls'} [policy] Debian's policy of that name (default: `default`)
 * @property {boolean} [permissive] SELinux permissive instead of enforcing
 * @property {string} [context] context of the command (default: see `defaultContexts`)
 * @property {readonly { source: string, directory: string, readOnly?: boolean }[]} [mounts] directories of the host
 * @property {readonly string[]} [disks] raw image files, /dev/vdb and following in the guest, written to directly
 * @property {number} [timeoutMs] limit for boot and command together, in milliseconds (default: 10 minutes)
 * @property {AbortSignal} [signal] kills the guest
 * @property {(bytes: Buffer) => void} [onStdout] sees output as it comes
 * @property {(bytes: Buffer) => void} [onStderr]
 * @property {boolean} [collect] false: do not keep the output for the result (default: true)
 * @property {import('./progress.mjs').Progress} [progress] default: none
 */

/**
 * @typedef {object} LabResult
 * @property {number} status exit status of the command; 128 + N when signal N ended it
 * @property {string} stdout
 * @property {string} stderr
 * @property {Buffer} stdoutBytes
 * @property {Buffer} stderrBytes
 */

/**
 * Runs a command in a fresh guest whose kernel has SELinux and KVM; the project is at /project, read-only.
 * The first call builds the guest's image, which takes a minute or two.
 *
 * @param {LabOptions} options
 * @returns {Promise<LabResult>}
 * @throws {LabError} when the guest cannot be built or run, or exceeds its time (see `exitStatus`). That the command
 *   fails is not an error, but a status.
 */
export async function runInLab(options) {
  const progress = options.progress ?? createProgress({ quiet: true });
  const policy = options.policy ?? 'default';
  for (const { source } of options.mounts ?? []) {
    if (!existsSync(source) || !statSync(source).isDirectory()) {
      throw new LabError(`${source} is not a directory`, { status: exitStatus.usage });
    }
  }
  for (const disk of options.disks ?? []) {
    if (!existsSync(disk)) throw new LabError(`there is no ${disk}`, { status: exitStatus.usage });
  }
  try {
    const image = await buildImage(policy, { progress, signal: options.signal });
    if (missingPackages({ building: false }).length > 0) {
      await withPackages(false, { progress, signal: options.signal });
    }
    try {
      return await attempt(options, image, progress, false);
    } catch (error) {
      if (!(error instanceof BootError)) throw error;
      progress.note(`${error.message}\nlab: starting the guest once more`);
      return await attempt(options, image, progress, true);
    }
  } finally {
    progress.done();
  }
}

/**
 * @param {LabOptions} options
 * @param {import('./image/build.mjs').Image} image
 * @param {import('./progress.mjs').Progress} progress
 * @param {boolean} verbose
 * @returns {Promise<LabResult>}
 */
async function attempt(options, image, progress, verbose) {
  const { command, args = [], policy = 'default', permissive = false, collect = true } = options;
  const timeoutMs = options.timeoutMs ?? 600_000;
  const marker = randomBytes(16).toString('hex');
  const shares = [{ source: project, directory: '/project', readOnly: true }, ...(options.mounts ?? [])].map(
    ({ source, directory, readOnly = false }, index) => ({
      tag: `share${index}`,
      source: resolve(source),
      directory,
      readOnly,
    }),
  );
  // Ends the guest and the daemons: the caller's wish, a time limit, or the end of this attempt.
  const ending = new AbortController();
  const onAbort = () => ending.abort(options.signal?.reason);
  options.signal?.addEventListener('abort', onAbort);
  if (options.signal?.aborted) onAbort();
  const late = setTimeout(
    () =>
      ending.abort(new LabError(`the time limit of ${timeoutMs / 1000} s is over`, { status: exitStatus.timeLimit })),
    timeoutMs,
  );
  const frozen = setTimeout(
    () => ending.abort(new BootError(`the guest did not boot within ${bootLimitMs / 1000} s`)),
    bootLimitMs,
  );
  /** @type {{ stdout: Buffer[], stderr: Buffer[] }} */
  const output = { stdout: [], stderr: [] };
  try {
    progress.step(`booting the guest (policy ${policy}, ${permissive ? 'permissive' : 'enforcing'})`);
    const status = await runGuest({
      image,
      job: encodeJob({
        command: [command, ...args],
        context: options.context ?? defaultContexts[policy],
        permissive,
        marker,
        shares,
      }),
      marker,
      shares: await connectShares(shares, ending),
      disks: (options.disks ?? []).map((path) => resolve(path)),
      verbose,
      signal: ending.signal,
      onReady: () => {
        clearTimeout(frozen);
        progress.done();
      },
      onOutput: (stream, bytes) => {
        if (collect) output[stream].push(bytes);
        (stream === 'stdout' ? options.onStdout : options.onStderr)?.(bytes);
      },
    });
    const stdoutBytes = Buffer.concat(output.stdout);
    const stderrBytes = Buffer.concat(output.stderr);
    return {
      status,
      stdout: stdoutBytes.toString(),
      stderr: stderrBytes.toString(),
      stdoutBytes,
      stderrBytes,
    };
  } finally {
    clearTimeout(late);
    clearTimeout(frozen);
    options.signal?.removeEventListener('abort', onAbort);
    ending.abort();
  }
}

/**
 * @param {readonly import('./shares.mjs').Share[]} shares
 * @param {AbortController} ending aborted when a daemon fails
 */
async function connectShares(shares, ending) {
  const directory = mkdtempSync(join(tmpdir(), 'vm-entrypoint-lab-'));
  const release = guard('directory', directory);
  try {
    return await serveShares(shares, {
      directory,
      signal: ending.signal,
      // When the guest is ended first, this comes too late to have an effect.
      onFailure: (reason) => ending.abort(reason),
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
    release();
  }
}
