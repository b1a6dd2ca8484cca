// What a VM may begin with, in real starts: every member of an image's chain needs what its first one needs, and what
// a guest wrote into its raw disk is data. What was refused left no trace of a program that ran.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { securityGetenforce, setfilecon } from 'vm-entrypoint/selinux';
import { bootableImage } from '/project/examples/demo/boot-sector.mjs';
import { forgedImage } from './starts/boot-code.mjs';
import { contextOf, inContext, manager } from './starts/in-context.mjs';

const directory = '/var/tmp/chain';
const probe = `${directory}/probe_child`;
const client = contextOf('vm_secret_client_t');
const vmContext = 'unconfined_u:unconfined_r:vm_secret_t:s0';
const marker = '[guest] booted from the lowest image';

assert.equal(securityGetenforce(), true, 'this proves nothing unless SELinux enforces');
mkdirSync(directory, { recursive: true });
copyFileSync('/project/build/test/probe_child', probe);
chmodSync(probe, 0o755);
setfilecon(probe, 'system_u:object_r:vm_emulator_exec_t:s0');

const pathOf = (name) => `${directory}/${name}`;
const label = (name, type) => setfilecon(pathOf(name), `system_u:object_r:${type}:s0`);
const secret = 'vm_secret_virtdisk_t';
const qemuImg = (...args) => execFileSync('qemu-img', args, { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] });

function raw(name, type, content) {
  writeFileSync(pathOf(name), content);
  label(name, type);
  return name;
}
function overlay(name, type, below, format) {
  qemuImg('create', '-q', '-f', 'qcow2', '-b', below, '-F', format, name);
  label(name, type);
  return name;
}
function withDataFile(name, dataName, dataType) {
  qemuImg('convert', '-O', 'qcow2', '-o', `data_file=${dataName},data_file_raw=on`, 'base.raw', name);
  label(name, secret);
  label(dataName, dataType);
  return name;
}

const bootable = bootableImage(marker);
raw('base.raw', secret, bootable);
raw('data.raw', 'vm_data_virtdisk_t', bootable);
raw('sealed.raw', 'vm_sealed_virtdisk_t', bootable);
raw('topsecret.raw', 'vm_topsecret_virtdisk_t', bootable);
const disk = (name, format) => ({ path: pathOf(name), format });

let reports = 0;
/** Tries a start in which a program that reports about itself stands in place of the emulator. */
function attempt(disks) {
  const report = pathOf(raw(`report-${++reports}`, 'vm_data_virtdisk_t', ''));
  const request = { client, disks };
  const outcome = inContext(manager, ({ attempt }, { request, files }) => attempt(request, files), {
    request,
    files: { probe, report },
  });
  assert.deepEqual(outcome.children, [], 'no process is left');
  return outcome;
}
/** A start that policy refuses; gives the checks that did. */
function refused(disks) {
  const { error, report } = attempt(disks);
  assert.equal(error?.name, 'AccessDeniedError', error?.message ?? 'it ran');
  assert.equal(error.code, 'ERR_SELINUX_DENIED');
  assert.equal(error.decision.allowed, false);
  assert.equal(error.decision.enforcing, true);
  assert.equal(report, '', 'nothing ran');
  return { error, checks: error.decision.checks.filter(({ denied }) => denied.length > 0) };
}
const asked = (checks) => checks.map(({ question, subject, denied, rule }) => ({ question, subject, denied, rule }));
const noEntrypoint = (name, type = 'vm_data_virtdisk_t') => ({
  question: 'entrypoint',
  subject: pathOf(name),
  denied: ['entrypoint'],
  rule: `(allow ${type} vm_secret_t (vm (entrypoint)))`,
});
const descriptors = (report) =>
  [...report.matchAll(/^fd (\d+) (\d+:\d+) /gm)].map(([, fd, identity]) => ({ fd: Number(fd), identity }));
const identity = (name) => {
  const { dev, ino } = statSync(pathOf(name));
  return `${dev}:${ino}`;
};

test('a disk that may start and be read runs, and reports: what the refusals below are held against', () => {
  const { error, context, report } = attempt([disk('base.raw', 'raw')]);
  assert.equal(error, null, error?.message);
  assert.equal(context, vmContext);
  assert.match(report, /^end$/m);
  assert.match(report, new RegExp(`^current ${vmContext}$`, 'm'));
});

