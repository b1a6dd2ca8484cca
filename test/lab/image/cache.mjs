/**
 * The directory of built images. A stage is a directory named by the hash of what went into it; it is built under
 * another name and renamed when complete, so a stage that is there is whole.
 */

import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { guard } from '../guard.mjs';
import { withLock } from '../lock.mjs';

/** @returns {string} the cache directory, which is made if it is missing */
export function cacheDirectory() {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const directory = join(base, 'vm-entrypoint', 'lab');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return directory;
}

/**
 * @param {unknown} ingredients anything JSON can write
 * @returns {string} 16 hexadecimal digits
 */
export function keyOf(ingredients) {
  return createHash('sha256').update(JSON.stringify(ingredients)).digest('hex').slice(0, 16);
}

/**
 * @param {object} stage
 * @param {string} stage.name `packages`, `default`, `mls`
 * @param {string} stage.key see `keyOf`
 * @param {number} stage.keep how many stages of this name may stay
 * @param {(directory: string) => Promise<void>} stage.build fills an empty directory
 * @param {{ progress: import('../progress.mjs').Progress, signal?: AbortSignal }} options
 * @returns {Promise<string>} the stage's directory
 */
export async function cachedStage({ name, key, keep, build }, { progress, signal }) {
  const cache = cacheDirectory();
  const stage = join(cache, `${name}-${key}`);
  const touch = () => utimesSync(stage, new Date(), new Date());
  if (existsSync(stage)) {
    touch();
    return stage;
  }
  const onWait = () => progress.step(`waiting for another run which builds the image (${name})`);
  return withLock(join(cache, `${name}.lock`), { onWait, signal }, async () => {
    if (existsSync(stage)) return stage;
    removeUnfinished(cache, name);
    const unfinished = join(cache, `.${name}-${randomBytes(4).toString('hex')}.unfinished`);
    mkdirSync(unfinished);
    const release = guard('directory', unfinished);
    try {
      await build(unfinished);
      renameSync(unfinished, stage);
    } finally {
      rmSync(unfinished, { recursive: true, force: true });
      release();
    }
    touch();
    prune(cache, name, keep);
    return stage;
  });
}

/**
 * What a killed runner left. Only called with the lock held, so nobody is working in there.
 * @param {string} cache
 * @param {string} name
 */
function removeUnfinished(cache, name) {
  for (const entry of readdirSync(cache)) {
    if (entry.startsWith(`.${name}-`) && entry.endsWith('.unfinished')) {
      rmSync(join(cache, entry), { recursive: true, force: true });
    }
  }
}

/**
 * Guests that are running hold their files open, so a stage may go at any time.
 * @param {string} cache
 * @param {string} name
 * @param {number} keep
 */
function prune(cache, name, keep) {
  const stages = readdirSync(cache)
    .filter((entry) => entry.startsWith(`${name}-`))
    .map((entry) => join(cache, entry))
    .map((path) => ({ path, used: statSync(path).mtimeMs }))
    .sort((a, b) => b.used - a.used);
  for (const { path } of stages.slice(keep)) rmSync(path, { recursive: true, force: true });
}
