// qemu(): its command line, and real machines that boot from descriptors and from nothing else.
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { EmulatorFile, EmulatorInput, LaunchOptions } from '../../types/public.js';
import { textOf } from '../helpers/launching.js';

const { launch } = await import('../../lib/launch.js');
const { qemu } = await import('../../lib/emulators/qemu.js');

const directory = t.testdir({});
const binary = '/usr/bin/qemu-system-x86_64';
const noQemu =
  existsSync(binary) && spawnSync('qemu-img', ['--version']).status === 0
    ? false
    : 'needs qemu-system-x86 and qemu-utils';

const file = (fd: number, more: Partial<EmulatorFile> = {}): EmulatorFile => ({
  fd,
  path: `/images/${fd}`,
  format: 'raw',
  readOnly: true,
  backing: null,
  dataFile: null,
  blockDevice: false,
  sizeBytes: 4096n,
  ...more,
});
const input = (more: Partial<EmulatorInput> = {}): EmulatorInput => ({
  disks: [{ boot: true, files: [file(10, { readOnly: false })] }],
  kernel: null,
  initrd: null,
  firmware: null,
  state: null,
  action: 'start',
  channels: {},
  ...more,
});
const values = (args: readonly string[], option: string): string[] =>
  args.flatMap((arg, i) => (arg === option ? [args[i + 1] as string] : []));
const nodes = (args: readonly string[]): Record<string, unknown>[] =>
  values(args, '-blockdev').map((text) => JSON.parse(text) as Record<string, unknown>);

t.test('the command line says everything that QEMU would otherwise choose', async (t) => {
  const { args, reopens } = qemu({ binary }).build(input());
  for (const option of ['-nodefaults', '-no-user-config']) t.ok(args.includes(option), option);
  t.same(values(args, '-machine'), ['q35']);
  t.same(values(args, '-accel'), ['kvm']);
  t.same(values(args, '-cpu'), ['host']);
  t.same(values(args, '-m'), ['512M']);
  t.same(values(args, '-smp'), ['1']);
  t.same(values(args, '-display'), ['none']);
  t.same(values(args, '-boot'), ['strict=on']);
  t.same(values(args, '-name'), ['process=qemu-system-x86']);
  t.match(values(args, '-sandbox')[0], /^on,.*spawn=deny/);
  t.same(values(args, '-device'), ['virtio-blk-pci,drive=disk0-0,bootindex=1']);
  t.same(reopens, []);
});

t.test('options', async (t) => {
  const { args } = qemu({
    binary: '/opt/qemu-system-aarch64',
    accel: 'tcg,thread=multi',
    memory: 64,
    cpus: 3,
    cpu: 'max',
    name: 'a,b',
    serial: 'none',
    defaults: true,
    sandbox: false,
    diskDevice: 'virtio-blk-device',
    locking: 'off',
    monitor: true,
    extraArguments: ['-S'],
  }).build(input({ channels: { qmp: 3 } }));
  t.same(values(args, '-machine'), ['virt']);
  t.same(values(args, '-accel'), ['tcg,thread=multi']);
  t.same(values(args, '-m'), ['64M']);
  t.same(values(args, '-smp'), ['3']);
  t.same(values(args, '-name'), ['guest=a,,b,process=qemu-system-aar']);
  t.same(values(args, '-serial'), ['none']);
  t.notOk(args.includes('-nodefaults'));
  t.notOk(args.includes('-sandbox'));
  t.same(values(args, '-device'), ['virtio-blk-device,drive=disk0-0,bootindex=1']);
  t.same(nodes(args)[0]?.locking, 'off');
  t.same(values(args, '-chardev'), ['socket,id=qmp0,fd=3']);
  t.equal(args.at(-1), '-S');
});

