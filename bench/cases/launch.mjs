// From the call of launch until the started program runs.
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setfilecon } from '../../dist/selinux.js';
import { CLIENT, EMULATOR, makeImage, VM } from '../contexts.mjs';
import { compare, PeerProcess } from '../harness.mjs';

const script = fileURLToPath(new URL('launch_process.mjs', import.meta.url));

export default {
  places: ['host', 'lab'],
  about: 'launch to the first statement of the program, beside vfork and exec from C',
  async measure({ runs, place, progress, peer }) {
    const lab = place === 'lab';
    const made = [];
    const started = [];
    // In the lab both sides run in the client's domain. What it may reach is in the policy: files of
    // /usr/local/bin and of /tmp itself, not of a directory of ours in there.
    const start = (program, args) => {
      const side = lab ? new PeerProcess('runcon', [CLIENT, program, ...args]) : new PeerProcess(program, args);
      started.push(side);
      return side;
    };
    try {
      const directory = lab ? '/tmp' : mkdtempSync(join(tmpdir(), 'vm-entrypoint-bench-'));
      if (!lab) made.push(directory);
      const disk = join(directory, 'vm-entrypoint-bench.raw');
      const programs = lab ? '/usr/local/bin' : directory;
      const plain = join(programs, 'vm-entrypoint-say-clock');
      const emulator = join(programs, 'vm-entrypoint-bench-vmm');
      made.push(plain, emulator, disk);
      for (const path of [plain, emulator]) copyFileSync(peer('say_clock'), path);
      if (lab) {
        setfilecon(plain, 'system_u:object_r:bin_t:s0');
        setfilecon(emulator, EMULATOR);
      }
      makeImage(disk, lab ? undefined : null);

      const ours = start(process.execPath, [script, disk, emulator, lab ? 'require' : 'off']);
      const spawn = (...options) => start(peer('peer_spawn'), options);
      const mode = lab ? 'labelled, decided, in the domain that policy chose, verified' : "selinux: 'off'";
      const common = { place, runs, progress, slices: 4, samples: 8, notes: [mode] };
      const rows = [
        await compare({
          ...common,
          what: 'launch until the program runs',
          peerName: 'vfork and exec until the program runs',
          target: 1.3,
          ours: ours.side('running'),
          peer: spawn(plain),
        }),
        await compare({
          ...common,
          what: 'launch until the caller has the VM',
          peerName: 'vfork until it returns (exec is done)',
          target: null,
          ours: ours.side('ready'),
          peer: spawn('--returned', plain),
        }),
      ];
      if (lab) {
        rows.push(
          await compare({
            ...common,
            what: 'launch until the program runs',
            peerName: 'setexeccon, vfork and exec, into the same domain',
            target: null,
            ours: ours.side('running'),
            peer: spawn('--context', VM, emulator),
          }),
        );
      }
      for (const side of started.splice(0)) await side.close();
      return rows;
    } finally {
      for (const side of started) side.child.kill();
      for (const path of made) rmSync(path, { recursive: true, force: true });
    }
  },
};
