// The error classes, and the one place where a native failure becomes an error of one of them.
import { getSystemErrorMap } from 'node:util';
import type { NativeErrorInfo } from '../types/native.js';
import type { Check, Context, Decision } from '../types/public.js';
import { refusingChecks } from './denial-message.js';

/** Base of every error of this package that is not a misuse (`TypeError`, `RangeError`) or an abort. */
export class VmEntrypointError extends Error {
  override name = 'VmEntrypointError';
  /** Stable and greppable: an `ERR_*` code of docs/errors.md, or an errno name such as `EACCES`. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** All that is known about the failure besides its text, in one frozen object: for logs. */
  get info(): Readonly<Record<string, unknown>> {
    return Object.freeze({ ...this });
  }
}

/** A system call failed. Same properties as Node's own system errors. */
export class SystemError extends VmEntrypointError {
  override name = 'SystemError';
  /** Negative, as in Node. */
  readonly errno: number;
  /** The C function or system call. */
  readonly syscall: string;
  declare readonly path?: string;
  declare readonly fd?: number;

  constructor(code: string, message: string, info: NativeErrorInfo) {
    super(code, message);
    this.errno = info.errno ?? 0;
    this.syscall = info.syscall ?? '';
    if (info.path !== undefined) this.path = info.path;
    if (info.fd !== undefined) this.fd = info.fd;
  }
}

/** SELinux could not answer. */
export class SelinuxError extends VmEntrypointError {
  override name = 'SelinuxError';
  declare readonly errno?: number;
  declare readonly syscall?: string;
  declare readonly path?: string;

  constructor(code: string, message: string, info: NativeErrorInfo = {}) {
    super(code, message);
    if (info.errno !== undefined) this.errno = info.errno;
    if (info.syscall !== undefined) this.syscall = info.syscall;
    if (info.path !== undefined) this.path = info.path;
  }
}

/** No SELinux here: `ERR_SELINUX_LIBRARY`, `ERR_SELINUX_DISABLED` or `ERR_SELINUX_SYMBOL`. */
export class SelinuxUnavailableError extends SelinuxError {
  override name = 'SelinuxUnavailableError';
}

/** A context, class or permission that the policy does not have: `ERR_SELINUX_CONTEXT_INVALID`, `…_CLASS_UNKNOWN`, `…_PERMISSION_UNKNOWN`. */
export class ContextError extends SelinuxError {
  override name = 'ContextError';
}

/**
 * The policy refuses the start. Carries the whole decision, and in the words of an AVC record the check that the
 * message names: the first of those that refuse.
 */
export class AccessDeniedError extends SelinuxError {
  override name = 'AccessDeniedError';
  readonly decision: Decision;
  /** Source context. */
  readonly scontext: Context;
  /** Target context. */
  readonly tcontext: Context;
  /** Object class. */
  readonly tclass: string;
  /** The permissions that were asked for; the name of the rule where policy names no domain. */
  readonly requested: readonly string[];
  /** Those of them that are refused. */
  readonly denied: readonly string[];
  /** Always false: what is denied and not enforced refuses nothing. */
  readonly permissive: boolean;
  /** The policy that refused: the sequence of the kernel's status page. */
  readonly policySequence: number;

  /** @param decision - One that refuses: it has a check that does */
  constructor(decision: Decision, message: string) {
    super('ERR_SELINUX_DENIED', message);
    const check = refusingChecks(decision)[0] as Check;
    this.decision = decision;
    this.scontext = check.source;
    this.tcontext = check.target;
    this.tclass = check.objectClass;
    this.requested = check.requested;
    this.denied = check.denied;
    this.permissive = check.permissive;
    this.policySequence = decision.policySequence;
  }
}

/** The policy kept changing while it was asked: try again. */
export class PolicyChangedError extends SelinuxError {
  override name = 'PolicyChangedError';
  readonly retryable = true;
}

/** An image that is refused as it is: `ERR_DISK_NOT_REGULAR`, `…_HEADER`, `…_FORMAT_MISMATCH`, `…_BACKING_CHAIN`, `…_FEATURE`, `…_CHANGED`, `…_UNLABELED`. */
export class DiskError extends VmEntrypointError {
  override name = 'DiskError';
  declare readonly path?: string;
  declare readonly errno?: number;
  declare readonly syscall?: string;

