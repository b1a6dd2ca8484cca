// From the path of an image to the decision about it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decide, prepareDecision } from '../../dist/index.js';
import { makeImage, requireGrant, WHO } from '../contexts.mjs';
import { compare, inProcess, PeerProcess } from '../harness.mjs';

export default {
  places: ['lab'],
  about: 'label and decision of an image by its path, beside open, fgetfilecon, close',
  async measure({ runs, place, progress, peer }) {
    const directory = mkdtempSync(join(tmpdir(), 'vm-entrypoint-bench-'));
    try {
      const path = makeImage(join(directory, 'disk.raw'));
      const request = { disks: [{ path, format: 'raw' }], ...WHO };
      requireGrant(decide(request));
      const prepared = prepareDecision(request);
      const label = new PeerProcess(peer('peer_label'), [path]);
      const common = { place, runs, progress, samples: 20, peerName: 'open, fgetfilecon, close', peer: label };
      const rows = [
        await compare({
          ...common,
          what: 'verdict on a path, warm',
          target: 1.25,
          batch: 5,
          notes: ['the label is read without opening the file'],
          ours: inProcess((batch) => {
            let refused = 0;
            for (let i = 0; i < batch; i++) refused |= prepared.verdictOn(path);
            if (refused !== 0) throw new Error(`verdict ${refused}`);
          }),
        }),
        await compare({
          ...common,
          what: 'decide() with every check, by path',
          target: null,
          batch: 1,
          notes: ['opens the file, reads label and status from the descriptor, builds the report'],
          ours: inProcess((batch) => {
            for (let i = 0; i < batch; i++) if (!decide(request).allowed) throw new Error('refused');
          }),
        }),
      ];
      await label.close();
      return rows;
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
};
