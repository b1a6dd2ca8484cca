// launch(): from a request to a running VM. Asks, builds the command line, starts, and cleans up what fails.
// Options are checked in start-request.ts and process-options.ts.
import { addAbortListener } from 'node:events';
import type { NativeImage, NativeSpawned, NativeStdioRequest } from '../types/native.js';
import type { EmulatorDisk, EmulatorFile, EmulatorInput, LaunchOptions } from '../types/public.js';
import { untilAborted } from './abort.js';
import { denialMessage } from './denial-message.js';
import { takeEmulator, takeEmulatorCommand } from './emulators/emulator.js';
import { AbortError, AccessDeniedError, LaunchError } from './errors.js';
import { native } from './native.js';
import { type NormalizedProcess, normalizeProcess, PROCESS_KEYS } from './process-options.js';
import { normalizeStartRequest, REQUEST_KEYS } from './start-request.js';
import { invalidArgValue, takeOptions, withoutPrototype } from './validate.js';
import { createVirtualMachine, type VirtualMachine } from './virtual-machine.js';

// Images come after whatever a person may have given the first numbers to.
const FIRST_IMAGE_DESCRIPTOR = 10;

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

/** The part of the options that is the request for a start. */
function startOptions(taken: Record<string, unknown>, emulatorPath: string): Record<string, unknown> {
  const given = REQUEST_KEYS.filter((key) => key in taken).map((key) => [key, taken[key]]);
  return withoutPrototype({ ...Object.fromEntries(given), emulator: emulatorPath });
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

/** Ends a VM that nobody will hear of. */
function killUnseen({ process: child }: NativeSpawned): Promise<void> {
  // Before anything else: what follows can fail, or was done already by a VirtualMachine that is only half made.
  child.kill(9);
  return new Promise((resolve) => {
    try {
      child.onExit(() => resolve());
    } catch {
      // It cannot be watched, or is watched already.
      child.discard();
      resolve();
    }
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
  const emulator = takeEmulator('options.emulator', taken.emulator);
  checkPermissionModel(emulator.path);
  const setup = normalizeProcess(taken);
  const start = normalizeStartRequest(startOptions(taken, emulator.path), 'options');
  if (start.launcher !== undefined) {
    throw invalidArgValue('options.launcher', start.launcher, 'can only be decided about: this process launches');
  }
  for (const { context } of start.objects) {
    if (context !== undefined) {
      throw invalidArgValue('options.disks', context, 'can only be decided about as a context: give a path or fd');
    }
  }
  const { signal } = setup;

  const { channels } = emulator;
  const userStdio = setup.stdio.length;
  const stdio = [
    ...setup.stdio,
    ...channels.map((_, i): NativeStdioRequest => ({ target: userStdio + i, kind: 'socket' })),
  ];
  const { handle, decision, images } = await untilAborted(
    signal,
    // Takes descriptors over before it returns: from then on the caller may close its own.
    () => native.launch.prepare(withoutPrototype({ ...start, emulatorPath: emulator.path, stdio })),
    { late: (prepared) => native.launch.discard(prepared.handle) },
  );
  const spawnargs: string[] = [];
  try {
    if (!decision.allowed) throw new AccessDeniedError(decision, denialMessage(decision));

    const { targets, ...files } = assignDescriptors(images, Math.max(FIRST_IMAGE_DESCRIPTOR, stdio.length));
    const built: unknown = emulator.build({
      ...files,
      action: start.action,
      channels: Object.fromEntries(channels.map((name, i) => [name, userStdio + i])),
    });
    const command = takeEmulatorCommand('emulator.build()', built);
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
          reopened: [...command.reopens],
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
