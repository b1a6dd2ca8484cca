// qemu(): QEMU, with every image as a descriptor and every member of a chain named.
import { basename } from 'node:path';
import type { Emulator, EmulatorDisk, EmulatorFile, EmulatorInput } from '../../types/public.js';
import {
  checkArray,
  checkBoolean,
  checkInteger,
  checkNonEmptyString,
  checkOneOf,
  checkString,
  invalidArgValue,
  takeOptions,
  withoutPrototype,
} from '../validate.js';
import { checkAbsolutePath } from './emulator.js';

/**
 * Options of {@link qemu}. What they do not cover goes into `extraArguments`.
 *
 * `machine`, `accel`, `cpu` and `diskDevice` go to QEMU as they are, with properties after commas
 * (`'q35,smm=on'`), and a property can name a file: like `extraArguments`, they must not come from a client.
 */
export interface QemuOptions {
  /** Absolute path. Default `/usr/bin/qemu-system-` and the name of this machine's architecture. */
  readonly binary?: string;
  /** `-machine`. Default `'q35'` for x86, otherwise `'virt'`. */
  readonly machine?: string;
  /** `-accel`: `'kvm'` (the default), `'tcg'`, or with properties, `'tcg,thread=multi'`. */
  readonly accel?: string;
  /** `-cpu`. Default: `'host'` with KVM, otherwise QEMU's own. */
  readonly cpu?: string;
  /** Memory in MiB. Default 512. */
  readonly memory?: number;
  /** Number of virtual CPUs. Default 1. */
  readonly cpus?: number;
  /** The first serial port: descriptors 0 and 1 (`vm.stdin`, `vm.stdout`; the default), or none. */
  readonly serial?: 'stdio' | 'none';
  /** A QMP monitor on `vm.channels.qmp`. Default `false`. */
  readonly monitor?: boolean;
  /** QEMU's default devices (`-nodefaults` left out). Default `false`. */
  readonly defaults?: boolean;
  /** QEMU's own seccomp filter, everything denied that it can deny. Default `true`. */
  readonly sandbox?: boolean;
  /** The device of each disk. Default `'virtio-blk-pci'`. */
  readonly diskDevice?: string;
  /** Locks of images between several QEMUs. Default `'auto'`. */
  readonly locking?: 'auto' | 'on' | 'off';
  /** Command line of the kernel, with `kernel` in the request. */
  readonly append?: string;
  /** `-name`. */
  readonly name?: string;
  /** Appended as they are. They can undo anything above: they must not come from a client. */
  readonly extraArguments?: readonly string[];
}

const KEYS = [
  'binary',
  'machine',
  'accel',
  'cpu',
  'memory',
  'cpus',
  'serial',
  'monitor',
  'defaults',
  'sandbox',
  'diskDevice',
  'locking',
  'append',
  'name',
  'extraArguments',
] as const satisfies readonly (keyof QemuOptions)[];

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'x86_64',
  ia32: 'i386',
  arm64: 'aarch64',
  ppc64: 'ppc64',
  s390x: 's390x',
  riscv64: 'riscv64',
  loong64: 'loongarch64',
};

/** The file name of QEMU for this machine's own architecture. */
export function qemuProgram(): string {
  return `qemu-system-${ARCHITECTURES[process.arch] ?? process.arch}`;
}

/** A value inside of a comma-separated option. */
function escaped(text: string): string {
  return text.replaceAll(',', ',,');
}

interface Blocks {
  readonly args: string[];
  readonly locking: NonNullable<QemuOptions['locking']>;
}

/** The descriptor as a set of its own, and a node that reads it. Nothing has to be opened. */
function addFile({ args, locking }: Blocks, node: string, file: EmulatorFile): string {
  const fileNode = `${node}-file`;
  args.push('-add-fd', `fd=${file.fd},set=${file.fd}`);
  args.push(
    '-blockdev',
    JSON.stringify({
      driver: file.blockDevice ? 'host_device' : 'file',
      'node-name': fileNode,
      filename: `/dev/fdset/${file.fd}`,
      'read-only': file.readOnly,
      locking,
    }),
  );
  return fileNode;
}

function addRaw(blocks: Blocks, node: string, file: EmulatorFile): void {
  const fileNode = addFile(blocks, node, file);
  blocks.args.push(
    '-blockdev',
    JSON.stringify({ driver: 'raw', 'node-name': node, file: fileNode, 'read-only': file.readOnly }),
  );
}

/** All nodes of one disk, the lowest first: QEMU finds nothing in a header that it would look for itself. */
function addDisk(blocks: Blocks, name: string, { files }: EmulatorDisk): string {
  const add = (index: number): string => {
    const file = files[index] as EmulatorFile;
    const node = `${name}-${index}`;
    if (file.format === 'raw') {
      addRaw(blocks, node, file);
      return node;
    }
    const backing = file.backing === null ? null : add(file.backing);
    const data = file.dataFile === null ? null : add(file.dataFile);
    const fileNode = addFile(blocks, node, file);
    blocks.args.push(
      '-blockdev',
      JSON.stringify({
        driver: 'qcow2',
        'node-name': node,
        file: fileNode,
        // `null` is not "as the header says" but "none".
        backing,
        ...(data !== null && { 'data-file': data }),
        'read-only': file.readOnly,
      }),
    );
    return node;
  };
  return add(0);
}

/** With the defaults. */
type SettledOptions = Required<Omit<QemuOptions, 'cpu' | 'append' | 'name'>> & QemuOptions;

