// One access question that the cache answers.
import { accessQuestion, cacheStatistics, internContext } from '../../dist/index.js';
import { CLIENT, DISK } from '../contexts.mjs';
import { compare, inProcess, PeerProcess } from '../harness.mjs';

export default {
  places: ['lab'],
  about: 'one cached access question from JavaScript beside avc_has_perm',
  async measure({ runs, place, progress, peer }) {
    const source = internContext(CLIENT);
    const target = internContext(DISK);
    const read = accessQuestion('file', ['read']);
    if (read.denied(source, target) !== 0) throw new Error('the question is not granted');
    const hit = new PeerProcess(peer('peer_access'), ['avc_has_perm', CLIENT, DISK, 'file', 'read']);

    const before = cacheStatistics();
    const row = await compare({
      what: 'access question from JS, cached',
      peerName: 'avc_has_perm hit',
      place,
      target: 1.5,
      runs,
      samples: 20,
      batch: 500,
      progress,
      peer: hit,
      ours: inProcess((batch) => {
        let refused = 0;
        for (let i = 0; i < batch; i++) refused |= read.denied(source, target);
        if (refused !== 0) throw new Error(`denied ${refused}`);
      }),
    });
    const after = cacheStatistics();
    await hit.close();
    if (after.misses !== before.misses) throw new Error('the question was not answered from the cache');
    return [row];
  },
};
