/** Directories of the host in the guest: one virtiofsd for each. */

import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { exitStatus, LabError } from './failure.mjs';
import { findVirtiofsd } from './host-packages.mjs';
import { spawnTied } from './processes.mjs';

/**
 * @typedef {object} Share
 * @property {string} tag
 * @property {string} source directory of the host
 * @property {string} directory where the guest mounts it
 * @property {boolean} readOnly
 */

/** @typedef {{ tag: string, socket: import('node:net').Socket }} ServedShare the socket is for QEMU: nobody else reads it */

/**
 * Starts a daemon for each directory.
 *
 * @param {readonly Share[]} shares
 * @param {{ directory: string, signal: AbortSignal, onFailure: (reason: LabError) => void }} options directory: for the
 *   sockets, which are there for a moment only; onFailure: a daemon ended although nobody asked it to
 * @returns {Promise<ServedShare[]>}
 */
export async function serveShares(shares, { directory, signal, onFailure }) {
  const program = findVirtiofsd();
  if (!program) throw new LabError('virtiofsd is not installed', { status: exitStatus.missingPackages });
  return Promise.all(shares.map((share) => serve(program, share, { directory, signal, onFailure })));
}

/**
 * @param {string} program
 * @param {Share} share
 * @param {{ directory: string, signal: AbortSignal, onFailure: (reason: LabError) => void }} options
 * @returns {Promise<ServedShare>}
 */
async function serve(program, { tag, source }, { directory, signal, onFailure }) {
  signal.throwIfAborted();
  // The daemon wants to be root in its sandbox. For an ordinary user that is root of a user namespace, with the
  // subordinate ids mapped as well: with a single id the daemon could not drop its groups.
  const wrapper = process.getuid?.() === 0 ? [] : ['unshare', '--map-root-user', '--map-auto'];
  const options = program.includes('qemu')
    ? ['-f', '-o', `source=${source}`, '-o', 'log_level=err', '-o', 'cache=auto', '-o', 'posix_lock', '-o', 'flock']
    : ['--shared-dir', source, '--log-level', 'error', '--cache', 'auto'];

  // The daemon inherits a listening socket (given a path, it would want to write to /run), and QEMU inherits a
  // connection to it, so the path can go at once. All of this happens without returning to the event loop: there,
  // this process would accept the connection itself.
  const path = join(directory, `${tag}.socket`);
  const server = createServer();
  server.on('error', () => {}); // shows as a socket that does not connect
  server.listen(path);
  const socket = connect(path);
  const daemon = spawnTied([program, '--fd=3', ...options], {
    wrapper,
    stdio: ['ignore', 'ignore', 'pipe', descriptorOf(server)],
  });
  server.close();
  rmSync(path, { force: true });

  let errors = '';
  daemon.stderr?.setEncoding('utf8').on('data', (text) => (errors += text));
  daemon.on('error', (error) => (errors += error.message));
  const kill = () => {
    daemon.kill('SIGKILL');
    socket.destroy();
  };
  signal.addEventListener('abort', kill);
  daemon.on('close', () => {
    signal.removeEventListener('abort', kill);
    socket.destroy();
    // Debian's daemon says this, and no more, when QEMU has gone away: the end of every guest.
    const reason = errors.replace(/^.*Unexpected poll revents.*$/gm, '').trim();
    if (reason) onFailure(new LabError(`cannot share ${source} with the guest: ${reason}`));
  });
  try {
    await once(socket, 'connect', { signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw new LabError(`cannot share ${source} with the guest`, { cause });
  }
  socket.on('error', () => {});
  return { tag, socket };
}

/**
 * Node has no public way to ask for a server's descriptor. Without one, 'ignore' makes the daemon say what it misses.
 *
 * @param {import('node:net').Server} server
 * @returns {number | 'ignore'}
 */
function descriptorOf(server) {
  const descriptor = /** @type {{ _handle?: { fd?: number } }} */ (server)._handle?.fd;
  return descriptor !== undefined && descriptor >= 0 ? descriptor : 'ignore';
}
