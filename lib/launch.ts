// launch(): from a request to a running VM. Checks everything, asks, builds the command line, starts.
import { addAbortListener } from 'node:events';
import { fileURLToPath } from 'node:url';
import type {
  NativeImage,
  NativePrepareRequest,
  NativeSpawned,
  NativeSpawnRequest,
  NativeStdioRequest,
} from '../types/native.js';
import type {
  EmulatorDisk,
  EmulatorFile,
  EmulatorInput,
  LaunchOptions,
  LimitValue,
  ProcessOptions,
  ResourceLimit,
  ResourceName,
} from '../types/public.js';
import { denialMessage } from './denial-message.js';
import { checkEmulator, checkEmulatorCommand } from './emulators/emulator.js';
import { AbortError, AccessDeniedError, LaunchError } from './errors.js';
import { native } from './native.js';
import { normalizeStartRequest, REQUEST_KEYS } from './start-request.js';
import {
  checkAbortSignal,
  checkArray,
  checkBoolean,
  checkInteger,
  checkNonEmptyString,
  checkObject,
  checkOneOf,
  checkString,
  invalidArgType,
  invalidArgValue,
  outOfRange,
  takeOptions,
  withoutPrototype,
} from './validate.js';
import { createVirtualMachine, signalNumber, type VirtualMachine } from './virtual-machine.js';

const PROCESS_KEYS = [
  'stdio',
  'env',
  'cwd',
  'uid',
  'gid',
  'groups',
  'cgroup',
  'rlimits',
  'detached',
  'signal',
  'killSignal',
  'timeout',
  'onManagerExit',
] as const satisfies readonly (keyof ProcessOptions)[];

const DEFAULT_ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin' };
// Images come after whatever a person may have given the first numbers to.
const FIRST_IMAGE_DESCRIPTOR = 10;
const MAX_FD = 2 ** 31 - 1;
// (uid_t)-1 means "unchanged" to the kernel.
const MAX_ID = 2 ** 32 - 2;
const MAX_STDIO = 1024;
const RLIM_INFINITY = 2n ** 64n - 1n;

// The numbers of the kernel's include/uapi/asm-generic/resource.h, which all of Node's Linux platforms share.
const RESOURCES: Readonly<Record<ResourceName, number>> = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
};

/** The permission model of Node guards child_process, not addons: what it forbids there is forbidden here. */
function checkPermissionModel(resource: string): void {
  const { permission } = process as { permission?: { has(scope: string): boolean } };
  if (permission === undefined || permission.has('child')) return;
  throw Object.assign(new Error('Access to this API has been restricted. Use --allow-child-process to manage it.'), {
    code: 'ERR_ACCESS_DENIED',
    permission: 'ChildProcess',
    resource,
  });
}

function descriptorOf(entry: object): number | undefined {
  const { fd, _handle: handle } = entry as { fd?: unknown; _handle?: { fd?: unknown } | null };
  // As in child_process: a stream of the file system has `fd`, a socket has it in its handle.
  const number = typeof fd === 'number' ? fd : handle?.fd;
  return typeof number === 'number' && number >= 0 ? number : undefined;
}

function normalizeStdioEntry(name: string, entry: unknown, index: number): NativeStdioRequest {
  const target = index;
  if (entry === 'pipe' || ((entry === undefined || entry === null) && index < 3)) return { target, kind: 'socket' };
  if (entry === 'ignore' || entry === undefined || entry === null) return { target, kind: 'ignore' };
  if (entry === 'inherit') return { target, kind: 'fd', fd: index };
  if (typeof entry === 'number') {
    checkInteger(name, entry, 0, MAX_FD);
    return { target, kind: 'fd', fd: entry };
  }
  if (typeof entry === 'object') {
    const fd = descriptorOf(entry);
    if (fd !== undefined) return { target, kind: 'fd', fd };
    throw invalidArgValue(name, entry, 'must have an open descriptor');
  }
  if (typeof entry === 'string') throw invalidArgValue(name, entry, "must be one of: 'pipe', 'ignore', 'inherit'");
  throw invalidArgType(name, 'one of type string, number or Stream', entry);
}

