// How long the event loop stands still while a program is started, in a process of 4 GB.
import { freemem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { compare, PeerProcess } from '../harness.mjs';

const MEGABYTES = 4096;
const SAMPLES = 8;
const script = fileURLToPath(new URL('stall_process.mjs', import.meta.url));

export default {
  places: ['host'],
  about: 'event-loop stall of launch and of child_process.spawn at 4 GB, and of launch at 40 MB',
  async measure({ runs, place, progress, peer }) {
    if (freemem() < (MEGABYTES + 512) * 2 ** 20) throw new Error(`needs ${MEGABYTES + 512} MB of free memory`);
    const open = (megabytes) => new PeerProcess(process.execPath, [script, String(megabytes), peer('say_clock')]);
    progress(`filling ${MEGABYTES} MB`);
    const large = open(MEGABYTES);
    const small = open(40);
    const common = { place, runs, slices: 1, samples: SAMPLES, progress, notes: ["launched with selinux: 'off'"] };
    const rows = [
      await compare({
        ...common,
        what: 'longest stall in a launch at 4 GB',
        peerName: 'child_process.spawn at 4 GB',
        target: 0.005,
        ours: large.side('launch-gap'),
        peer: large.side('spawn-gap'),
      }),
      await compare({
        ...common,
        what: 'the call of launch at 4 GB',
        peerName: 'child_process.spawn at 4 GB',
        target: null,
        ours: large.side('launch-call'),
        peer: large.side('spawn-call'),
      }),
      await compare({
        ...common,
        samples: SAMPLES * 5,
        what: 'longest stall in a launch at 4 GB',
        peerName: 'launch at 40 MB',
        target: null,
        ours: large.side('launch-gap'),
        peer: small.side('launch-gap'),
      }),
    ];
    await Promise.all([large.close(), small.close()]);
    return rows;
  },
};
