/**
 * Which Debian the guest is. Programs that were built on the host run in it, Node and the addon among them, so its C
 * library must not be older than the host's: an old one lacks what a compiler of a new system has put into them
 * (`__isoc23_strtoul` of glibc 2.38, for one).
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { LabError } from '../failure.mjs';

/** Debian's releases that a guest was tried with and their glibc, the oldest first. */
const releases = [
  { suite: 'bookworm', glibc: '2.36' },
  { suite: 'trixie', glibc: '2.41' },
];

/** @param {string} version */
const minor = (version) => Number(version.split('.')[1]);

/**
 * @param {{ osRelease: string, glibc: string }} host contents of /etc/os-release (may be empty), and a version
 * @returns {string} the host's own release on Debian, elsewhere the oldest that runs what was built on the host
 * @throws {LabError} where there is none
 */
export function guestSuite({ osRelease, glibc }) {
  const field = (/** @type {string} */ name) => new RegExp(`^${name}="?([a-z0-9]+)"?$`, 'm').exec(osRelease)?.[1];
  const codename = field('ID') === 'debian' ? field('VERSION_CODENAME') : undefined;
  if (codename !== undefined) return codename;
  const release = releases.find((one) => minor(one.glibc) >= minor(glibc));
  if (release !== undefined) return release.suite;
  const newest = releases.at(-1);
  throw new LabError(
    `this system has glibc ${glibc}, and what is built here does not run in the lab's guest, a Debian with glibc at ` +
      `most ${newest?.glibc} (${newest?.suite}). Run the lab in a container of an older system, such as:\n\n` +
      `    podman run --rm -it --privileged -v "$PWD":/project -w /project debian:${newest?.suite}\n`,
  );
}

/** @returns {{ osRelease: string, glibc: string }} what `guestSuite` wants to know about this machine */
export function thisHost() {
  let osRelease = '';
  try {
    osRelease = readFileSync('/etc/os-release', 'utf8');
  } catch {
    // Not every system has one.
  }
  const version = execFileSync('getconf', ['GNU_LIBC_VERSION'], { encoding: 'utf8' });
  return { osRelease, glibc: version.trim().replace(/^glibc /, '') };
}