function normalizeStdio(value: unknown = 'pipe'): NativeStdioRequest[] {
  const list = typeof value === 'string' ? [value, value, value] : value;
  checkArray('options.stdio', list);
  if (list.length > MAX_STDIO) throw invalidArgValue('options.stdio', value, `must have at most ${MAX_STDIO} entries`);
  // A program without its first three descriptors would open its own files as those.
  const entries = Array.from({ length: Math.max(3, list.length) }, (_, i) => list[i]);
  return entries.map((entry, i) => normalizeStdioEntry(`options.stdio[${i}]`, entry, i));
}

function normalizeEnvironment(value: unknown = DEFAULT_ENVIRONMENT): string[] {
  checkObject('options.env', value);
  const environment: string[] = [];
  for (const [name, text] of Object.entries(value)) {
    if (text === undefined) continue;
    checkString(`options.env.${name}`, text);
    if (name === '' || name.includes('=') || name.includes('\0')) {
      throw invalidArgValue('options.env', name, "must have names that are not empty and without '=' and null bytes");
    }
    environment.push(`${name}=${text}`);
  }
  return environment;
}

function normalizeDirectory(value: unknown = '/'): string {
  if (value instanceof URL) return fileURLToPath(value);
  checkNonEmptyString('options.cwd', value);
  return value;
}

function limitValue(name: string, value: unknown): bigint {
  if (value === 'unlimited') return RLIM_INFINITY;
  if (typeof value === 'bigint') {
    if (value < 0n || value > RLIM_INFINITY) throw outOfRange(name, `>= 0 && <= ${RLIM_INFINITY}`, value);
    return value;
  }
  if (typeof value !== 'number') throw invalidArgType(name, "a number, a bigint or 'unlimited'", value);
  checkInteger(name, value, 0, Number.MAX_SAFE_INTEGER);
  return BigInt(value);
}

function normalizeLimits(value: unknown = {}): NativeSpawnRequest['rlimits'] {
  checkObject('options.rlimits', value);
  return Object.entries(value).flatMap(([key, limit]) => {
    const name = `options.rlimits.${key}`;
    if (!Object.hasOwn(RESOURCES, key)) {
      throw invalidArgValue(name, limit, `is no resource; known are ${Object.keys(RESOURCES).join(', ')}`);
    }
    if (limit === undefined) return [];
    const resource = RESOURCES[key as ResourceName];
    if (limit === null || typeof limit !== 'object') {
      const both = limitValue(name, limit);
      return [{ resource, soft: both, hard: both }];
    }
    const pair = limit as Extract<ResourceLimit, { soft: LimitValue }>;
    const soft = limitValue(`${name}.soft`, pair.soft);
    const hard = limitValue(`${name}.hard`, pair.hard);
    if (soft > hard) throw outOfRange(`${name}.soft`, `<= ${hard}, the hard limit`, soft);
    return [{ resource, soft, hard }];
  });
}

type Identity = Pick<NativeSpawnRequest, 'uid' | 'gid' | 'groups'>;

function normalizeIdentity(options: Record<string, unknown>): Identity {
  const { uid, gid, groups } = options;
  if (uid !== undefined) checkInteger('options.uid', uid, 0, MAX_ID);
  if (gid !== undefined) checkInteger('options.gid', gid, 0, MAX_ID);
  if (groups !== undefined) {
    checkArray('options.groups', groups);
    groups.forEach((group, i) => {
      checkInteger(`options.groups[${i}]`, group, 0, MAX_ID);
    });
  }
  const identity = options as Identity;
  // As libuv: another user must not keep the groups of this one. Who may not change them keeps them.
  const dropGroups = groups === undefined && (uid !== undefined || gid !== undefined) && process.geteuid?.() === 0;
  return {
    ...(identity.uid !== undefined && { uid: identity.uid }),
    ...(identity.gid !== undefined && { gid: identity.gid }),
    ...(identity.groups !== undefined && { groups: [...identity.groups] }),
    ...(dropGroups && { groups: [] }),
  };
}

interface NormalizedProcess {
  readonly request: Omit<NativeSpawnRequest, 'arguments' | 'imageTargets' | 'reopened'>;
  readonly stdio: NativePrepareRequest['stdio'];
  readonly signal: AbortSignal | undefined;
  readonly killSignal: number;
  readonly timeout: number;
}