test('a disk that is readable and no entrypoint is refused, and nothing runs', () => {
  const { error, checks } = refused([disk('data.raw', 'raw')]);
  assert.deepEqual(asked(checks), [noEntrypoint('data.raw')]);
  assert.equal(error.decision.vmContext, vmContext);
  assert.match(error.message, /denied \{ entrypoint \} .*tclass=vm; missing: \(allow vm_data_virtdisk_t vm_secret_t /);
  // Readable it is: those questions were asked and granted.
  const read = error.decision.checks.find(({ question }) => question === 'read-disk');
  assert.deepEqual(read.requested.toSorted(), ['getattr', 'lock', 'open', 'read', 'write']);
});

test('a disk that is an entrypoint and not readable for the client is refused, and nothing runs', () => {
  const { error, checks } = refused([{ ...disk('sealed.raw', 'raw'), readOnly: true }]);
  assert.deepEqual(asked(checks), [
    {
      question: 'read-disk',
      subject: pathOf('sealed.raw'),
      denied: ['open', 'read'],
      rule: '(allow vm_secret_client_t vm_sealed_virtdisk_t (file (open read)))',
    },
  ]);
  const entrypoint = error.decision.checks.find(({ question }) => question === 'entrypoint');
  assert.deepEqual([entrypoint.requested, entrypoint.denied], [['entrypoint'], []]);
});

for (const [what, make, expected] of [
  [
    'whose backing file is no entrypoint',
    () => overlay('over-data.qcow2', secret, 'data.raw', 'raw'),
    [noEntrypoint('data.raw')],
  ],
  [
    'with such a file at its end, two images below',
    () => overlay('far-over-data.qcow2', secret, overlay('middle-data.qcow2', secret, 'data.raw', 'raw'), 'qcow2'),
    [noEntrypoint('data.raw')],
  ],
  [
    'with such an image in its middle',
    () =>
      overlay('over-middle.qcow2', secret, overlay('middle.qcow2', 'vm_data_virtdisk_t', 'base.raw', 'raw'), 'qcow2'),
    [noEntrypoint('middle.qcow2')],
  ],
  [
    'whose external data file is no entrypoint',
    () => withDataFile('external-data.qcow2', 'external-data.raw', 'vm_data_virtdisk_t'),
    [noEntrypoint('external-data.raw')],
  ],
]) {
  test(`a chain of a bootable type ${what} is refused by that file's name, and nothing runs`, () => {
    const { error, checks } = refused([disk(make(), 'qcow2')]);
    assert.deepEqual(asked(checks), expected);
    assert.match(error.message, /\(vm \(entrypoint\)\)/);
    // The domain is that of the first image, which by itself would be allowed.
    assert.equal(error.decision.vmContext, vmContext);
  });
}

test('a chain over an image of a higher level is refused for reading, entrypoint and descriptor alike', () => {
  const { checks } = refused([disk(overlay('over-topsecret.qcow2', secret, 'topsecret.raw', 'raw'), 'qcow2')]);
  assert.deepEqual(
    checks.map(({ question, subject }) => [question, subject]),
    ['read-disk', 'entrypoint', 'inherit'].map((question) => [question, pathOf('topsecret.raw')]),
  );
});

/** Boots a real machine from a chain. */
const boot = (disks, until) =>
  inContext(
    manager,
    ({ boot, qemu }, [request, until]) => boot({ ...request, emulator: qemu({ memory: 64 }) }, until),
    [{ client, disks }, until],
  );
/** The images among the files that QEMU had open. */
const images = (files) => Object.fromEntries(Object.entries(files).filter(([path]) => path.startsWith(directory)));

test('a chain of three boots, its lower images open for reading only', () => {
  const top = overlay('top.qcow2', secret, overlay('lower.qcow2', secret, 'base.raw', 'raw'), 'qcow2');
  const seen = boot([disk(top, 'qcow2')], marker);
  assert.deepEqual([seen.context, seen.running], [vmContext, vmContext]);
  assert.deepEqual(images(seen.files), {
    [pathOf('top.qcow2')]: 'rw',
    [pathOf('lower.qcow2')]: 'r',
    [pathOf('base.raw')]: 'r',
  });
});

test('an image with an external data file boots', () => {
  const seen = boot([disk(withDataFile('external.qcow2', 'external.raw', secret), 'qcow2')], marker);
  assert.equal(seen.running, vmContext);
  assert.deepEqual(images(seen.files), { [pathOf('external.qcow2')]: 'rw', [pathOf('external.raw')]: 'rw' });
});

// A guest makes a qcow2 of its raw disk, with a file of the host for it to read. Nobody here may open that file, so
// an attempt would be in the kernel's log.
raw('host-file.raw', 'shadow_t', Buffer.alloc(65536, 'a secret of the host\n'));
raw('forged.raw', secret, forgedImage(pathOf('host-file.raw'), '[guest] and this is no header'));
/** Calls `work`, and tells whether the kernel refused anything about the host's file meanwhile. */
function watched(work) {
  execFileSync('dmesg', ['--clear']);
  const result = work();
  const log = execFileSync('dmesg', { encoding: 'utf8' });
  return { result, touched: /avc:\s+denied .*shadow_t/.test(log) };
}

test('the header that the guest wrote is one that would be followed: with the wrong format it leads to the file', () => {
  qemuImg('dd', '-f', 'qcow2', '-O', 'raw', 'bs=512', 'count=1', `if=forged.raw`, 'of=leaked.raw');
  assert.match(readFileSync(pathOf('leaked.raw'), 'latin1'), /^a secret of the host/);
  const { result, touched } = watched(() => attempt([disk('forged.raw', 'qcow2')]));
  assert.equal(result.report, '');
  assert.match(result.error.message, /host-file\.raw/);
  assert.equal(touched, true, 'the attempt is in the log');
});

test('as raw it is data: the program has one descriptor, of the disk, and the file was not even looked at', () => {
  const { result, touched } = watched(() => attempt([disk('forged.raw', 'raw')]));
  assert.equal(result.error, null, result.error?.message);
  const given = descriptors(result.report);
  assert.deepEqual(
    given.map(({ fd }) => fd),
    [0, 1, 2, 10],
  );
  assert.equal(given.at(-1).identity, identity('forged.raw'));
  assert.ok(given.every((one) => one.identity !== identity('host-file.raw')));
  assert.equal(touched, false);
});

test('a real machine boots from it, reads the header as the bytes they are, and QEMU opens nothing else', () => {
  const { result, touched } = watched(() => boot([disk('forged.raw', 'raw')], 'no header'));
  assert.match(result.serial, /QFI\[guest\] and this is no header/);
  assert.equal(result.running, vmContext);
  assert.deepEqual(images(result.files), { [pathOf('forged.raw')]: 'rw' });
  assert.equal(touched, false);
});
