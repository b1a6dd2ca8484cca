// Images as a program meets them: each hostile one is refused with its code before anything else is
// said about it, and correct ones give the chain's members to the decision.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { writeChain, writeHostileImages, writeImage } from '../fixtures/images.js';
import { startFakeSelinux } from '../helpers/fake-selinux.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
const { decide, decideAsync } = await import('../../lib/index.js');
const selinux = await import('../../lib/selinux.js');

const directory = mkdtempSync(join(tmpdir(), 'vm-entrypoint-images-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

t.test('hostile images are refused', async (t) => {
  const before = openDescriptors();
  for (const { name, path, format, code } of writeHostileImages(directory)) {
    const request = { disks: [{ path, format }], selinux: 'off' } as const;
    const expected = { name: 'DiskError', code, path: String, message: /\S/ };
    t.throws(() => decide(request), expected, name);
    await t.rejects(decideAsync(request), expected, `${name}, off the event loop`);
  }
  t.equal(openDescriptors(), before, 'and nothing stays open');
});

t.test('a missing image is a system error with its path', async (t) => {
  const path = join(directory, 'nowhere');
  for (const format of ['raw', 'qcow2'] as const) {
    t.throws(() => decide({ disks: [{ path, format }], selinux: 'off' }), { code: 'ENOENT', syscall: 'openat', path });
  }
});

t.test('a qcow2 header in a raw image changes nothing', async (t) => {
  const path = writeImage(join(directory, 'guest.raw'), { backing: '/etc/shadow', backingFormat: 'raw' });
  t.equal(decide({ disks: [{ path, format: 'raw' }], selinux: 'off' }).allowed, true);
});

t.test('every member of a chain is asked about, the top alone as writable', async (t) => {
  const label = (path: string, context: string): boolean => {
    try {
      execFileSync('setfattr', ['-n', 'security.selinux', '-v', context, path], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  };
  const chain = mkdtempSync(join(directory, 'chain-'));
  const base = join(chain, 'base.raw');
  const data = join(chain, 'data.raw');
  for (const path of [base, data]) writeFileSync(path, 'x');
  const top = writeImage(join(chain, 'top.qcow2'), {
    backing: 'base.raw',
    backingFormat: 'raw',
    incompatible: 4n,
    dataFile: 'data.raw',
  });
  const context = 'system_u:object_r:disk_t:s0';
  if (![top, base, data].every((path) => label(path, context))) {
    t.skip('labels can be set by root only');
    return;
  }
  const decision = decide({ disks: [{ path: top, format: 'qcow2' }], client: selinux.getcon() });
  const asked = decision.checks.filter(({ question }) => question === 'read-disk');
  const writable = (path: string): boolean | undefined =>
    asked.find(({ subject }) => subject === path)?.requested.includes('write');
  t.same([top, data, base].map(writable), [true, true, false]);

  // Who is not labelled cannot be decided about.
  execFileSync('setfattr', ['-x', 'security.selinux', base]);
  t.throws(() => decide({ disks: [{ path: top, format: 'qcow2' }] }), { code: 'ERR_DISK_UNLABELED', path: base });
});

t.test('descriptors', async (t) => {
  const path = writeImage(join(directory, 'descriptor.qcow2'), { backing: 'base.raw', backingFormat: 'raw' });
  const fd = openSync(path, 'r+');
  const readOnly = openSync(path, 'r');
  t.teardown(() => [fd, readOnly].forEach(closeSync));
  t.throws(() => decide({ disks: [{ fd, format: 'qcow2' }], selinux: 'off' }), {
    code: 'ERR_DISK_BACKING_CHAIN',
    message: /without a path/,
  });
  t.throws(() => decide({ disks: [{ fd: readOnly, format: 'raw' }], selinux: 'off' }), {
    code: 'EACCES',
    message: /reading only/,
  });
  t.equal(decide({ disks: [{ fd: readOnly, format: 'raw', readOnly: true }], selinux: 'off' }).allowed, true);
  // It is the file that counts, not its name.
  renameSync(path, `${path}.away`);
  t.equal(decide({ disks: [{ fd, format: 'raw' }], selinux: 'off' }).allowed, true);
});

t.test('the longest chain that is followed', async (t) => {
  const longest = mkdtempSync(join(directory, 'longest-'));
  const path = writeChain(longest, 64);
  t.equal(decide({ disks: [{ path, format: 'qcow2' }], selinux: 'off' }).allowed, true);
});
