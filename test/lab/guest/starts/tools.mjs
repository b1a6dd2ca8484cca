// What the tests of starts use in the launcher's domain: starts of which it can be told afterwards what ran.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { command, launch } from 'vm-entrypoint';
import { getpidcon } from 'vm-entrypoint/selinux';

export { openSync, readFileSync } from 'node:fs';
export { qemu } from 'vm-entrypoint';

/** A guest that has not said what it should by then is stuck. */
const LIMIT_MS = 100_000;

/** Processes that this one has started and that are still there, as zombies too. */
const children = () =>
  readdirSync('/proc/self/task').flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, 'latin1').split(' ').filter(Boolean),
  );

const failure = ({ name, code, message, decision = null }) => ({ name, code, message, decision });

/**
 * Tries a start with `probe`, a program that reports about itself, in place of the emulator, or with the request's own.
 * What the program writes goes into the file `report` from its first instruction on: if that stays empty, and no
 * process is left, nothing ran.
 */
export async function attempt(request, { probe, report }) {
  const output = openSync(report, 'r+');
  let error = null;
  let context = null;
  try {
    const vm = await launch({
      stdio: ['ignore', output, output],
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL',
      ...request,
      emulator: request.emulator ?? command({ path: probe }),
    });
    context = vm.context;
    if (vm.exitCode === null && vm.signalCode === null) await once(vm, 'exit');
  } catch (thrown) {
    if (typeof thrown.code !== 'string') throw thrown;
    error = failure(thrown);
  } finally {
    closeSync(output);
  }
  return { error, context, children: children(), report: readFileSync(report, 'utf8') };
}

/** The files that a process has open, by path: `r` or `rw`. */
function filesOf(pid) {
  const files = {};
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const path = readlinkSync(`/proc/${pid}/fd/${fd}`);
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1'))[1], 8);
    if (path.startsWith('/') && !path.startsWith('/dev/')) files[path] = (flags & 3) === 0 ? 'r' : 'rw';
  }
  return files;
}

/** Everything that a stream says, from now on. */
export function listen(stream) {
  const heard = { text: '', until };
  let ended = false;
  let look = () => {};
  const add = (chunk) => {
    heard.text += chunk;
    look();
  };
  stream.setEncoding('latin1').on('data', add);
  stream.once('close', () => {
    ended = true;
    look();
  });
  /** Waits until it has said `marker`, which it must do before it ends. */
  function until(marker) {
    return new Promise((resolve, reject) => {
      look = () => {
        if (heard.text.includes(marker)) resolve(heard.text);
        else if (ended) reject(new Error(`'${marker}' never came: ${heard.text}`));
      };
      look();
    });
  }
  return heard;
}

/** Starts a VM that must not end by itself: what it says on stderr becomes this process's. {@link end} it. */
export async function start(request) {
  const vm = await launch({ timeout: LIMIT_MS, killSignal: 'SIGKILL', ...request });
  vm.stderr.setEncoding('utf8').on('data', (text) => process.stderr.write(text));
  closed.set(vm, once(vm, 'close'));
  return vm;
}
const closed = new WeakMap();

/** Ends it if it runs, and waits until all that it said has been heard. */
export async function end(vm) {
  vm.kill('SIGKILL');
  await closed.get(vm);
}

/** Boots a guest until it has said `marker`, and tells what ran then. */
export async function boot(request, marker) {
  const vm = await start(request);
  try {
    const serial = await listen(vm.stdout).until(marker);
    return { serial, context: vm.context, running: getpidcon(vm.pid), files: filesOf(vm.pid), pid: vm.pid };
  } finally {
    await end(vm);
  }
}

/** A QMP monitor: `ask(command, arguments)` gives its answer, events are left out. */
export async function monitor(vm) {
  const socket = vm.channels.qmp;
  let pending = '';
  const waiting = [];
  socket.setEncoding('utf8').on('data', (chunk) => {
    const lines = (pending + chunk).split('\n');
    pending = lines.pop();
    for (const line of lines) {
      const message = JSON.parse(line);
      if (message.event === undefined) waiting.shift()(message);
    }
  });
  const next = () => new Promise((resolve) => waiting.push(resolve));
  const greeting = await next();
  const ask = (execute, args = {}) => {
    socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    return next();
  };
  /** The same with a descriptor for the emulator beside it. */
  const give = (fd, execute, args = {}) => {
    const text = `${JSON.stringify({ execute, arguments: args })}\n`;
    const answer = next();
    const sent = spawnSync('/project/build/test/send_descriptor', ['1', '3', text], {
      stdio: ['ignore', socket._handle.fd, 'inherit', fd],
    });
    if (sent.status !== 0) throw new Error(`the descriptor was not sent: ${sent.status ?? sent.error}`);
    return answer;
  };
  await ask('qmp_capabilities');
  return { greeting, ask, give };
}