/** Checks the part of the options that is about the process. */
function normalizeProcess(options: Record<string, unknown>): NormalizedProcess {
  const { detached = false, onManagerExit = 'live', cgroup, signal, timeout = 0, killSignal = 'SIGTERM' } = options;
  checkBoolean('options.detached', detached);
  checkOneOf('options.onManagerExit', onManagerExit, ['live', 'kill']);
  if (cgroup !== undefined) checkNonEmptyString('options.cgroup', cgroup);
  if (signal !== undefined) checkAbortSignal('options.signal', signal);
  checkInteger('options.timeout', timeout, 0, 2 ** 31 - 1);
  return {
    request: {
      environment: normalizeEnvironment(options.env),
      cwd: normalizeDirectory(options.cwd),
      detached,
      tied: onManagerExit === 'kill',
      rlimits: normalizeLimits(options.rlimits),
      ...normalizeIdentity(options),
      ...(cgroup !== undefined && { cgroup }),
    },
    stdio: normalizeStdio(options.stdio),
    signal,
    killSignal: signalNumber('options.killSignal', killSignal),
    timeout,
  };
}

/** Gives every file of every image its number, and describes them to the emulator. */
function assignDescriptors(
  images: readonly NativeImage[],
  first: number,
): Omit<EmulatorInput, 'action' | 'channels'> & { targets: number[][] } {
  let next = first;
  const index = (i: number): number | null => (i < 0 ? null : i);
  const files = images.map(({ members }) =>
    members.map(
      ({ path, format, readOnly, backing, dataFile, blockDevice, size }): EmulatorFile => ({
        fd: next++,
        path,
        format,
        readOnly,
        backing: index(backing),
        dataFile: index(dataFile),
        blockDevice,
        sizeBytes: size,
      }),
    ),
  );
  const only = (role: NativeImage['role']): EmulatorFile | null =>
    files[images.findIndex((image) => image.role === role)]?.[0] ?? null;
  return {
    disks: images.flatMap(({ role, boot }, i): EmulatorDisk[] =>
      role === 'disk' ? [{ boot, files: files[i] as [EmulatorFile, ...EmulatorFile[]] }] : [],
    ),
    kernel: only('kernel'),
    initrd: only('initrd'),
    firmware: only('firmware'),
    state: only('state'),
    targets: files.map((list) => list.map(({ fd }) => fd)),
  };
}

/** Settles with `promise`, or as soon as `signal` is aborted; what comes too late goes to `undo`. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined, undo: (late: T) => void): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const listening = addAbortListener(signal, () => {
      reject(new AbortError(signal.reason));
      promise.then(undo, () => {});
    });
    promise.then(resolve, reject).finally(() => listening[Symbol.dispose]());
  });
}

/** Ends a VM that nobody will hear of. */
function killUnseen({ process: child }: NativeSpawned): Promise<void> {
  return new Promise((resolve) => {
    try {
      child.onExit(() => resolve());
    } catch {
      // It cannot be watched, or is watched already.
      child.discard();
      resolve();
      return;
    }
    child.kill(9);
  });
}

// As child_process does it for its AbortSignal and timeout.
function guard(vm: VirtualMachine, { signal, killSignal, timeout }: NormalizedProcess): void {
  if (timeout > 0) {
    const timer = setTimeout(() => vm.kill(killSignal), timeout);
    vm.once('exit', () => clearTimeout(timer));
  }
  if (signal === undefined) return;
  const onAbort = (): void => {
    if (vm.kill(killSignal)) vm.emit('error', new AbortError(signal.reason));
  };
  if (signal.aborted) {
    process.nextTick(onAbort);
    return;
  }
  const listening = addAbortListener(signal, onAbort);
  vm.once('exit', () => listening[Symbol.dispose]());
}

/**
 * Starts a VM in the domain that the policy chooses for this client and this disk, or does not start it.
 *
 * Everything is opened once, labelled and decided about; the emulator gets descriptors. The process is
 * verified before its first instruction: its context and its descriptors are read back from the kernel, and
 * where they are not what was decided it is killed. All of it runs off the event loop.
 *
 * @param options - The start request, the emulator, and how its process is set up
 * @returns The running VM. `'spawn'` follows when the caller's continuation has run
 * @throws `TypeError`, `RangeError` with `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`, `ERR_OUT_OF_RANGE` or
 *   `ERR_UNKNOWN_SIGNAL` for a wrong option, before anything is opened
 * @throws {@link AccessDeniedError} where the policy refuses: carries the decision, names the missing rule
 * @throws {@link SelinuxUnavailableError} where there is no SELinux, unless `selinux` says otherwise
 * @throws {@link PolicyChangedError} where the policy was reloaded meanwhile with another answer
 * @throws {@link DiskError} for an image that is refused as it is
 * @throws {@link LaunchError} `ERR_LAUNCH_EXEC` (with `errno`, `syscall`, `path`, `spawnargs`),
 *   `ERR_LAUNCH_CONTEXT`, `ERR_LAUNCH_DESCRIPTORS`, `ERR_LAUNCH_CHANGED`, `ERR_LAUNCH_CGROUP`, `ERR_LAUNCH_TIE`,
 *   `ERR_LAUNCH_PROCFS`
 * @throws {@link AbortError} when `signal` is aborted before the VM runs; nothing runs then
 * @throws `Error` with `ERR_ACCESS_DENIED` under Node's permission model without `--allow-child-process`
 */