  constructor(code: string, message: string, info: NativeErrorInfo = {}) {
    super(code, message);
    if (info.path !== undefined) this.path = info.path;
    if (info.errno !== undefined) this.errno = info.errno;
    if (info.syscall !== undefined) this.syscall = info.syscall;
  }
}

/** The child could not be made, or was not what it had to be: an `ERR_LAUNCH_*` code of docs/errors.md. */
export class LaunchError extends VmEntrypointError {
  override name = 'LaunchError';
  declare readonly errno?: number;
  declare readonly syscall?: string;
  declare readonly path?: string;
  /** The emulator's arguments, as on errors of `child_process.spawn`. */
  declare spawnargs?: readonly string[];

  constructor(code: string, message: string, info: NativeErrorInfo = {}) {
    super(code, message);
    if (info.errno !== undefined) this.errno = info.errno;
    if (info.syscall !== undefined) this.syscall = info.syscall;
    if (info.path !== undefined) this.path = info.path;
  }
}

/** Used in a state that does not allow it, such as `ERR_CLOSED`: the codes of class `StateError` in docs/errors.md. */
export class StateError extends VmEntrypointError {
  override name = 'StateError';
}

/** Same shape as Node's own: `name: 'AbortError'`, `code: 'ABORT_ERR'`, `cause` the signal's reason. */
export class AbortError extends Error {
  override name = 'AbortError';
  readonly code = 'ABORT_ERR';

  constructor(reason?: unknown) {
    super('The operation was aborted', reason === undefined ? undefined : { cause: reason });
  }
}

// Longest first: a code belongs to the class of the first entry that it starts with. A prefix ends with `_`.
const CLASSES: readonly [prefix: string, make: (code: string, message: string, info: NativeErrorInfo) => Error][] = [
  ['ERR_SELINUX_LIBRARY', (c, m, i) => new SelinuxUnavailableError(c, m, i)],
  ['ERR_SELINUX_DISABLED', (c, m, i) => new SelinuxUnavailableError(c, m, i)],
  ['ERR_SELINUX_SYMBOL', (c, m, i) => new SelinuxUnavailableError(c, m, i)],
  ['ERR_SELINUX_POLICY_CHANGED', (c, m, i) => new PolicyChangedError(c, m, i)],
  ['ERR_SELINUX_CONTEXT_', (c, m, i) => new ContextError(c, m, i)],
  ['ERR_SELINUX_CLASS_', (c, m, i) => new ContextError(c, m, i)],
  ['ERR_SELINUX_PERMISSION_', (c, m, i) => new ContextError(c, m, i)],
  ['ERR_SELINUX_', (c, m, i) => new SelinuxError(c, m, i)],
  ['ERR_DISK_', (c, m, i) => new DiskError(c, m, i)],
  ['ERR_LAUNCH_', (c, m, i) => new LaunchError(c, m, i)],
  ['ERR_INVALID_', (c, m) => Object.assign(new TypeError(m), { code: c })],
  ['ERR_OUT_OF_RANGE', (c, m) => Object.assign(new RangeError(m), { code: c })],
  ['ERR_', (c, m) => new StateError(c, m)],
];

/** Makes the error for a native failure. Handed to the addon, which has no error classes of its own. */
export function createNativeError(info: NativeErrorInfo): Error {
  const [errnoName, errnoText] = getSystemErrorMap().get(info.errno ?? 0) ?? ['UNKNOWN', 'unknown error'];
  const object = info.path !== undefined ? ` '${info.path}'` : info.fd !== undefined ? ` (descriptor ${info.fd})` : '';
  const system =
    info.errno === undefined ? '' : `${errnoName}: ${errnoText}${info.syscall ? `, ${info.syscall}` : ''}${object}`;

  if (info.code === undefined) {
    return new SystemError(errnoName, info.message ? `${system}: ${info.message}` : system, info);
  }
  const text = info.message ?? info.code;
  const message = `${text}${info.errno === undefined ? object && `,${object}` : ` (${system})`}`;
  const [, make] = CLASSES.find(([prefix]) => info.code?.startsWith(prefix)) ?? [];
  return make === undefined ? new VmEntrypointError(info.code, message) : make(info.code, message, info);
}
