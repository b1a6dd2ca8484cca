/** Where the guest's packages come from: wherever this machine gets its own, proxies and time checks included. */

import { existsSync } from 'node:fs';
import { LabError } from '../failure.mjs';
import { run } from '../processes.mjs';

const debianKeyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * @param {string} suite a Debian release
 * @returns {Promise<{ lines: string[], options: string[] }>} lines for a sources.list (none: mmdebstrap knows Debian's
 *   public servers itself) and apt options
 */
export async function packageSources(suite) {
  return { lines: await sourceLines(suite), options: await acquireOptions() };
}

/** @param {string} suite */
async function sourceLines(suite) {
  const format = '$(ORIGIN)|$(CODENAME)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)';
  let targets = '';
  try {
    targets = await run(['apt-get', 'indextargets', '--format', format, 'Created-By: Packages']);
  } catch (error) {
    if (!(error instanceof LabError)) throw error; // else: a machine without apt, or without package lists
  }
  const signedBy = existsSync(debianKeyring) ? `[signed-by=${debianKeyring}] ` : '';
  const lines = new Set();
  for (const target of targets.split('\n')) {
    const [origin, codename, uri, release, component] = target.split('|');
    if (origin !== 'Debian' || component !== 'main') continue;
    if (![suite, `${suite}-updates`, `${suite}-security`].includes(codename ?? '')) continue;
    lines.add(`deb ${signedBy}${uri} ${release} ${component}`);
  }
  return [...lines];
}

/** The machine's settings for fetching: proxies, and whether an old mirror's dates are looked at. */
async function acquireOptions() {
  let dump = '';
  try {
    dump = await run(['apt-config', 'dump']);
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
  }
  return dump
    .split('\n')
    .filter((line) => /^Acquire::(Check-|Retries|(https?|ftp)::(?!.*:$))/i.test(line) && !/ "";$/.test(line));
}
