/**
 * The client of the swap attack: starts VMs from one image, several at a time, and writes one line of JSON about each.
 * Runs in the client's domain. Argument: the options as JSON.
 */

import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { command, launch } from 'vm-entrypoint';

const { path, emulator, launches, concurrency, milliseconds } = JSON.parse(process.argv[2] ?? '');

async function start() {
  /** When the decision was over, and nothing of the VM was there yet. */
  let ready = 0n;
  const args = (/** @type {import('../../../../types/public.js').EmulatorInput} */ input) => {
    // Gives the attacker up to a millisecond more between the decision and the second look.
    const end = process.hrtime.bigint() + BigInt(Math.floor(Math.random() * 1_000_000));
    ready = process.hrtime.bigint();
    while (process.hrtime.bigint() < end);
    return [String(input.disks[0]?.files[0].fd)];
  };
  try {
    const vm = await launch({
      disks: [{ path, format: 'raw' }],
      emulator: command({ path: emulator, args }),
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const closed = once(vm, 'close');
    const report = await text(vm.stdout ?? []);
    const [code] = await closed;
    const [disk] = vm.decision.checks.filter(({ question }) => question === 'read-disk');
    return {
      outcome: code === 0 ? 'started' : `exit status ${code ?? vm.signalCode}`,
      context: vm.context,
      decision: vm.decision.vmContext,
      decided: disk?.target,
      ready: String(ready),
      report,
    };
  } catch (error) {
    // A system error says more with the call that failed.
    const outcome = [error.code ?? error.name, error.syscall].filter(Boolean).join(' ');
    return { outcome, message: error.message };
  }
}

let left = launches;
const end = performance.now() + milliseconds;
async function work() {
  while (left > 0 && performance.now() < end) {
    left--;
    process.stdout.write(`${JSON.stringify(await start())}\n`);
  }
}
await Promise.all(Array.from({ length: concurrency }, work));