t.test('every member of a chain is a node, and every reference is explicit', async (t) => {
  const files = [
    file(10, { format: 'qcow2', readOnly: false, backing: 1, dataFile: 2 }),
    file(11, { format: 'qcow2' }),
    file(12, { readOnly: false, blockDevice: true }),
  ] as const;
  const { args } = qemu({ binary }).build(input({ disks: [{ boot: true, files: [...files] }] }));
  t.same(values(args, '-add-fd'), ['fd=11,set=11', 'fd=12,set=12', 'fd=10,set=10']);
  const byName = new Map(nodes(args).map((node) => [node['node-name'], node]));
  t.match(byName.get('disk0-0'), { driver: 'qcow2', file: 'disk0-0-file', backing: 'disk0-1', 'data-file': 'disk0-2' });
  t.strictSame(byName.get('disk0-1')?.backing, null, 'none, and not: as the header says');
  t.equal(byName.get('disk0-1')?.['read-only'], true);
  t.match(byName.get('disk0-2-file'), { driver: 'host_device', filename: '/dev/fdset/12', 'read-only': false });
  t.notOk(
    args.some((arg) => arg.includes('/images/')),
    'no path of an image',
  );
});

t.test('kernel, initrd, firmware and state', async (t) => {
  const emulator = qemu({ binary, append: 'console=ttyS0', accel: 'tcg' });
  const { args, reopens } = emulator.build(
    input({ disks: [], kernel: file(11), initrd: file(12), firmware: file(13), state: file(14) }),
  );
  t.same(values(args, '-kernel'), ['/proc/self/fd/11']);
  t.same(values(args, '-initrd'), ['/proc/self/fd/12']);
  t.same(values(args, '-append'), ['console=ttyS0']);
  t.same(values(args, '-machine'), ['q35,pflash0=firmware']);
  t.same(values(args, '-incoming'), ['fd:14']);
  t.same(reopens, [11, 12], 'what QEMU opens a second time');
  t.throws(() => emulator.build(input()), { code: 'ERR_INVALID_ARG_VALUE' }, 'append without a kernel');
});

t.test('wrong options', async (t) => {
  const wrong: [object, string][] = [
    [{ binary: 'qemu-system-x86_64' }, 'ERR_INVALID_ARG_VALUE'],
    [{ memory: 0 }, 'ERR_OUT_OF_RANGE'],
    [{ memory: '512' }, 'ERR_INVALID_ARG_TYPE'],
    [{ cpus: 1.5 }, 'ERR_OUT_OF_RANGE'],
    [{ serial: 'pty' }, 'ERR_INVALID_ARG_VALUE'],
    [{ extraArguments: 'x' }, 'ERR_INVALID_ARG_TYPE'],
    [{ extraArguments: ['a\0'] }, 'ERR_INVALID_ARG_VALUE'],
    [{ sandbox: 1 }, 'ERR_INVALID_ARG_TYPE'],
    [{ mashine: 'q35' }, 'ERR_INVALID_ARG_VALUE'],
  ];
  for (const [options, code] of wrong) t.throws(() => qemu(options), { code }, JSON.stringify(options));
});

// 16-bit: print the marker on the serial port, then switch the q35 off (ACPI S5).
function bootSector(marker: string): Buffer {
  const text = Buffer.from(`${marker}\r\n\0`);
  // prettier-ignore
  const code = Buffer.from([
    0x31,
    0xc0,
    0x8e,
    0xd8, // xor ax, ax; mov ds, ax
    0xbe,
    0x20,
    0x7c, // mov si, 0x7c20
    0xac,
    0x84,
    0xc0,
    0x74,
    0x06, // lodsb; test al, al; jz off
    0xba,
    0xf8,
    0x03,
    0xee,
    0xeb,
    0xf5, // mov dx, 0x3f8; out dx, al; jmp lodsb
    0xba,
    0x04,
    0x06,
    0xb8,
    0x00,
    0x20,
    0xef, // off: mov dx, 0x604; mov ax, 0x2000; out dx, ax
    0xf4,
    0xeb,
    0xfd, // hlt; jmp hlt
  ]);
  const image = Buffer.alloc(1 << 20);
  code.copy(image);
  text.copy(image, 0x20);
  image.writeUInt16LE(0xaa55, 510);
  return image;
}
const raw = join(directory, 'boot.raw');
writeFileSync(raw, bootSector('BOOTED'));

async function boot(options: Partial<LaunchOptions>): Promise<string> {
  const vm = await launch({
    disks: [{ path: raw, format: 'raw', readOnly: true }],
    emulator: qemu({ binary, accel: 'tcg', memory: 64 }),
    selinux: 'off',
    timeout: 60_000,
    killSignal: 'SIGKILL',
    ...options,
  });
  vm.stdin?.end();
  const [output, errors, [code]] = await Promise.all([textOf(vm.stdout), textOf(vm.stderr), once(vm, 'close')]);
  return `${output.trim()}${errors} exit ${code}`;
}

