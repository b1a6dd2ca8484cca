// From what a caller hands in to what the addon takes: the one place where a StartRequest is checked
// and its defaults are filled in. Nothing is opened here.
import type { NativeObjectRequest, NativeStartRequest } from '../types/native.js';
import type { BlobRequest, Context, DiskRequest, StartRequest } from '../types/public.js';
import {
  checkArray,
  checkBoolean,
  checkInteger,
  checkNonEmptyString,
  checkOneOf,
  invalidArgType,
  invalidArgValue,
  takeOptions,
  withoutPrototype,
} from './validate.js';

/** The options of a start request. */
export const REQUEST_KEYS = [
  'disks',
  'kernel',
  'initrd',
  'firmware',
  'state',
  'client',
  'launcher',
  'emulator',
  'rule',
  'action',
  'selinux',
] as const;
const DISK_KEYS = ['path', 'fd', 'context', 'objectClass', 'format', 'boot', 'readOnly'] as const;
const BLOB_KEYS = ['path', 'fd', 'context'] as const;
const BLOBS = ['kernel', 'initrd', 'firmware', 'state'] as const;
// Every disk is opened, and policy asked about each: more than this is a mistake, not a VM.
const MAX_DISKS = 1024;
const MAX_FD = 2 ** 31 - 1;

/**
 * Checks one raw context: a non-empty string without white space or control characters.
 *
 * The kernel takes a question as words on one line, so a context with a space in it would move the
 * words after it: another question would be answered than the one that was asked.
 *
 * @throws `TypeError` (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`)
 */
export function checkContext(name: string, value: unknown): asserts value is Context {
  checkNonEmptyString(name, value);
  for (const character of value) {
    const code = character.codePointAt(0) ?? 0;
    if (code <= 0x20 || code === 0x7f) {
      throw invalidArgValue(name, value, 'must be a raw context, without white space or control characters');
    }
  }
}

/** Checks that exactly one of `path`, `fd` and `context` names the object (`fd` may have a `path` as its name). */
function checkName(name: string, value: Record<string, unknown>): void {
  const { path, fd, context } = value;
  if (path !== undefined) checkNonEmptyString(`${name}.path`, path);
  if (fd !== undefined) checkInteger(`${name}.fd`, fd, 0, MAX_FD);
  if (context !== undefined) checkContext(`${name}.context`, context);
  const ways =
    Number(path !== undefined && fd === undefined) + Number(fd !== undefined) + Number(context !== undefined);
  if (ways !== 1) throw invalidArgValue(name, value, 'must have exactly one of path, fd and context');
}

function named(value: DiskRequest | BlobRequest): Pick<NativeObjectRequest, 'path' | 'fd' | 'context'> {
  return {
    ...(value.path !== undefined && { path: value.path }),
    ...(value.fd !== undefined && { fd: value.fd }),
    ...(value.context !== undefined && { context: value.context }),
  };
}

/**
 * Checks one disk and fills in its defaults; `boot` is what was said, not what follows from the others.
 *
 * @throws `TypeError`, `RangeError` with Node's `ERR_INVALID_*` and `ERR_OUT_OF_RANGE`
 */
export function normalizeDisk(name: string, given: unknown): NativeObjectRequest {
  const value = takeOptions(name, given, DISK_KEYS);
  checkName(name, value);
  checkOneOf(`${name}.format`, value.format, ['raw', 'qcow2']);
  if (value.boot !== undefined) checkBoolean(`${name}.boot`, value.boot);
  if (value.readOnly !== undefined) checkBoolean(`${name}.readOnly`, value.readOnly);
  if (value.objectClass !== undefined) {
    checkOneOf(`${name}.objectClass`, value.objectClass, ['file', 'blk_file']);
    // Of a file that is opened, fstat tells the class.
    if (value.context === undefined)
      throw invalidArgValue(`${name}.objectClass`, value.objectClass, 'goes only with context');
  }
  const disk = value as unknown as DiskRequest;
  return withoutPrototype<NativeObjectRequest>({
    role: 'disk',
    boot: disk.boot ?? false,
    readOnly: disk.readOnly ?? false,
    format: disk.format,
    ...named(disk),
    ...(disk.objectClass !== undefined && { objectClass: disk.objectClass }),
  });
}

function normalizeBlob(name: string, role: (typeof BLOBS)[number], given: unknown): NativeObjectRequest {
  const value = takeOptions(name, given, BLOB_KEYS);
  checkName(name, value);
  return withoutPrototype<NativeObjectRequest>({
    role,
    boot: false,
    readOnly: true,
    format: 'raw',
    ...named(value as BlobRequest),
  });
}

