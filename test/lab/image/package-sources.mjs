/** Where the guest's packages come from: wherever this machine gets its own, proxies and time checks included. */

import { LabError } from '../failure.mjs';
import { debianKeyring } from '../host-packages.mjs';
import { run } from '../processes.mjs';

/**
 * @param {string} suite a Debian release
 * @returns {Promise<{ lines: string[], options: string[] }>} lines for a sources.list, and options of mmdebstrap
 */
export async function packageSources(suite) {
  const lines = sourceLines(suite, await indexTargets());
  // With no line mmdebstrap takes Debian's public servers, whose keys a host that is no Debian does not trust.
  const keyring = lines.length === 0 ? [`--keyring=${debianKeyring}`] : [];
  return { lines, options: [...keyring, ...(await acquireOptions()).map((option) => `--aptopt=${option}`)] };
}

/** What apt fetches on this machine: one line for each index of packages. */
async function indexTargets() {
  const format = '$(ORIGIN)|$(CODENAME)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)';
  try {
    return await run(['apt-get', 'indextargets', '--format', format, 'Created-By: Packages']);
  } catch (error) {
    if (error instanceof LabError) return ''; // a machine without apt, or without package lists
    throw error;
  }
}

/**
 * @param {string} suite
 * @param {string} targets see `indexTargets`
 * @returns {string[]} those of this machine's sources that have the suite
 */
export function sourceLines(suite, targets) {
  const lines = new Set();
  for (const target of targets.split('\n')) {
    const [origin, codename, uri, release, component] = target.split('|');
    if (origin !== 'Debian' || component !== 'main') continue;
    if (![suite, `${suite}-updates`, `${suite}-security`].includes(codename ?? '')) continue;
    lines.add(`deb [signed-by=${debianKeyring}] ${uri} ${release} ${component}`);
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