t.test('a machine boots from a raw image, read-only or writable', { skip: noQemu }, async (t) => {
  t.equal(await boot({}), 'BOOTED exit 0');
  t.equal(await boot({ disks: [{ path: raw, format: 'raw' }] }), 'BOOTED exit 0');
});

t.test('and from a qcow2 chain with a backing file and an external data file', { skip: noQemu }, async (t) => {
  const qemuImg = (...args: string[]) => execFileSync('qemu-img', args, { cwd: directory, stdio: 'pipe' });
  qemuImg('create', '-q', '-f', 'qcow2', '-b', 'boot.raw', '-F', 'raw', 'middle.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-b', 'middle.qcow2', '-F', 'qcow2', 'top.qcow2');
  t.equal(await boot({ disks: [{ path: join(directory, 'top.qcow2'), format: 'qcow2' }] }), 'BOOTED exit 0');
  qemuImg('convert', '-O', 'qcow2', '-o', 'data_file=data.raw', 'boot.raw', 'external.qcow2');
  t.equal(await boot({ disks: [{ path: join(directory, 'external.qcow2'), format: 'qcow2' }] }), 'BOOTED exit 0');
});

t.test('it boots from the boot disk and from no other', { skip: noQemu }, async (t) => {
  const blank = join(directory, 'blank.raw');
  writeFileSync(blank, Buffer.alloc(1 << 20));
  const output = await boot({
    disks: [
      { path: blank, format: 'raw', boot: true },
      { path: raw, format: 'raw', readOnly: true },
    ],
    timeout: 4000,
  });
  t.notMatch(output, /BOOTED/, 'the bootable data disk is not tried');
});

t.test('a qcow2 header that a guest wrote into its raw image is data', { skip: noQemu }, async (t) => {
  const forged = join(directory, 'forged.raw');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', forged]);
  t.notMatch(await boot({ disks: [{ path: forged, format: 'raw' }], timeout: 4000 }), /BOOTED/);
});

t.test('firmware as a descriptor', { skip: noQemu }, async (t) => {
  const firmware = '/usr/share/seabios/bios-256k.bin';
  if (!existsSync(firmware)) return t.skip('no SeaBIOS');
  t.equal(await boot({ firmware: { path: firmware } }), 'BOOTED exit 0');
});

t.test('the monitor', { skip: noQemu }, async (t) => {
  const vm = await launch({
    disks: [{ path: raw, format: 'raw', readOnly: true }],
    emulator: qemu({ binary, accel: 'tcg', memory: 64, monitor: true, extraArguments: ['-S'] }),
    selinux: 'off',
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  const { qmp } = vm.channels;
  t.match(JSON.parse(String((await once(qmp!, 'data'))[0])), { QMP: {} });
  qmp?.write('{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n');
  qmp?.resume();
  const [code] = await once(vm, 'close');
  t.equal(code, 0);
});

t.test(
  'QEMU opens no image by a path',
  { skip: noQemu || spawnSync('strace', ['-V']).status !== 0 ? 'needs strace' : false },
  async (t) => {
    const trace = join(directory, 'trace');
    const top = join(directory, 'top.qcow2');
    const inner = qemu({ binary, accel: 'tcg', memory: 64, sandbox: false });
    const output = await boot({
      disks: [{ path: top, format: 'qcow2' }],
      emulator: {
        path: '/usr/bin/strace',
        build(files) {
          const { args } = inner.build(files);
          return { args: ['-f', '-o', trace, '-e', 'trace=open,openat,openat2,execve', binary, ...args] };
        },
      },
    });
    t.match(output, /BOOTED/);
    const calls = readFileSync(trace, 'utf8').split('\n');
    t.ok(
      calls.some((line) => line.includes('openat(')),
      'there is something to see',
    );
    // (What it is told in its arguments has names of descriptor sets only.)
    t.same(
      calls.filter((line) => /\.qcow2|boot\.raw|\/proc\/[^ ]*\/fd\//.test(line)),
      [],
    );
  },
);