// Which label chooses the domain: never a guess between two.
function markBoot(
  name: string,
  request: Record<string, unknown>,
  disks: NativeObjectRequest[],
  blobs: NativeObjectRequest[],
): void {
  const marked = disks.filter((disk) => disk.boot);
  if (marked.length === 1) return;
  if (marked.length > 1)
    throw invalidArgValue(`${name}.disks`, request.disks, 'must have at most one disk with boot: true');
  const kernel = blobs.find((blob) => blob.role === 'kernel');
  const only = disks.length === 1 ? disks[0] : disks.length === 0 ? kernel : undefined;
  if (only === undefined) {
    throw invalidArgValue(
      `${name}.disks`,
      request.disks,
      disks.length === 0
        ? 'must not be empty without a kernel to boot'
        : 'must have one disk with boot: true, its label chooses the domain',
    );
  }
  only.boot = true;
}

function normalizeEmulator(name: string, value: unknown): Pick<NativeStartRequest, 'emulatorPath' | 'emulatorContext'> {
  if (value === undefined) return {};
  if (typeof value === 'string') {
    checkNonEmptyString(name, value);
    return { emulatorPath: value };
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw invalidArgType(name, 'of type string or object', value);
  }
  // An adapter (qemu(), command(), one of the caller's own): the same object that launch() takes.
  if (typeof (value as { build?: unknown }).build === 'function') {
    const { path } = value as { path?: unknown };
    checkNonEmptyString(`${name}.path`, path);
    return { emulatorPath: path };
  }
  const emulator = takeOptions(name, value, ['path', 'context']);
  if ((emulator.path === undefined) === (emulator.context === undefined)) {
    throw invalidArgValue(name, value, 'must have exactly one of path and context');
  }
  if (emulator.path !== undefined) {
    checkNonEmptyString(`${name}.path`, emulator.path);
    return { emulatorPath: emulator.path };
  }
  checkContext(`${name}.context`, emulator.context);
  return { emulatorContext: emulator.context };
}

/** Everything of a request except which objects it is about. Takes what {@link takeOptions} made, and its name. */
export function normalizeCommon(name: string, request: Record<string, unknown>): Omit<NativeStartRequest, 'objects'> {
  if (request.client !== undefined) checkContext(`${name}.client`, request.client);
  if (request.launcher !== undefined) checkContext(`${name}.launcher`, request.launcher);
  if (request.rule !== undefined) checkOneOf(`${name}.rule`, request.rule, ['transition', 'change']);
  if (request.action !== undefined) checkOneOf(`${name}.action`, request.action, ['start', 'restore', 'migrate_in']);
  if (request.selinux !== undefined) checkOneOf(`${name}.selinux`, request.selinux, ['require', 'prefer', 'off']);
  const { client, launcher, rule, action, selinux } = request as unknown as StartRequest;
  return withoutPrototype<Omit<NativeStartRequest, 'objects'>>({
    ...(client !== undefined && { client }),
    ...(launcher !== undefined && { launcher }),
    ...normalizeEmulator(`${name}.emulator`, request.emulator),
    rule: rule ?? 'transition',
    action: action ?? 'start',
    selinux: selinux ?? 'require',
  });
}

/** The kernel, initrd, firmware and state of a request, in that order. Takes what {@link takeOptions} made, and its name. */
export function normalizeBlobs(name: string, request: Record<string, unknown>): NativeObjectRequest[] {
  return BLOBS.filter((role) => request[role] !== undefined).map((role) =>
    normalizeBlob(`${name}.${role}`, role, request[role]),
  );
}

/**
 * The action decides which permission the client needs, so it must fit what the VM begins with. (A migration
 * may also arrive over a socket.)
 */
export function checkAction(
  name: string,
  request: Record<string, unknown>,
  action: NativeStartRequest['action'],
  blobs: readonly NativeObjectRequest[],
): void {
  const hasState = blobs.some((blob) => blob.role === 'state');
  if (hasState && action === 'start') {
    throw invalidArgValue(`${name}.action`, action, "must be 'restore' or 'migrate_in' with a state to begin from");
  }
  if (!hasState && action === 'restore') {
    throw invalidArgValue(`${name}.state`, request.state, "is required with action: 'restore'");
  }
}

/**
 * Checks a {@link StartRequest} and fills in its defaults.
 *
 * Objects come out with the disks first, in their order, then kernel, initrd, firmware and state;
 * exactly one of them has `boot: true`: the disk that says so, the only disk, or without disks the kernel.
 *
 * @param given - What the caller handed in, unchecked
 * @param name - What the caller calls it, for messages
 * @throws `TypeError`, `RangeError` with Node's `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`, `ERR_OUT_OF_RANGE`
 */
export function normalizeStartRequest(given: unknown, name = 'request'): NativeStartRequest {
  const request = takeOptions(name, given, REQUEST_KEYS);
  checkArray(`${name}.disks`, request.disks);
  if (request.disks.length > MAX_DISKS)
    throw invalidArgValue(`${name}.disks`, request.disks, `must have at most ${MAX_DISKS} disks`);
  const disks = request.disks.map((disk, index) => normalizeDisk(`${name}.disks[${index}]`, disk));
  const blobs = normalizeBlobs(name, request);
  markBoot(name, request, disks, blobs);
  const common = normalizeCommon(name, request);
  checkAction(name, request, common.action, blobs);
  return withoutPrototype<NativeStartRequest>({ objects: [...disks, ...blobs], ...common });
}
