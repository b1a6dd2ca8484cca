// Workers that use the test addon. Loaders of TypeScript stay in the main thread: a Worker runs what was built.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { testAddon } from './test-addon.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const shipped = (createRequire(import.meta.url)('node-gyp-build') as { resolve(directory: string): string }).resolve(
  root,
);

/**
 * Runs the statements `body` with `library` (the package), `data` and `parentPort`. The fake libselinux and what
 * else was chosen for this process counts there too.
 */
export function startWorker(body: string, data?: unknown): Worker {
  return new Worker(
    `const { workerData: data, parentPort } = require('node:worker_threads');
     const shipped = require.resolve(${JSON.stringify(shipped)});
     require.cache[shipped] = { id: shipped, filename: shipped, loaded: true, exports: require(${JSON.stringify(testAddon)}) };
     import(${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)}).then(async (library) => {
       ${body}
     });`,
    { eval: true, workerData: data },
  );
}
