// A manager that stops in the middle of a launch and goes on when it is told to. One launch a line of standard input,
// `{ options, path, args, marker, pause }`; what becomes of it is said on standard output, a JSON object a line, each
// of which waits for a line in answer:
//
//   { "at": "build" }     between the first decision and the second one with all that follows
//   { "at": "paused" }    with --test-addon, in the native call that `pause` named
//   { "running": … }      it runs until the answer comes: `kill` kills it; `{ "ended": … }` says how it ended
//   { "error": … }        it does not
import { once } from 'node:events';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const PAUSE = -2;
const faults = process.argv.includes('--test-addon') ? (await import('./test-addon.mjs')).faults : undefined;
const { launch } = await import('vm-entrypoint');

const say = (message) => writeSync(1, `${JSON.stringify(message)}\n`);
let heard = '';
/** The next line, which nothing else in this thread happens before. */
function hear() {
  const chunk = Buffer.alloc(65536);
  while (!heard.includes('\n')) {
    const size = readSync(0, chunk);
    if (size === 0) process.exit(0);
    heard += chunk.toString('utf8', 0, size);
  }
  const line = heard.slice(0, heard.indexOf('\n'));
  heard = heard.slice(line.length + 1);
  return line;
}
function stop(message) {
  say(message);
  return hear();
}

async function one({ options, path, args, marker, pause }) {
  const out = marker === undefined ? 'ignore' : openSync(marker, 'a');
  let settled = false;
  const launching = launch({
    stdio: ['ignore', out, 'ignore'],
    ...options,
    emulator: {
      path,
      build() {
        stop({ at: 'build' });
        if (pause) faults.arm(pause.call, pause.nth ?? 0, PAUSE, pause.lasting ?? false);
        return { args };
      },
    },
  }).finally(() => {
    settled = true;
  });
  launching.catch(() => {});
  while (pause && !settled) {
    await sleep(2);
    if (!faults.paused()) continue;
    stop({ at: 'paused' });
    faults.release();
  }
  try {
    const vm = await launching;
    const ended = once(vm, 'close');
    const how = stop({ running: { pid: vm.pid, context: vm.context, decision: vm.decision } });
    if (how === 'kill') vm.kill('SIGKILL');
    const [code, signal] = await ended;
    stop({ ended: { code, signal } });
  } catch ({ name, code, message, decision }) {
    stop({ error: { name, code, message, decision } });
  } finally {
    faults?.clear();
    if (out !== 'ignore') closeSync(out);
  }
}

say({ ready: true });
for (;;) await one(JSON.parse(hear()));
