// Launches that are stopped in the middle: images and programs for them, a manager that can be stopped, and a look at
// what a launch left behind.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { securityGetenforce, setfilecon } from 'vm-entrypoint/selinux';

assert.equal(securityGetenforce(), true, 'this proves nothing unless SELinux enforces');

export const directory = mkdtempSync('/var/tmp/between-');
chmodSync(directory, 0o755);

export const EVERYTHING = 's0-s0:c0.c1023';
export const client = (level, range = EVERYTHING) => `unconfined_u:unconfined_r:vm_${level}_client_t:${range}`;
const MANAGER = `unconfined_u:unconfined_r:vm_manager_t:${EVERYTHING}`;
export const object = (type, range = 's0') => `system_u:object_r:${type}:${range}`;
export const vmContext = (level, range = 's0') => `unconfined_u:unconfined_r:vm_${level}_t:${range}`;

/** A program that may be an emulator. */
export function emulator(
  source,
  { name = source.split('/').at(-1), at = directory, type = 'vm_emulator_exec_t' } = {},
) {
  const path = `${at}/${name}`;
  copyFileSync(source, path);
  chmodSync(path, 0o755);
  setfilecon(path, object(type));
  return path;
}
export function image(name, type, range) {
  const path = `${directory}/${name}.raw`;
  writeFileSync(path, Buffer.alloc(4096));
  setfilecon(path, object(type, range));
  return path;
}
/** Says on stdout how it was started, and then stays. */
export const probe = emulator('/project/build/test/probe_child');

const marker = `${directory}/marker`;
writeFileSync(marker, '');
// Every VM of the example may write there, and opens it no more than its images.
setfilecon(marker, object('vm_data_virtdisk_t'));
/** What programs have said since the last time. Not empty: one ran. */
export function said() {
  const text = readFileSync(marker, 'utf8');
  writeFileSync(marker, '');
  return text;
}

export const contextOf = (pid) => readFileSync(`/proc/${pid}/attr/current`, 'utf8').replace(/[\n\0]*$/, '');

/** Processes whose parent is `pid` or whose program lies in the directory, zombies too. */
export function processesOf(pid) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        if (readlinkSync(`/proc/${name}/exe`).startsWith(directory)) return true;
      } catch {
        // A zombie has no program any more, and others may have ended.
      }
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid;
      } catch {
        return false;
      }
    })
    .map(Number);
}

// One that a failed test has left in the middle of a launch would wait for ever.
const managers = new Set();
after(() => {
  for (const process_ of managers) process_.kill('SIGKILL');
});

/** A process that launches when it is told to, in its own domain (see manager.mjs). */
export class Manager {
  #process;
  #lines;
  pid;

  /**
   * @param {object} [options]
   * @param {string} [options.context] its context
   * @param {string[]} [options.through] a program that executes it, with arguments
   * @param {boolean} [options.forks] that program stays, as its parent
   * @param {boolean} [options.testAddon] with fault injection
   */
  static async start({ context = MANAGER, through = [], forks = false, testAddon = false } = {}) {
    const program = [process.execPath, new URL('./manager.mjs', import.meta.url).pathname];
    const [command, ...args] = [...through, 'runcon', context, ...program, ...(testAddon ? ['--test-addon'] : [])];
    const manager = new Manager();
    manager.#process = spawn(command, args, { cwd: '/project', stdio: ['pipe', 'pipe', 'inherit'] });
    managers.add(manager.#process);
    manager.#process.once('exit', () => managers.delete(manager.#process));
    manager.#lines = createInterface({ input: manager.#process.stdout })[Symbol.asyncIterator]();
    assert.deepEqual(await manager.#hear(), { ready: true });
    manager.pid = forks ? processesOf(manager.#process.pid)[0] : manager.#process.pid;
    return manager;
  }

  async #hear() {
    const { value, done } = await this.#lines.next();
    assert.equal(done, false, 'the manager has ended');
    return JSON.parse(value);
  }
  #say(text) {
    this.#process.stdin.write(`${text}\n`);
  }

  /**
   * One launch, of a program that stays unless `path` and `args` say otherwise. `build` is called between the first
   * decision and the second, `pause.meanwhile` while the launch waits in the native call `pause.call`, as often as it does.
   * Gives `{ error }`, or `{ vm: { pid, context, decision }, end }`; `end('wait')` kills nothing.
   */
  async launch({ options, path = probe, args = ['stay'], build, pause, marked = true }) {
    const { meanwhile, ...where } = pause ?? {};
    const request = { options, path, args, ...(marked && { marker }), ...(pause && { pause: where }) };
    this.#say(JSON.stringify(request));
    for (;;) {
      const { at, running, error } = await this.#hear();
      if (error !== undefined) {
        this.#say('');
        return { error };
      }
      if (running !== undefined) return { vm: running, end: (how) => this.#end(how) };
      if (at === 'build') await build?.();
      else await meanwhile();
      this.#say('');
    }
  }
  async #end(how = 'kill') {
    this.#say(how);
    const { ended, error } = await this.#hear();
    this.#say('');
    assert.equal(error, undefined, JSON.stringify(error));
    return ended;
  }

  async close() {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.stdin.end();
    await ended;
  }

  /** Its launch is allowed, and what runs is what was asked for, in `context`. Gives the decision. */
  async works(request, context) {
    const { error, vm, end } = await this.launch(request);
    assert.equal(error, undefined, JSON.stringify(error));
    assert.equal(vm.context, context);
    assert.equal(contextOf(vm.pid), context, "the kernel's word");
    if (request.marked !== false) {
      let out = '';
      for (let i = 0; i < 200 && !/^end$/m.test(out); i++) {
        await sleep(20);
        out += said();
      }
      assert.match(out, new RegExp(`^current ${context.replaceAll('.', '\\.')}$`, 'm'), "the program's own word");
    }
    assert.deepEqual(await end(), { code: null, signal: 'SIGKILL' });
    assert.deepEqual(processesOf(this.pid), []);
    return vm.decision;
  }

  /** Its launch fails, with this code and name, and nothing has run or runs. Gives the error. */
  async fails(request, code, name) {
    const { error, vm, end } = await this.launch(request);
    if (vm !== undefined) await end();
    assert.equal(vm, undefined, `it runs: ${JSON.stringify(vm)}`);
    assert.equal(error.code, code, JSON.stringify(error));
    assert.equal(error.name, name);
    // Before anything is waited for: what the caller was told must be true then.
    assert.deepEqual(processesOf(this.pid), []);
    assert.equal(said(), '', 'the program ran');
    return error;
  }
}

/** The rules that a refused start's error names as missing. */
export const missing = ({ decision }) =>
  decision.checks.filter(({ denied, permissive }) => denied.length > 0 && !permissive).map(({ rule }) => rule);

/** Calls `look` until it gives something. */
export async function eventually(what, look, ms = 5000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(10)) {
    const value = await look();
    if (value) return value;
  }
  throw new Error(`timed out: ${what}`);
}
