// The whole start decision, from contexts, warm: every access question and the transition.
import { cacheStatistics, prepareDecision } from '../../dist/index.js';
import { CLIENT, DISK, requireGrant, WHO } from '../contexts.mjs';
import { compare, inProcess, PeerProcess } from '../harness.mjs';

export default {
  places: ['lab'],
  about: 'the whole start decision, warm, beside one selinux_check_access',
  async measure({ runs, place, progress, peer }) {
    const prepared = prepareDecision({ disks: [{ context: DISK, format: 'raw' }], ...WHO });
    const decision = requireGrant(prepared.decide());
    const access = decision.checks.filter((check) => check.question !== 'vm-domain').length;
    const check = new PeerProcess(peer('peer_access'), ['selinux_check_access', CLIENT, DISK, 'file', 'read']);

    const before = cacheStatistics();
    const row = await compare({
      what: 'start decision from JS, warm',
      peerName: 'one selinux_check_access hit',
      place,
      target: 0.5,
      runs,
      samples: 20,
      batch: 100,
      progress,
      notes: [`${access} access questions and the transition in each decision`],
      peer: check,
      ours: inProcess((batch) => {
        let refused = 0;
        for (let i = 0; i < batch; i++) refused |= prepared.verdict();
        if (refused !== 0) throw new Error(`verdict ${refused}`);
      }),
    });
    const after = cacheStatistics();
    await check.close();
    if (after.misses !== before.misses) throw new Error('the decision was not answered from the cache');
    return [row];
  },
};
