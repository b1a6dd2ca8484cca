// VirtualMachine: a running VMM process that behaves like a ChildProcess.
import { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { NativeProcess, NativeSpawned } from '../types/native.js';
import type { Context, Decision } from '../types/public.js';
import { invalidArgType } from './validate.js';

/** Arguments of the listeners, by event. */
export interface VirtualMachineEvents {
  /** Once, after `launch` has settled and its continuation has run. */
  spawn: [];
  /** The process has ended; its `stdio` may still have data. One of the two is `null`. */
  exit: [code: number | null, signal: NodeJS.Signals | null];
  /** The process has ended and its `stdio` is closed. The last event. */
  close: [code: number | null, signal: NodeJS.Signals | null];
  /** It could not be signalled, or was aborted (`AbortError`). */
  error: [error: Error];
}

const signalNumbers: Readonly<Record<string, number>> = constants.signals;
const signalNames = new Map(Object.entries(signalNumbers).map(([name, number]) => [number, name as NodeJS.Signals]));

/**
 * A signal's number, from its number or (in any case) its name.
 *
 * @throws `TypeError` with `ERR_UNKNOWN_SIGNAL`, as `ChildProcess.kill` does
 */
export function signalNumber(name: string, value: unknown): number {
  if (typeof value !== 'string' && typeof value !== 'number') {
    throw invalidArgType(name, 'one of type string or number', value);
  }
  if (typeof value === 'number' && signalNames.has(value)) return value;
  const number = typeof value === 'string' ? signalNumbers[value.toUpperCase()] : undefined;
  if (number !== undefined) return number;
  throw Object.assign(new TypeError(`Unknown signal: ${value}`), { code: 'ERR_UNKNOWN_SIGNAL' });
}

function nameOf(signal: number): NodeJS.Signals {
  // Real-time signals have no names in Node.
  return signalNames.get(signal) ?? (`SIGRTMIN+${signal - 34}` as NodeJS.Signals);
}

const kCreate = Symbol('create');

/**
 * Our end of a socket pair. A VM that ends while something we wrote lies unread there resets the connection: for a
 * pipe, which this stands for, that is the end of the file, and no error of the manager's.
 */
function pipeSocket(fd: number, readable: boolean): Socket {
  const socket = new Socket({ fd, readable, writable: true });
  const destroy = socket.destroy.bind(socket);
  socket.destroy = (error?: Error): Socket => {
    const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
    if (code !== 'ECONNRESET' || syscall !== 'read' || socket.readableEnded) return destroy(error);
    socket.once('end', () => destroy());
    socket.push(null);
    return socket;
  };
  return socket;
}

/** What `launch` knows besides what native code gives it. */
export interface VirtualMachineParts {
  readonly spawned: NativeSpawned;
  readonly decision: Decision;
  readonly spawnfile: string;
  readonly spawnargs: readonly string[];
  /** Number of descriptors of the option `stdio`. */
  readonly stdioCount: number;
  /** The names of the sockets that come after those. */
  readonly channels: readonly string[];
}

/**
 * A VMM process, in the context that the policy chose. Made by {@link launch}.
 *
 * Properties, methods and the order of events are those of `ChildProcess`: `'spawn'`, then `'error'` or
 * `'exit'`, then `'close'`. A running VM keeps the event loop alive until {@link unref}.
 *
 * It lives on when this process ends, unless it was launched with `onManagerExit: 'kill'`, and when a
 * Worker that launched it ends.
 */
export class VirtualMachine extends EventEmitter<VirtualMachineEvents> {
  /** Process id. Stays after the exit, when it may belong to another process: use {@link kill}. */
  readonly pid: number;
  /** The context it runs in, read back from the kernel; `null` where nothing was evaluated. */
  readonly context: Context | null;
  /** What was decided about this start, with everything that the VM inherits. */
  readonly decision: Decision;
  /** The program. */
  readonly spawnfile: string;
  /** Its arguments, `argv[0]` included. */
  readonly spawnargs: readonly string[];
  /** Writes to the VM's descriptor 0; `null` where that is no pipe. */
  readonly stdin: Socket | null;
  /** Reads from its descriptor 1. */
  readonly stdout: Socket | null;
  /** Reads from its descriptor 2. */
  readonly stderr: Socket | null;
  /** One for each entry of the option `stdio`: a socket where that was `'pipe'`, otherwise `null`. */
  readonly stdio: readonly (Socket | null)[] = [];
  /** The sockets that the emulator asked for, by name. */
  readonly channels: Readonly<Record<string, Socket>> = {};
  /** `null` while it runs, and where a signal ended it. */
  exitCode: number | null = null;
  /** The signal that ended it. */
  signalCode: NodeJS.Signals | null = null;
  /** {@link kill} has sent a signal. It may still run. */
  killed = false;

  #process: NativeProcess | null;
  #closesNeeded = 1;
  #closesGot = 0;

  /** @internal */
  constructor(token: symbol, parts: VirtualMachineParts) {
    if (token !== kCreate) {
      throw Object.assign(new TypeError('Illegal constructor: use launch()'), { code: 'ERR_ILLEGAL_CONSTRUCTOR' });
    }
    super();
    const { spawned } = parts;
    this.pid = spawned.pid;
    this.context = spawned.context;
    this.decision = parts.decision;
    this.spawnfile = parts.spawnfile;
    this.spawnargs = parts.spawnargs;
    this.#process = spawned.process;
    // First, and if it fails the object's end is the process's.
    spawned.process.onExit((code, signal) => this.#onExit(code, signal));

    const sockets = Array.from({ length: parts.stdioCount + parts.channels.length }, (_, index) => {
      const fd = spawned.process.takeSocket(index);
      // As a ChildProcess has them: writable all, readable all but stdin.
      return fd < 0 ? null : pipeSocket(fd, index > 0);
    });
    for (const socket of sockets) {
      if (socket === null) continue;
      this.#closesNeeded++;
      socket.on('close', () => this.#maybeClose());
    }
    this.stdio = sockets.slice(0, parts.stdioCount);
    this.channels = Object.fromEntries(
      parts.channels.map((name, i) => [name, sockets[parts.stdioCount + i] as Socket]),
    );
    [this.stdin, this.stdout, this.stderr] = [0, 1, 2].map((i) => this.stdio[i] ?? null) as [
      Socket | null,
      Socket | null,
      Socket | null,
    ];
  }

  /**
   * Sends a signal, through a descriptor of the process: never to another one that got its id.
   *
   * @param signal - Name or number. `0` only asks whether it is there. Default `'SIGTERM'`
   * @returns Whether it was sent; `false` when the process has ended
   * @throws `TypeError` with `ERR_UNKNOWN_SIGNAL`
   * @see pidfd_send_signal(2)
   */
  kill(signal: NodeJS.Signals | number = 'SIGTERM'): boolean {
    const number = signal === 0 ? 0 : signalNumber('signal', signal);
    if (this.#process === null) return false;
    try {
      if (!this.#process.kill(number)) return false;
    } catch (error) {
      // EPERM: the VM's domain or user is not ours to signal.
      this.emit('error', error as Error);
      return false;
    }
    this.killed = true;
    return true;
  }

  /** A running VM keeps the event loop alive (the default). */
  ref(): void {
    this.#process?.ref();
  }

  /** The event loop may end while the VM runs. */
  unref(): void {
    this.#process?.unref();
  }

  /** Kills it with SIGKILL and waits for `'close'`: `await using vm = await launch(…)`. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closesGot === this.#closesNeeded) return;
    const closed = new Promise<void>((resolve) => this.once('close', () => resolve()));
    this.kill('SIGKILL');
    // Output that nobody reads any more would hold the close back.
    for (const socket of [...this.stdio, ...Object.values(this.channels)]) socket?.destroy();
    await closed;
  }

  /** Sends SIGTERM, as `ChildProcess` does. */
  [Symbol.dispose](): void {
    if (!this.killed) this.kill();
  }

  #onExit(code: number | null, signal: number | null): void {
    if (signal === null) this.exitCode = code;
    else this.signalCode = nameOf(signal);
    this.stdin?.destroy();
    this.#process = null;
    this.emit('exit', this.exitCode, this.signalCode);
    // Streams that nobody has touched are read to their end, so that they close.
    process.nextTick(() => {
      for (const socket of [...this.stdio, ...Object.values(this.channels)]) {
        if (socket?.readable) socket.resume();
      }
    });
    this.#maybeClose();
  }

  #maybeClose(): void {
    this.#closesGot++;
    if (this.#closesGot === this.#closesNeeded) this.emit('close', this.exitCode, this.signalCode);
  }
}

/** Only for `launch`: not exported from the package. */
export function createVirtualMachine(parts: VirtualMachineParts): VirtualMachine {
  return new VirtualMachine(kCreate, parts);
}