export async function launch(options: LaunchOptions): Promise<VirtualMachine> {
  // Each option is read once, so that what was checked is what is used.
  const taken = takeOptions('options', options, [...REQUEST_KEYS, ...PROCESS_KEYS]);
  checkEmulator('options.emulator', taken.emulator);
  const adapter = taken.emulator;
  const emulator = { path: adapter.path, channels: [...(adapter.channels ?? [])] };
  checkEmulator('options.emulator', { ...emulator, build: adapter.build });
  checkPermissionModel(emulator.path);
  const setup = normalizeProcess(taken);
  const start = normalizeStartRequest(withoutPrototype({ ...taken, emulator: emulator.path }), PROCESS_KEYS);
  if (start.launcher !== undefined) {
    throw invalidArgValue('options.launcher', start.launcher, 'can only be decided about: this process launches');
  }
  for (const { context } of start.objects) {
    if (context !== undefined) {
      throw invalidArgValue('options.disks', context, 'can only be decided about as a context: give a path or fd');
    }
  }
  const { signal } = setup;
  if (signal?.aborted) throw new AbortError(signal.reason);

  const { channels } = emulator;
  const userStdio = setup.stdio.length;
  const stdio = [
    ...setup.stdio,
    ...channels.map((_, i): NativeStdioRequest => ({ target: userStdio + i, kind: 'socket' })),
  ];
  const { handle, decision, images } = await unlessAborted(
    // Takes descriptors over before it returns: from here on the caller may close its own.
    native.launch.prepare(withoutPrototype({ ...start, emulatorPath: emulator.path, stdio })),
    signal,
    (late) => native.launch.discard(late.handle),
  );
  const spawnargs: string[] = [];
  try {
    if (!decision.allowed) throw new AccessDeniedError(decision, denialMessage(decision));

    const { targets, ...files } = assignDescriptors(images, Math.max(FIRST_IMAGE_DESCRIPTOR, stdio.length));
    const command = adapter.build({
      ...files,
      action: start.action,
      channels: Object.fromEntries(channels.map((name, i) => [name, userStdio + i])),
    });
    checkEmulatorCommand('emulator.build()', command);
    spawnargs.push(command.argv0 ?? emulator.path, ...command.args);

    // Aborted from here on, native code gives up at its next step, and what it started is gone before this settles.
    const listening = signal && addAbortListener(signal, () => native.launch.discard(handle));
    const result = await native.launch
      .spawn(
        handle,
        withoutPrototype({
          ...setup.request,
          arguments: spawnargs,
          imageTargets: targets,
          reopened: [...(command.reopens ?? [])],
        }),
      )
      .finally(() => listening?.[Symbol.dispose]());
    if (result.spawned === null) throw new AccessDeniedError(result.decision, denialMessage(result.decision));
    if (signal?.aborted) {
      await killUnseen(result.spawned);
      throw new AbortError(signal.reason);
    }
    let vm: VirtualMachine;
    try {
      vm = createVirtualMachine({
        spawned: result.spawned,
        decision: result.decision,
        spawnfile: emulator.path,
        spawnargs,
        stdioCount: userStdio,
        channels,
      });
    } catch (error) {
      // Nobody has the VM: it must not run on.
      await killUnseen(result.spawned);
      throw error;
    }
    guard(vm, setup);
    process.nextTick(() => vm.emit('spawn'));
    return vm;
  } catch (error) {
    native.launch.discard(handle);
    if (error instanceof LaunchError) {
      if (error.code === 'ERR_LAUNCH_CANCELLED') throw new AbortError(signal?.reason);
      error.spawnargs = spawnargs.slice(1);
    }
    throw error;
  }
}
