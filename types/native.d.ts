// The declared surface of the native addon. test/unit/native-surface.test.ts holds it against the
// built addon. Everything arrives validated (lib/validate.ts): the addon checks types only to stay
// memory-safe. Failures throw, or reject with, what the factory given to `initialize` makes.

import type { NativeSelinuxArea } from './native-selinux.js';
import type { CacheStatistics, Context, Decision, DiskFormat } from './public.js';

/** What native code knows about a failure; lib/errors.ts turns it into an error of the right class. */
export interface NativeErrorInfo {
  /** Negative, as in Node. */
  errno?: number;
  /** An `ERR_*` code; absent for a plain system error. */
  code?: string;
  syscall?: string;
  path?: string;
  fd?: number;
  message?: string;
}

export interface NativeObjectRequest {
  role: 'disk' | 'kernel' | 'initrd' | 'firmware' | 'state';
  boot: boolean;
  readOnly: boolean;
  format: DiskFormat;
  /** Exactly one of the three is set. With `fd`, `path` may be set too, as its name. */
  path?: string;
  fd?: number;
  context?: Context;
  objectClass?: string;
}

export interface NativeStartRequest {
  objects: NativeObjectRequest[];
  client?: Context;
  launcher?: Context;
  emulatorPath?: string;
  emulatorContext?: Context;
  rule: 'transition' | 'change';
  action: 'start' | 'restore' | 'migrate_in';
  selinux: 'require' | 'prefer' | 'off';
}

/** One member of an image chain, as an emulator adapter needs it. */
export interface NativeImageMember {
  path: string;
  format: DiskFormat;
  readOnly: boolean;
  /** Indexes into the same chain, -1 for none. */
  backing: number;
  dataFile: number;
  /** A block device, not a regular file. */
  blockDevice: boolean;
  /** Size in bytes of a regular file. */
  size: bigint;
}

export interface NativeImage {
  role: NativeObjectRequest['role'];
  boot: boolean;
  members: NativeImageMember[];
}

/** An interned context: a number that never stands for another one, but may go stale (`ERR_STALE_HANDLE`). */
export type ContextId = number;

export interface NativeDecisionArea {
  decide(request: NativeStartRequest): Decision;
  decideAsync(request: NativeStartRequest): Promise<Decision>;
  decideMany(request: NativeManyRequest): NativeManyRun;
  /** Gathers contexts and binds questions once, for the hot form. */
  prepare(request: NativeStartRequest): NativePrepared;
  /** Where `askAccess` finds its arguments: source, target, and the number of an access question. */
  readonly accessArguments: Float64Array;
  /** One cached access question: bit i is set when permission i of the question is not granted. */
  askAccess(): number;
  /** A number for (class, permissions), for `askAccess`. At most 32 permissions. */
  accessQuestion(objectClass: string, permissions: readonly string[]): number;
  internContext(context: Context): ContextId;
  setCacheLimit(bytes: number): void;
  cacheStatistics(): CacheStatistics;
  flushCache(): void;
}

export interface NativePrepared {
  /** The whole decision as one integer: 0 is allowed, bits as in `lib/decide.ts`. */
  verdict(): number;
  verdictOn(path: string): number;
  decide(): Decision;
}

export interface NativeManyRequest {
  /** `objects` are the kernel, initrd, … that go with every image. */
  common: NativeStartRequest;
  /** Of the boot disks: paths, or contexts. */
  names: string[];
  /** One for each name: 1 qcow2, 2 read-only, 4 the name is a context, 8 which belongs to a block device. */
  flags: Uint8Array;
  threads: number;
}

export interface NativeManyRun {
  promise: Promise<NativeManyResult>;
  cancel(): void;
  /** How many images were looked at so far. */
  progress(): number;
}

export interface NativeManyResult {
  evaluated: boolean;
  enforcing: boolean;
  policySequence: number;
  /** The verdict bits of each image, as of {@link NativePrepared.verdict}; 0xffffffff where there is an error. */
  verdicts: Uint32Array;
  /** Index into `contexts` of the VM context, or 0xffffffff. */
  vmContexts: Uint32Array;
  contexts: Context[];
  /** Index of the name: why it could not be decided about. */
  errors: Map<number, Error>;
  /** The whole decision about one image, asked again now. */
  decide(index: number): Decision;
}

export interface NativePrepareRequest extends NativeStartRequest {
  emulatorPath: string;
  /** All of them. Descriptors are duplicated before `prepare` returns: their owner may close them at once. */
  stdio: NativeStdioRequest[];
}

/** Opened, labelled and decided about, not yet started. Dropping it closes everything. */
export type PreparedLaunchHandle = object;

export interface NativePreparedLaunch {
  handle: PreparedLaunchHandle;
  decision: Decision;
  images: NativeImage[];
}

export interface NativeStdioRequest {
  /** Descriptor number in the child. */
  target: number;
  kind: 'ignore' | 'socket' | 'fd';
  /** With `kind: 'fd'`: the descriptor in this process. */
  fd?: number;
}

export interface NativeSpawnRequest {
  arguments: string[];
  environment: string[];
  cwd?: string;
  /** Where each image member goes: the child's descriptor numbers, [image][member]; -1: nowhere. */
  imageTargets: number[][];
  detached: boolean;
  /** Kill the VM when this process dies. */
  tied: boolean;
  /** The child's descriptors that it opens again by /proc/self/fd: asked about with `open` and `map`. */
  reopened: number[];
  uid?: number;
  gid?: number;
  groups?: number[];
  /** A cgroup v2 directory. */
  cgroup?: string;
  rlimits: { resource: number; soft: bigint; hard: bigint }[];
}

export interface NativeSpawned {
  pid: number;
  context: Context | null;
  process: NativeProcess;
}

/** A start is decided about once more, with everything that is inherited, right before the exec. */
export interface NativeSpawnResult {
  decision: Decision;
  /** `null` when the decision refuses. */
  spawned: NativeSpawned | null;
}

/** A child that was started here. Its exit arrives on this environment's own event loop. */
export interface NativeProcess {
  /** Once. From then on the process lives until it ends by itself; before, it is killed with this object. */
  onExit(callback: (exitCode: number | null, signal: number | null) => void): void;
  /**
   * This process's end of entry `index` of `stdio`, once: the caller has to close it. -1 where that is no
   * socket. What is not taken is closed with the process.
   */
  takeSocket(index: number): number;
  /** Sends by pidfd; false when the process is gone. */
  kill(signal: number): boolean;
  /** Kills it, and whether it is watched or not it is reaped. What was not taken is closed. */
  discard(): void;
  ref(): void;
  unref(): void;
}

export interface NativeLaunchArea {
  /** Opens, labels, walks the chains and decides, off the event loop. A denial is a value. */
  prepare(request: NativePrepareRequest): Promise<NativePreparedLaunch>;
  /** Sockets, label re-read, clone, exec, verification, off the event loop. Consumes the handle. */
  spawn(handle: PreparedLaunchHandle, request: NativeSpawnRequest): Promise<NativeSpawnResult>;
  /** Closes what `prepare` opened; a `spawn` under way is given up (ERR_LAUNCH_CANCELLED). Idempotent. */
  discard(handle: PreparedLaunchHandle): void;
  /** Runs `body` with this thread's exec context set; always cleared before it returns. */
  withExecContext<T>(context: Context, body: () => T): T;
}

export interface NativeAddon {
  initialize(createError: (info: NativeErrorInfo) => Error): void;
  readonly selinux: NativeSelinuxArea;
  readonly decision: NativeDecisionArea;
  readonly launch: NativeLaunchArea;
}
