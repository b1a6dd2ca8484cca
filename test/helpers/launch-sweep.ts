// A whole launch, from the call to the exit that is reported, with each of its calls made to fail in turn.
import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import type { Test } from 'tap';
import { children, eventually, openDescriptors } from './launching.js';
import { faults } from './test-addon.js';

function threads(): string[] {
  return readdirSync('/proc/self/task')
    .flatMap((task) => {
      try {
        return [readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim()];
      } catch {
        return []; // it has just ended
      }
    })
    .sort();
}

/** What this process has that a launch might leave behind. */
export function belongings(): { descriptors: string[]; children: string[]; threads: string[] } {
  return { descriptors: openDescriptors(), children: children(), threads: threads() };
}

/** Waits until there is nothing but what was there `before`. */
export async function nothingIsLeft(t: Test, before: ReturnType<typeof belongings>, what: string): Promise<void> {
  const text = JSON.stringify(before);
  if (!(await eventually(() => JSON.stringify(belongings()) === text))) t.same(belongings(), before, what);
}

/** Makes what is there once for the whole process come into being: threads of Node, the reaper of the addon. */
export async function warmUp(run: () => Promise<unknown>): Promise<void> {
  await readFile('/dev/null');
  faults.clear();
  // Lasting, so that the process can be watched by nobody and goes to the reaper.
  faults.arm('uv_poll_start', 0, constants.errno.EIO, true);
  await run().catch(() => {});
  faults.clear();
  for (let i = 0; i < 3; i++) await run();
  await eventually(() => children().length === 0);
}

/** How the error of a launch calls the call that fault injection knows by this name. */
const REPORTED: Readonly<Record<string, readonly string[]>> = {
  reopen: ['openat'],
  getxattr: ['fgetxattr'],
  'child:tie': ['fcntl'],
  'child:hold': ['socketpair', 'fcntl'],
  'child:ambient': ['prctl'],
  'child:cgroup': ['write cgroup.procs'],
  'child:sigmask': ['rt_sigprocmask'],
  'child:exec-context-open': ['openat2 /proc/thread-self/attr/exec'],
  'child:exec-context-write': ['write /proc/thread-self/attr/exec'],
};

export interface Failure {
  readonly call: string;
  readonly nth: number;
  readonly errno: number;
  readonly error: NodeJS.ErrnoException & { readonly spawnargs?: readonly string[] };
}

/** What is wrong with the error that came of `errno` in `call`; `undefined` when it is as it has to be. */
export function complaintAbout({ call, errno, error }: Failure): string | undefined {
  // The wait after the exit: that it has ended is known, and all else is in order.
  if (call === 'waitid' && error.code === UNKNOWN_EXIT) return undefined;
  const code = Object.entries(constants.errno).find(([, number]) => number === errno)?.[0];
  const inChild = call.startsWith('child:');
  const expected = inChild
    ? { name: 'LaunchError', code: call.startsWith('child:exec-') ? 'ERR_LAUNCH_CONTEXT' : 'ERR_LAUNCH_EXEC' }
    : { name: 'SystemError', code };
  if (call === 'child:execveat') expected.code = 'ERR_LAUNCH_EXEC';
  const syscalls = REPORTED[call] ?? [inChild ? call.slice('child:'.length) : call];
  const right =
    error.name === expected.name &&
    error.code === expected.code &&
    error.errno === -errno &&
    syscalls.includes(error.syscall ?? '') &&
    (!inChild || Array.isArray(error.spawnargs));
  return right ? undefined : `${error.name} ${error.code} ${error.errno} ${error.syscall}: ${error.message}`;
}

export interface Sweep {
  /** One launch: undefined once it has come to the end that it has to come to. */
  readonly run: () => Promise<Error | undefined>;
  readonly errnos?: readonly number[];
  /** Only these calls, of all that are made. */
  readonly only?: RegExp;
  /** Calls without which the launch is still a right one: in how many places, and why. */
  readonly harmless: Readonly<Record<string, readonly [places: number, because: string]>>;
}

/** For a VM that has ended, and nobody can say how. */
export const UNKNOWN_EXIT = 'ERR_TEST_UNKNOWN_EXIT';

/** Returns the names of the calls that were made to fail, each with how often the launch failed of it. */
export async function sweep(t: Test, options: Sweep): Promise<Map<string, number>> {
  const { run, errnos = [constants.errno.EIO], only = /^/, harmless } = options;
  await warmUp(run);
  faults.clear();
  t.equal(await run(), undefined);
  const calls = Object.entries(faults.calls()).filter(([call]) => only.test(call));
  const before = belongings();
  const failed = new Map<string, number>();
  for (const [call, count] of calls) {
    failed.set(call, 0);
    const survived = new Set<number>();
    for (let nth = 0; nth < count; nth++) {
      for (const errno of errnos) {
        const what = `${call}[${nth}] errno ${errno}`;
        faults.clear();
        faults.arm(call, nth, errno);
        const error = (await run()) as Failure['error'] | undefined;
        const reached = (faults.calls()[call] ?? 0) > nth;
        faults.clear();
        if (error !== undefined) {
          failed.set(call, (failed.get(call) ?? 0) + 1);
          const wrong = complaintAbout({ call, nth, errno, error });
          if (wrong !== undefined) t.fail(`${what}: ${wrong}`);
        } else if (reached) {
          survived.add(nth);
        }
        await nothingIsLeft(t, before, `${what}: nothing is left`);
        const next = await run();
        if (next !== undefined) t.fail(`${what}: the next launch fails with ${next.message}`);
      }
    }
    const [places, because] = harmless[call] ?? [0, 'it has to fail'];
    t.equal(survived.size, places, `${call}: ${because}`);
  }
  for (const call of Object.keys(harmless)) t.ok(failed.has(call), `${call} is called`);
  return failed;
}
