// `vm-entrypoint launch`: checks, starts, and then stands in for the VM: its input and output, the signals
// that are meant for it, and its exit status.
import { accessSync, constants, statSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { Emulator } from '../../types/public.js';
import { command as program } from '../emulators/command.js';
import { qemu } from '../emulators/qemu.js';
import { AbortError, SystemError } from '../errors.js';
import { launch } from '../launch.js';
import type { VirtualMachine } from '../virtual-machine.js';
import { type Command, type Input, oneOf, UsageError } from './command.js';
import { EXIT, type ExitStatus, print } from './output.js';
import { START_OPTIONS, startRequest } from './start-options.js';

// Everything a user, a terminal or a service manager sends to a program in the foreground.
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGCONT', 'SIGWINCH'] as const;

const SIGNALS: Readonly<Record<string, number>> = osConstants.signals;

/** Finds a program as a shell does, but only in absolute directories of PATH. */
function findProgram(name: string): string {
  if (name.includes('/')) return resolve(name);
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      if (directory.startsWith('/') && statSync(path).isFile()) return path;
    } catch {
      // not here
    }
  }
  throw new SystemError('ENOENT', `ENOENT: no such program on PATH, '${name}'`, {
    errno: -2,
    syscall: 'execve',
    path: name,
  });
}

function wholeNumber(option: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`${option} '${text}' is not a whole number above 0`);
  return Number(text);
}

function emulatorOf(input: Input): Emulator {
  const [name, ...args] = input.trailing;
  const given = ['accel', 'cpus', 'memory', 'binary'].filter((option) => input.text(option) !== undefined);
  if (!input.flag('qemu')) {
    if (given[0] !== undefined) throw new UsageError(`--${given[0]} goes only with --qemu`);
    if (name === undefined) throw new UsageError("no emulator: put its command after '--', or use --qemu");
    return program({ path: findProgram(name), args, argv0: name });
  }
  const [accel, cpus, memory, binary] = ['accel', 'cpus', 'memory', 'binary'].map((option) => input.text(option));
  return qemu({
    ...(accel !== undefined && { accel }),
    ...(cpus !== undefined && { cpus: wholeNumber('--cpus', cpus) }),
    ...(memory !== undefined && { memory: wholeNumber('--memory', memory) }),
    ...(binary !== undefined && { binary: findProgram(binary) }),
    extraArguments: input.trailing,
  });
}

/** Passes data on until one of the two ends. */
function relay(from: Readable, to: Writable, closesTarget: boolean): void {
  from.pipe(to, { end: closesTarget });
  // A reader that went away: the writer has to notice, as it would without us in between.
  to.on('error', () => from.destroy());
  from.on('error', () => {
    if (closesTarget) to.end();
  });
}

function connect(vm: VirtualMachine, json: boolean): void {
  if (vm.stdin) relay(process.stdin, vm.stdin, true);
  // With --json our own standard output belongs to the JSON.
  if (vm.stdout) relay(vm.stdout, json ? process.stderr : process.stdout, false);
  if (vm.stderr) relay(vm.stderr, process.stderr, false);
}

async function run(input: Input): Promise<ExitStatus> {
  const { disks, emulator: _none, launcher: _self, ...request } = startRequest(input);
  const emulator = emulatorOf(input);
  const inherit = oneOf('--stdio', input.text('stdio') ?? 'relay', ['relay', 'inherit']) === 'inherit';
  const event = (name: string, more: Record<string, unknown>): void => {
    // One line for each, so that a reader need not wait for the end.
    if (input.json) print(JSON.stringify({ event: name, ...more }));
  };

  let vm: VirtualMachine | null = null;
  let interruptedBy: NodeJS.Signals | null = null;
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    if (vm !== null) vm.kill(signal);
    else if (signal !== 'SIGCONT' && signal !== 'SIGWINCH') {
      interruptedBy ??= signal;
      controller.abort();
    }
  };
  for (const signal of FORWARDED) process.on(signal, onSignal);
  try {
    vm = await launch({
      ...request,
      disks,
      emulator,
      stdio: inherit ? ['inherit', input.json ? 2 : 'inherit', 'inherit'] : 'pipe',
      // A session of its own: what the terminal sends reaches the VM once, through here.
      detached: true,
      // Nobody would be left to relay for it.
      onManagerExit: 'kill',
      signal: controller.signal,
    });
    const running = vm;
    const ended = new Promise<void>((done) => running.once('close', () => done()));
    running.on('error', () => {
      // A signal that could not be sent; the VM is still there, and its end is what is waited for.
    });
    event('started', { pid: running.pid, context: running.context });
    connect(running, input.json);
    await ended;
    event('ended', { exitCode: running.exitCode, signal: running.signalCode });
    return running.signalCode === null ? (running.exitCode ?? EXIT.failed) : 128 + (SIGNALS[running.signalCode] ?? 0);
  } catch (error) {
    if (error instanceof AbortError && interruptedBy !== null) return 128 + (SIGNALS[interruptedBy] ?? 0);
    throw error;
  } finally {
    for (const signal of FORWARDED) process.off(signal, onSignal);
    // A terminal or pipe that is still open must not keep this process.
    process.stdin.destroy();
  }
}

export const command: Command = {
  name: 'launch',
  summary: 'Checks as check does, and runs the VM in the domain that the policy chose, or not at all',
  usage: [
    '--disk PATH,format=F[,boot][,readonly]... [OPTIONS] -- EMULATOR [ARGUMENT]...',
    '--disk PATH,format=F[,boot][,readonly]... [OPTIONS] --qemu [-- QEMU-ARGUMENT...]',
  ],
  details:
    'The emulator gets its images as open descriptors. In its arguments {disk0} is replaced by the descriptor ' +
    'number of the first disk, {disk0.1} by that of its backing file, {kernel}, {initrd}, {firmware} and {state} ' +
    'by those of the others. With --qemu the arguments for images are made for you.\n' +
    'The VM is a session of its own, with an empty environment except for PATH, in the directory /. Its input ' +
    'and output pass through this process, so that it needs no right on your terminal; signals are forwarded, ' +
    'and it ends with this process.\n' +
    "Exit status: the VM's own, or 128 and the number of the signal that ended it. When it was not started: 1 " +
    'denied, 2 wrong usage, 3 could not be evaluated or started.',
  options: {
    ...START_OPTIONS,
    qemu: { type: 'boolean', help: 'the emulator is QEMU; arguments after -- are added to its own' },
    memory: { type: 'string', value: 'MIB', help: 'with --qemu: memory; default 512' },
    cpus: { type: 'string', value: 'N', help: 'with --qemu: virtual CPUs; default 1' },
    accel: { type: 'string', value: 'NAME', help: 'with --qemu: kvm (default) or tcg' },
    binary: {
      type: 'string',
      value: 'PATH',
      help: "with --qemu: the program; default: the one for this machine's architecture",
    },
    stdio: {
      type: 'string',
      value: 'HOW',
      help: 'relay (default), or inherit: the VM gets the descriptors of this process',
    },
  },
  trailing: true,
  examples: [
    [
      'vm-entrypoint launch --disk /vm/web.qcow2,format=qcow2 --qemu --memory 2048',
      'QEMU, with the serial console here',
    ],
    [
      'vm-entrypoint launch --disk /vm/a.raw,format=raw -- /usr/bin/qemu-system-x86_64 -nodefaults -display none ' +
        '-add-fd fd={disk0},set=1 -blockdev driver=file,node-name=f,filename=/dev/fdset/1 -device virtio-blk-pci,drive=f',
      'any emulator, with arguments of your own',
    ],
  ],
  run,
};
