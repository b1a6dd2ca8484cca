/** Sees to it that the programs which the lab calls on this machine are there, or says exactly what to install. */

import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter } from 'node:path';
import { exitStatus, LabError } from './failure.mjs';
import { run } from './processes.mjs';

/** sbin is not on an ordinary user's PATH in Debian, and half of these programs live there. */
export const hostEnvironment = Object.freeze({
  ...process.env,
  PATH: `${process.env.PATH ?? ''}${delimiter}/usr/local/sbin${delimiter}/usr/sbin${delimiter}/sbin`,
  LC_ALL: 'C.UTF-8',
});
// Everything here is started by name: one PATH for all of it.
process.env.PATH = hostEnvironment.PATH;

export const debianKeyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Debian 12 has virtiofsd inside QEMU's package; later releases have one of their own. */
const virtiofsdPlaces = ['/usr/libexec/virtiofsd', '/usr/lib/qemu/virtiofsd', '/usr/lib/virtiofsd'];

/** @param {string} program a name, or the path of a file */
function isThere(program) {
  if (program.startsWith('/')) return existsSync(program);
  return hostEnvironment.PATH.split(delimiter).some((directory) => {
    try {
      accessSync(`${directory}/${program}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** @param {(path: string) => boolean} [present] @returns {string | undefined} */
export function findVirtiofsd(present = isThere) {
  return virtiofsdPlaces.find((path) => present(path));
}

/** Programs that running a guest needs, by Debian package. */
const toRun = [
  { package: 'qemu-system-x86', program: 'qemu-system-x86_64' },
  { package: 'util-linux', program: 'setpriv' },
];
/** Programs that building the image needs besides. */
const toBuild = [
  { package: 'mmdebstrap', program: 'mmdebstrap' },
  { package: 'policycoreutils', program: 'semodule' },
  { package: 'policycoreutils', program: 'setfiles' },
  { package: 'selinux-utils', program: 'sefcontext_compile' },
  { package: 'e2fsprogs', program: 'mke2fs' },
  // The guest is a Debian on any host; only Debian itself trusts Debian's keys from the start.
  { package: 'debian-archive-keyring', program: debianKeyring },
];
/** An ordinary user stands in for root with these: owners and labels inside the image, ids on the shares. */
const toBuildUnprivileged = [{ package: 'fakeroot', program: 'fakeroot' }];
const toRunUnprivileged = [{ package: 'uidmap', program: 'newuidmap' }];

/**
 * @param {{ building: boolean, asRoot?: boolean, present?: (program: string) => boolean }} options present: is there
 *   such a program on the PATH, or such a file
 * @returns {string[]} names of the Debian packages that are missing
 */
export function missingPackages({ building, asRoot = process.getuid?.() === 0, present = isThere }) {
  const wanted = [
    ...toRun,
    ...(asRoot ? [] : toRunUnprivileged),
    ...(building ? [...toBuild, ...(asRoot ? [] : toBuildUnprivileged)] : []),
  ];
  const missing = new Set(wanted.filter(({ program }) => !present(program)).map((want) => want.package));
  // qemu-system-x86 brings virtiofsd along where the release has no package of that name.
  if (!findVirtiofsd(present) && !missing.has('qemu-system-x86')) missing.add('virtiofsd');
  return [...missing];
}

/**
 * Installs what is missing: as root, or through sudo where it asks for no password.
 *
 * @param {{ building: boolean, progress: import('./progress.mjs').Progress, signal?: AbortSignal }} options
 * @throws {LabError} with status 3 and the command to run, when the packages cannot be installed from here
 */
export async function ensureHostPackages({ building, progress, signal }) {
  // Twice, because a QEMU package that turns out not to bring virtiofsd is only seen after installing it.
  for (let round = 0; round < 2; round++) {
    const missing = missingPackages({ building });
    if (missing.length === 0) return;
    await install(missing, progress, signal);
  }
  const missing = missingPackages({ building });
  if (missing.length > 0) throw cannotInstall(missing);
}

/**
 * @param {string[]} packages
 * @param {string} [why]
 */
function cannotInstall(packages, why) {
  const command = `${process.getuid?.() === 0 ? '' : 'sudo '}apt-get install --no-install-recommends ${packages.join(' ')}`;
  return new LabError(
    `${why ? `${why}\n` : ''}the lab needs packages that are not installed here. Run:\n\n    ${command}\n`,
    { status: exitStatus.missingPackages },
  );
}

/**
 * @param {string[]} packages
 * @param {import('./progress.mjs').Progress} progress
 * @param {AbortSignal} [signal]
 */
async function install(packages, progress, signal) {
  if (!isThere('apt-get'))
    throw cannotInstall(packages, 'This is not a Debian system; the names below are Debian names.');
  const env = { ...hostEnvironment, DEBIAN_FRONTEND: 'noninteractive' };
  /** @type {string[]} */
  let prefix = [];
  if (process.getuid?.() !== 0) {
    prefix = ['sudo', '-n', 'DEBIAN_FRONTEND=noninteractive'];
    try {
      await run(['sudo', '-n', 'true'], { env });
    } catch {
      throw cannotInstall(packages);
    }
  }
  const onLine = (/** @type {string} */ line) => {
    if (/^(Get:|Unpacking|Setting up|Selecting)/.test(line)) progress.step(`installing packages: ${line.slice(0, 80)}`);
  };
  const installing = [...prefix, 'apt-get', 'install', '-y', '--no-install-recommends', ...packages];
  progress.step(`installing packages: ${packages.join(' ')}`);
  // Not tied to this process: a package manager killed half way leaves a broken system.
  try {
    await run(installing, { env, onLine, signal, tied: false });
  } catch {
    // The usual reason is that the package lists are old or missing.
    signal?.throwIfAborted();
    progress.step('updating the package lists');
    try {
      await run([...prefix, 'apt-get', 'update'], { env, onLine, signal });
      await run(installing, { env, onLine, signal, tied: false });
    } catch (error) {
      signal?.throwIfAborted();
      throw cannotInstall(packages, error instanceof Error ? error.message : String(error));
    }
  }
  progress.note(`installed ${packages.join(' ')}`);
}
