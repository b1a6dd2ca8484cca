// Decisions about 100,000 images at once.
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decideMany } from '../../dist/index.js';
import { setfscreatecon } from '../../dist/selinux.js';
import { WHO } from '../contexts.mjs';
import { compare, PeerProcess } from '../harness.mjs';

const IMAGES = 100_000;
const PER_DIRECTORY = 1000;
const LABELS = 64;

/** Files with their labels from the moment they exist, in directories of 1000. */
function makeImages(directory, progress) {
  const paths = [];
  for (let i = 0; i < IMAGES; i++) {
    const sub = join(directory, String(Math.floor(i / PER_DIRECTORY)));
    if (i % PER_DIRECTORY === 0) mkdirSync(sub);
    paths.push(join(sub, `disk-${i}.raw`));
  }
  for (let label = 0; label < LABELS; label++) {
    if (label % 16 === 0) progress(`making ${IMAGES} images: ${(100 * label) / LABELS} %`);
    // A category pair of its own for each label, as images of different VMs have.
    setfscreatecon(`system_u:object_r:vm_secret_virtdisk_t:s0:c${2 * label},c${2 * label + 1}`);
    try {
      for (let i = label; i < IMAGES; i += LABELS) closeSync(openSync(paths[i], 'wx', 0o600));
    } finally {
      setfscreatecon(null);
    }
  }
  return paths;
}

export default {
  places: ['lab'],
  about: `decideMany over ${IMAGES} images beside a C loop over the same files`,
  async measure({ runs, place, progress, peer }) {
    const directory = mkdtempSync(join(tmpdir(), 'vm-entrypoint-bench-'));
    try {
      const paths = makeImages(directory, progress);
      const list = join(directory, 'list');
      writeFileSync(list, paths.map((path) => `${path}\n`).join(''));
      const disks = paths.map((path) => ({ path, format: 'raw' }));
      const common = {
        place,
        runs,
        progress,
        slices: 1,
        samples: 2,
        ours: {
          async sample(samples) {
            const numbers = [];
            for (let i = 0; i < samples; i++) {
              const start = process.hrtime.bigint();
              const decisions = await decideMany(disks, WHO);
              const took = Number(process.hrtime.bigint() - start);
              if (!decisions.verdicts.every((verdict) => verdict === 0)) throw new Error('not every image is granted');
              if (decisions.vmContext(1) === decisions.vmContext(0)) throw new Error('two labels, one context');
              numbers.push(took);
            }
            return numbers;
          },
        },
      };
      const rows = [];
      for (const [kind, peerName, target] of [
        ['open', 'C loop: open, fgetfilecon, fstat, close', 1],
        ['look', 'C loop: lstat, lgetxattr, lstat', null],
      ]) {
        const loop = new PeerProcess(peer('peer_files'), [kind, list]);
        const row = await compare({
          ...common,
          what: `decideMany over ${IMAGES} images`,
          peerName,
          target,
          peer: loop,
          notes: [`${LABELS} different labels; per image ours makes the calls lstat, lgetxattr, lstat, on its threads`],
        });
        rows.push(row);
        await loop.close();
      }
      return rows;
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
};
