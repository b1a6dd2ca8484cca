// Launches a program and says how long that took. A process of its own because in the lab it has to
// run in the client's domain, which may launch and cannot prepare files.
//
//   node launch_process.mjs DISK PROGRAM require|off
//
//   stdin   KIND SAMPLES BATCH    KIND: running (until the program's first statement, by its own
//                                 clock) or ready (until the caller has its VirtualMachine)
//   stdout  N N N …               nanoseconds
import { createInterface } from 'node:readline';
import { command, launch } from '../../dist/index.js';

const [disk, program, selinux] = process.argv.slice(2);
const request = {
  disks: [{ path: disk, format: 'raw' }],
  emulator: command({ path: program }),
  stdio: ['ignore', 'pipe', 'ignore'],
  selinux,
};

async function once() {
  const before = process.hrtime.bigint();
  const vm = await launch(request);
  const ready = process.hrtime.bigint() - before;
  if ((vm.context === null) !== (selinux === 'off')) throw new Error(`runs in ${vm.context}`);
  let answer = '';
  vm.stdout.setEncoding('utf8').on('data', (text) => {
    answer += text;
  });
  const [code, signal] = await new Promise((resolve, reject) => {
    vm.on('error', reject);
    vm.on('close', (...how) => resolve(how));
  });
  if (code !== 0 || !/^\d+\n$/.test(answer))
    throw new Error(`${program} ended with ${signal ?? code}, said '${answer}'`);
  return { running: Number(BigInt(answer) - before), ready: Number(ready) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const [kind, samples, batch] = line.split(' ');
  await once();
  const numbers = [];
  for (let i = 0; i < Number(samples); i++) {
    let sum = 0;
    for (let j = 0; j < Number(batch); j++) sum += (await once())[kind];
    numbers.push(sum / Number(batch));
  }
  console.log(numbers.join(' '));
}
