// Every system call and every libselinux call behind a decision, made to fail one after the other: never
// a grant that would not have been one, an error of the right class, nothing left open, and the next
// decision is right again.
import { readdirSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { StartRequest } from '../../types/public.js';
import { startFakeSelinux } from '../helpers/fake-selinux.js';
import { faults } from '../helpers/test-addon.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
const { decide, decideAsync, decideMany, prepareDecision, flushCache, internContext, accessQuestion } = await import(
  '../../lib/decide.js'
);
const { VmEntrypointError } = await import('../../lib/errors.js');
const selinux = await import('../../lib/selinux.js');

const CLIENT = 'user_u:user_r:client_t:s0-s0:c0.c7';
const directory = t.testdir({});
let labelled = true;
const file = (name: string, type: string): string => {
  const path = join(directory, name);
  writeFileSync(path, 'x'.repeat(4096));
  try {
    selinux.setfilecon(path, `system_u:object_r:${type}:s0`);
  } catch {
    labelled = false;
  }
  return path;
};
const disk = file('disk.raw', 'disk_t');
const data = file('data.raw', 'data_t');
const lib = file('lib.raw', 'lib_t');
const emulator = file('qemu', 'qemu_exec_t');

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;
const request = (path: string): StartRequest =>
  labelled
    ? { disks: [{ path, format: 'raw', readOnly: true }], client: CLIENT, emulator }
    : {
        disks: [{ context: `system_u:object_r:${path.match(/(\w+)\.raw/)?.[1]}_t:s0`, format: 'raw', readOnly: true }],
        client: CLIENT,
        emulator: { context: 'system_u:object_r:qemu_exec_t:s0' },
      };

interface Operation {
  readonly name: string;
  /** True, false: allowed or not. */
  run(path: string): boolean | Promise<boolean>;
}
const prepared = new Map([disk, data, lib].map((path) => [path, prepareDecision(request(path))]));
const operations: Operation[] = [
  { name: 'decide', run: (path) => decide(request(path)).allowed },
  { name: 'decideAsync', run: async (path) => (await decideAsync(request(path))).allowed },
  { name: 'prepareDecision', run: (path) => prepareDecision(request(path)).verdict() === 0 },
  { name: 'verdict', run: (path) => prepared.get(path)?.verdict() === 0 },
  { name: 'prepared decide', run: (path) => prepared.get(path)?.decide().allowed === true },
  ...(labelled ? [{ name: 'verdictOn', run: (path: string) => prepared.get(disk)?.verdictOn(path) === 0 }] : []),
  {
    name: 'decideMany',
    run: async (path) => {
      const { disks, ...common } = request(path);
      const result = await decideMany(disks, common, { threads: 1 });
      const error = result.error(0);
      if (error !== null) throw error;
      // The same asked again, as the accessor does it.
      return result.allowed(0) && result.decision(0).allowed;
    },
  },
  {
    name: 'accessQuestion',
    run: (path) => {
      const type = path.match(/(\w+)\.raw/)?.[1];
      const vm = internContext('user_u:user_r:vm_t:s0');
      return accessQuestion('vm', ['entrypoint']).denied(internContext(`system_u:object_r:${type}_t:s0`), vm) === 0;
    },
  },
];

for (const { name, run } of operations) {
  t.test(name, async (t) => {
    // From a cold cache, so that every question goes all the way.
    const outcome = async (path: string): Promise<boolean | Error> => {
      flushCache();
      try {
        return await run(path);
      } catch (error) {
        return error as Error;
      }
    };
    for (const path of [disk, data, lib]) {
      const expected = await outcome(path);
      t.equal(expected, path === disk, path);
      faults.clear();
      await outcome(path);
      // selinux_flush_class_cache(3) returns nothing: it cannot fail.
      const calls = Object.entries(faults.calls()).filter(([call]) => call !== 'selinux_flush_class_cache');
      t.ok(calls.length > 0);
      const descriptors = openDescriptors();
      let failures = 0;
      for (const [call, count] of calls) {
        for (let nth = 0; nth < count; nth++) {
          for (const errno of [
            constants.errno.EIO,
            constants.errno.EACCES,
            constants.errno.EINVAL,
            constants.errno.ENOMEM,
          ]) {
            const what = `${path} ${call}[${nth}] ${errno}`;
            faults.clear();
            faults.arm(call, nth, errno);
            const result = await outcome(path);
            faults.clear();
            // A failed look never turns into a grant. (A grant may survive: what failed was only a look at
            // why something else was refused, or was tried again.)
            if (result === true) t.equal(expected, true, what);
            if (result instanceof Error) {
              failures++;
              if (!(result instanceof VmEntrypointError)) t.fail(`${what}: ${result.name} ${result.message}`);
              else if (!/^(E[A-Z]+|ERR_[A-Z_]+)$/.test(result.code)) t.fail(`${what}: code ${result.code}`);
            }
          }
          // EIO is never an answer.
          faults.clear();
          faults.arm(call, nth, constants.errno.EIO);
          const result = await outcome(path);
          faults.clear();
          if (result === true) t.fail(`${path} ${call}[${nth}]: still granted`);
        }
      }
      t.ok(failures > 0, `${failures} failures`);
      t.equal(openDescriptors(), descriptors, 'nothing stays open');
      t.equal(await outcome(path), expected, 'and it works again');
    }
  });
}

t.test('the policy lets this process not ask', async (t) => {
  flushCache();
  faults.arm('security_compute_av_flags_raw', 0, constants.errno.EACCES);
  t.throws(() => decide(request(disk)), {
    code: 'ERR_SELINUX_NOT_PERMITTED',
    errno: -constants.errno.EACCES,
    message: /compute_av/,
  });
  faults.clear();
});

t.test('a failure in the hot form is not remembered', async (t) => {
  const hot = prepareDecision(request(data));
  flushCache();
  faults.arm('security_compute_av_flags_raw', 1, constants.errno.EIO);
  t.throws(() => hot.verdict(), { code: 'EIO', syscall: 'security_compute_av_flags_raw' });
  faults.clear();
  t.not(hot.verdict(), 0);
  t.not(hot.verdict(), 0);
});