function buildArguments(options: SettledOptions, input: EmulatorInput) {
  const { binary, accel, cpu } = options;
  const args: string[] = ['-no-user-config'];
  const reopens: number[] = [];
  if (!options.defaults) args.push('-nodefaults');
  // The kernel names the process after the descriptor it was executed from; QEMU can say better.
  const process = escaped(basename(binary).slice(0, 15));
  args.push('-name', `${options.name === undefined ? '' : `guest=${escaped(options.name)},`}process=${process}`);
  args.push('-display', 'none');
  if (options.sandbox) {
    args.push('-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny');
  }
  args.push('-machine', input.firmware === null ? options.machine : `${options.machine},pflash0=firmware`);
  args.push('-accel', accel);
  const cpuModel = cpu ?? (accel.split(',', 1)[0] === 'kvm' ? 'host' : undefined);
  if (cpuModel !== undefined) args.push('-cpu', cpuModel);
  args.push('-m', `${options.memory}M`, '-smp', String(options.cpus));
  // Firmware may boot from what was decided about, and then give up.
  args.push('-boot', 'strict=on');

  const blocks: Blocks = { args, locking: options.locking };
  if (input.firmware !== null) addRaw(blocks, 'firmware', input.firmware);
  input.disks.forEach((disk, i) => {
    const node = addDisk(blocks, `disk${i}`, disk);
    // 0 is taken by a kernel, where there is one.
    args.push('-device', `${options.diskDevice},drive=${node}${disk.boot ? ',bootindex=1' : ''}`);
  });

  // QEMU opens these two by path only, without its descriptor sets. This path is the descriptor.
  for (const [option, file] of [
    ['-kernel', input.kernel],
    ['-initrd', input.initrd],
  ] as const) {
    if (file === null) continue;
    args.push(option, `/proc/self/fd/${file.fd}`);
    reopens.push(file.fd);
  }
  if (options.append !== undefined) args.push('-append', options.append);
  if (input.state !== null) args.push('-incoming', `fd:${input.state.fd}`);

  if (options.serial === 'stdio') {
    // signal=off: an interrupt character on the line is the guest's.
    args.push('-chardev', 'stdio,id=serial0,signal=off', '-serial', 'chardev:serial0');
  } else {
    args.push('-serial', 'none');
  }
  if (options.monitor) {
    args.push('-chardev', `socket,id=qmp0,fd=${input.channels.qmp}`, '-mon', 'chardev=qmp0,mode=control');
  }
  args.push(...options.extraArguments);
  return { args, reopens };
}

/**
 * QEMU as the emulator. Images, firmware and saved state arrive as descriptors, so the VM's domain needs no right
 * to open any of them; of an image chain every member is named, so QEMU looks for nothing in a header. It boots
 * from the boot disk only.
 *
 * A kernel and an initrd QEMU takes by path only: it gets `/proc/self/fd/N`, the very file that was decided about,
 * and the domain needs `open` on its type. Give such files a type that no image has.
 *
 * Tried with QEMU 7.2; needs 5.0 or newer.
 *
 * @throws `TypeError`, `RangeError` with `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`, `ERR_OUT_OF_RANGE`
 * @see qemu-system-x86_64(1)
 */
export function qemu(options: QemuOptions = {}): Emulator {
  // Each option once: what is checked below is what is used.
  const taken = takeOptions('options', options, KEYS);
  const binary = taken.binary ?? `/usr/bin/${qemuProgram()}`;
  checkAbsolutePath('options.binary', binary);
  const x86 = /-(x86_64|i386)$|-kvm$/.test(binary);
  const {
    machine = x86 ? 'q35' : 'virt',
    accel = 'kvm',
    cpu,
    memory = 512,
    cpus = 1,
    serial = 'stdio',
    monitor = false,
    defaults = false,
    sandbox = true,
    diskDevice = 'virtio-blk-pci',
    locking = 'auto',
    append,
    name,
    extraArguments = [],
  } = taken;
  checkNonEmptyString('options.machine', machine);
  checkNonEmptyString('options.accel', accel);
  if (cpu !== undefined) checkNonEmptyString('options.cpu', cpu);
  checkInteger('options.memory', memory, 1, 2 ** 40);
  checkInteger('options.cpus', cpus, 1, 2 ** 16);
  checkOneOf('options.serial', serial, ['stdio', 'none']);
  checkBoolean('options.monitor', monitor);
  checkBoolean('options.defaults', defaults);
  checkBoolean('options.sandbox', sandbox);
  checkNonEmptyString('options.diskDevice', diskDevice);
  checkOneOf('options.locking', locking, ['auto', 'on', 'off']);
  if (append !== undefined) checkString('options.append', append);
  if (name !== undefined) checkNonEmptyString('options.name', name);
  checkArray('options.extraArguments', extraArguments);
  const words = [...extraArguments].map((argument, i) => {
    checkString(`options.extraArguments[${i}]`, argument);
    return argument;
  });
  // What it has not got it must not inherit: `build` reads it later.
  const settled: SettledOptions = withoutPrototype({
    binary,
    machine,
    accel,
    ...(cpu !== undefined && { cpu }),
    ...(append !== undefined && { append }),
    ...(name !== undefined && { name }),
    memory,
    cpus,
    serial,
    monitor,
    defaults,
    sandbox,
    diskDevice,
    locking,
    extraArguments: words,
  });
  return {
    path: binary,
    channels: monitor ? ['qmp'] : [],
    build(input) {
      if (append !== undefined && input.kernel === null) {
        throw invalidArgValue('options.append', append, 'goes only with a kernel');
      }
      return buildArguments(settled, input);
    },
  };
}
