// `vm-entrypoint/selinux`: libselinux for Node, function by function, under the C names in camel case.
//
// Everything here is synchronous: a question to the kernel takes microseconds. What may take longer
// says so. Arguments are checked first (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`,
// `ERR_OUT_OF_RANGE`); then, unless a function says otherwise,
//
// - `SelinuxUnavailableError` (`ERR_SELINUX_LIBRARY`, `ERR_SELINUX_SYMBOL`, `ERR_SELINUX_DISABLED`)
//   where there is no SELinux to ask;
// - `ContextError` for a context, class or permission that the loaded policy does not know
//   (`ERR_SELINUX_CONTEXT_INVALID`, `ERR_SELINUX_CLASS_UNKNOWN`, `ERR_SELINUX_PERMISSION_UNKNOWN`);
// - `SystemError` for everything else, with `errno`, `code`, `path` or `fd`, and the name of the C
//   function as `syscall`.
import { realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NativeFileContexts } from '../types/native-selinux.js';
import type { Context } from '../types/public.js';
import { ContextError } from './errors.js';
import { native } from './native.js';
import {
  checkArray,
  checkBoolean,
  checkInteger,
  checkKeys,
  checkNonEmptyString,
  checkObject,
  invalidArgType,
} from './validate.js';

const area = native.selinux;

export type { Context } from '../types/public.js';

/** In which form contexts are given and returned. */
export interface ContextOptions {
  /**
   * `true` (default): raw, as the kernel has them. `false`: translated by mcstransd where it runs
   * ("Secret" for "s2"); then each call talks to that daemon over a socket, and waits for it.
   */
  readonly raw?: boolean;
}

const MAX_FD = 0x7fffffff;
const MAX_PID = 0x7fffffff;
const S_IFMT = 0o170000;
const S_IFLNK = 0o120000;

function rawOf(options: ContextOptions | undefined): boolean {
  if (options === undefined) return true;
  checkObject('options', options);
  checkKeys('options', options, ['raw']);
  if (options.raw === undefined) return true;
  checkBoolean('options.raw', options.raw);
  return options.raw;
}

function pathOf(path: string | URL): string {
  const name = path instanceof URL ? fileURLToPath(path) : path;
  checkNonEmptyString('path', name);
  return name;
}

function checkFd(fd: unknown): asserts fd is number {
  checkInteger('fd', fd, 0, MAX_FD);
}

function checkContextArgument(name: string, context: unknown): asserts context is Context {
  checkNonEmptyString(name, context);
}

// --- The running system ---------------------------------------------------------------------------

/**
 * Whether SELinux is enabled in the running kernel. libselinux finds out once, when it is loaded; from
 * Linux 6.8 on the kernel's own list of active security modules must agree.
 *
 * @throws SelinuxUnavailableError `ERR_SELINUX_LIBRARY` where libselinux is not installed: then nobody knows
 * @see is_selinux_enabled(3)
 */
export function isSelinuxEnabled(): boolean {
  return area.isSelinuxEnabled();
}

/**
 * Whether SELinux is enabled with a policy that has levels. True for MCS policies too.
 * @see is_selinux_mls_enabled(3)
 */
export function isSelinuxMlsEnabled(): boolean {
  return isSelinuxEnabled() && area.isSelinuxMlsEnabled();
}

/**
 * Whether the policy denies classes and permissions that it does not know. Where it does not,
 * libselinux's own check functions grant them; nothing of this package does.
 * @see security_deny_unknown(3)
 */
export function securityDenyUnknown(): boolean {
  return area.securityDenyUnknown();
}

/**
 * Whether the kernel refuses to load a policy that lacks classes or permissions which it knows.
 * @see security_reject_unknown(3)
 */
export function securityRejectUnknown(): boolean {
  return area.securityRejectUnknown();
}

/**
 * `true` in enforcing mode, `false` in permissive mode.
 * @see security_getenforce(3)
 */
export function securityGetenforce(): boolean {
  return area.securityGetenforce();
}

/**
 * Switches the whole system to enforcing (`true`) or permissive mode (`false`). Needs
 * `security setenforce`.
 * @see security_setenforce(3)
 */
export function securitySetenforce(enforcing: boolean): void {
  checkBoolean('enforcing', enforcing);
  area.securitySetenforce(enforcing);
}

/**
 * The newest policy version that the kernel reads.
 * @see security_policyvers(3)
 */
export function securityPolicyvers(): number {
  return area.securityPolicyvers();
}

/**
 * The policy's name from `/etc/selinux/config` (`'default'`, `'targeted'`, `'mls'`). Also where SELinux is off.
 * @see selinux_getpolicytype(3)
 */
export function selinuxGetpolicytype(): string {
  return area.selinuxGetpolicytype();
}

/** One consistent reading of the kernel's status page. */
export interface SelinuxStatus {
  /** Changes with every policy load and every switch of the mode. */
  readonly sequence: number;
  readonly enforcing: boolean;
  /** Counts policy loads. A change of booleans is one. */
  readonly policyload: number;
  /** As {@link securityDenyUnknown}. */
  readonly denyUnknown: boolean;
}

/**
 * Reads the kernel's status page, which is mapped once: no system call.
 * @throws PolicyChangedError `ERR_SELINUX_POLICY_CHANGED` when it kept changing
 * @see selinux_status_open(3)
 */
export function selinuxStatus(): SelinuxStatus {
  return area.selinuxStatus();
}

export { SelinuxWatcher, type WatchOptions, watch } from './selinux-watcher.js';

// --- Processes ------------------------------------------------------------------------------------

/**
 * The context of this process.
 * @see getcon(3)
 */
export function getcon(options?: ContextOptions): Context {
  return area.getcon(rawOf(options));
}

/**
 * The context that this process had before its last exec.
 * @see getprevcon(3)
 */
export function getprevcon(options?: ContextOptions): Context {
  return area.getprevcon(rawOf(options));
}

/**
 * The context of another process. Racy by nature: the process may end, exec or be replaced by another
 * with the same number before the answer is used. Never decide by it; see {@link getpeercon}.
 * @see getpidcon(3)
 */
export function getpidcon(pid: number, options?: ContextOptions): Context {
  checkInteger('pid', pid, 1, MAX_PID);
  return area.getpidcon(pid, rawOf(options));
}

/**
 * The context that another process had before its last exec. As racy as {@link getpidcon}.
 * @throws SystemError `ENOSYS` before libselinux 3.5
 * @see getpidprevcon(3)
 */
export function getpidprevcon(pid: number, options?: ContextOptions): Context {
  checkInteger('pid', pid, 1, MAX_PID);
  return area.getpidprevcon(pid, rawOf(options));
}

/**
 * The context of the process at the other end of a connected unix socket, as it was when it connected
 * (for a socketpair: when it was made).
 *
 * @param fd - the socket's descriptor
 * @throws SystemError `ENOPROTOOPT` for a socket that has no labelled peer
 * @see getpeercon(3)
 */
export function getpeercon(fd: number, options?: ContextOptions): Context {
  checkFd(fd);
  return area.getpeercon(fd, rawOf(options));
}

type Setter = (context: Context | null, raw: boolean) => void;

function setAttribute(setter: Setter, context: Context | null, options: ContextOptions | undefined): void {
  const raw = rawOf(options);
  if (context !== null) checkContextArgument('context', context);
  setter(context, raw);
}

/**
 * The context that the next exec of **the calling thread** goes to, `null` where none is set.
 * @see getexeccon(3)
 */
export function getexeccon(options?: ContextOptions): Context | null {
  return area.getexeccon(rawOf(options));
}

/**
 * Sets the context that the next exec of **the calling thread** (and of children that it makes) goes
 * to; `null` clears.
 *
 * Bound to the thread, and it stays until it is cleared: every `child_process` call of this thread
 * runs there, also those of unrelated code after the next `await`. Use `withExecContext` of
 * `vm-entrypoint`, which always clears. Other threads do not have it, except those that are **started**
 * meanwhile: they begin with a copy that nobody clears. So start no Worker while it is set.
 *
 * @throws SystemError `EACCES` without `process setexec`
 * @throws ContextError when the policy does not know the context
 * @see setexeccon(3)
 */
export function setexeccon(context: Context | null, options?: ContextOptions): void {
  setAttribute(area.setexeccon, context, options);
}

/**
 * The label that files made by **the calling thread** get, `null` where policy chooses.
 * @see getfscreatecon(3)
 */
export function getfscreatecon(options?: ContextOptions): Context | null {
  return area.getfscreatecon(rawOf(options));
}

/**
 * Sets the label of files made by **the calling thread**; `null` lets policy choose again.
 *
 * Bound to the thread: only synchronous calls (`fs.openSync`, `fs.mkdirSync`) run on it. Asynchronous
 * `fs` functions work on threads of the pool, which this does not reach; but a thread that is **started**
 * meanwhile begins with a copy that nobody clears, and the pool's threads are started by the first
 * asynchronous call. Clear it before the next asynchronous call of any kind.
 *
 * @throws SystemError `EACCES` without `process setfscreate`
 * @see setfscreatecon(3)
 */
export function setfscreatecon(context: Context | null, options?: ContextOptions): void {
  setAttribute(area.setfscreatecon, context, options);
}

/**
 * The label that sockets made by **the calling thread** get, `null` where policy chooses.
 * @see getsockcreatecon(3)
 */
export function getsockcreatecon(options?: ContextOptions): Context | null {
  return area.getsockcreatecon(rawOf(options));
}

/**
 * Sets the label of sockets made by **the calling thread**; `null` lets policy choose again. Bound to the
 * thread, and copied to threads that are started meanwhile: clear it before the next `await`, or the
 * sockets of unrelated code get it.
 *
 * @throws SystemError `EACCES` without `process setsockcreate`
 * @see setsockcreatecon(3)
 */
export function setsockcreatecon(context: Context | null, options?: ContextOptions): void {
  setAttribute(area.setsockcreatecon, context, options);
}

/**
 * The label that kernel keys made by **the calling thread** get, `null` where policy chooses.
 * @see getkeycreatecon(3)
 */
export function getkeycreatecon(options?: ContextOptions): Context | null {
  return area.getkeycreatecon(rawOf(options));
}

/**
 * Sets the label of kernel keys made by **the calling thread**; `null` lets policy choose again.
 *
 * @throws SystemError `EACCES` without `process setkeycreate`
 * @see setkeycreatecon(3)
 */
export function setkeycreatecon(context: Context | null, options?: ContextOptions): void {
  setAttribute(area.setkeycreatecon, context, options);
}

// --- Contexts -------------------------------------------------------------------------------------

/**
 * Whether the loaded policy accepts a context.
 * @see security_check_context(3)
 */
export function securityCheckContext(context: Context, options?: ContextOptions): boolean {
  checkContextArgument('context', context);
  return area.securityCheckContext(context, rawOf(options));
}

/**
 * The kernel's own spelling of a context. Compare contexts in this form, never as they came.
 * @throws ContextError when the policy does not know the context
 * @see security_canonicalize_context(3)
 */
export function securityCanonicalizeContext(context: Context, options?: ContextOptions): Context {
  checkContextArgument('context', context);
  return area.securityCanonicalizeContext(context, rawOf(options));
}

/**
 * A translated context in raw form. Unchanged where no translation daemon runs. Also where SELinux is off.
 * @see selinux_trans_to_raw_context(3)
 */
export function selinuxTransToRawContext(translated: Context): Context {
  checkContextArgument('translated', translated);
  return area.selinuxTransToRawContext(translated);
}

/**
 * A raw context as people read it. Unchanged where no translation daemon runs. Also where SELinux is off.
 * @see selinux_raw_to_trans_context(3)
 */
export function selinuxRawToTransContext(raw: Context): Context {
  checkContextArgument('raw', raw);
  return area.selinuxRawToTransContext(raw);
}

// --- File labels ----------------------------------------------------------------------------------

/**
 * The label of the file that `path` leads to; `null` for a file without one.
 *
 * Works where SELinux is off too: then it is only an attribute that somebody wrote. A path may lead to
 * another file by the time the answer is used; {@link fgetfilecon} on an open descriptor does not.
 *
 * @throws SystemError `ENOTSUP` on a file system that has no labels
 * @see getfilecon(3)
 */
export function getfilecon(path: string | URL, options?: ContextOptions): Context | null {
  return area.getfilecon(pathOf(path), rawOf(options));
}

/**
 * As {@link getfilecon}, but of a symbolic link itself.
 * @see lgetfilecon(3)
 */
export function lgetfilecon(path: string | URL, options?: ContextOptions): Context | null {
  return area.lgetfilecon(pathOf(path), rawOf(options));
}

/**
 * The label of an open file; `null` for a file without one. Also for descriptors opened with `O_PATH`
 * (with libselinux 3.4 or newer).
 * @see fgetfilecon(3)
 */
export function fgetfilecon(fd: number, options?: ContextOptions): Context | null {
  checkFd(fd);
  return area.fgetfilecon(fd, rawOf(options));
}

/**
 * Labels the file that `path` leads to. Needs `relabelfrom` on the old and `relabelto` on the new label.
 * @throws ContextError when the policy does not know the context
 * @see setfilecon(3)
 */
export function setfilecon(path: string | URL, context: Context, options?: ContextOptions): void {
  const name = pathOf(path);
  checkContextArgument('context', context);
  area.setfilecon(name, context, rawOf(options));
}

/**
 * As {@link setfilecon}, but on a symbolic link itself.
 * @see lsetfilecon(3)
 */
export function lsetfilecon(path: string | URL, context: Context, options?: ContextOptions): void {
  const name = pathOf(path);
  checkContextArgument('context', context);
  area.lsetfilecon(name, context, rawOf(options));
}

/**
 * Labels an open file.
 * @see fsetfilecon(3)
 */
export function fsetfilecon(fd: number, context: Context, options?: ContextOptions): void {
  checkFd(fd);
  checkContextArgument('context', context);
  area.fsetfilecon(fd, context, rawOf(options));
}

function modeOf(mode: unknown): number {
  checkInteger('mode', mode, 0, 0xffff);
  return mode & S_IFMT;
}

/**
 * An open table of which label belongs to which path (the policy's file_contexts). Made by
 * {@link selabelOpen}; it stays as it was when it was opened.
 */
export class FileContexts {
  readonly #table: NativeFileContexts;

  /** @internal */
  constructor(table: NativeFileContexts) {
    this.#table = table;
  }

  /**
   * The label that policy wants at `path`; `null` where it says nothing or `<<none>>`.
   *
   * @param mode - the file type bits of `fs.Stats.mode` (`fs.constants.S_IFREG`, …); 0, the default, for any type
   * @throws StateError `ERR_CLOSED` after `close()`
   * @see selabel_lookup(3)
   */
  lookup(path: string | URL, mode = 0, options?: ContextOptions): Context | null {
    return this.#table.lookup(pathOf(path), modeOf(mode), rawOf(options));
  }

  /** Releases the table. Idempotent. */
  close(): void {
    this.#table.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens the policy's file_contexts, or another file of that form. Reading and compiling it takes some
 * milliseconds; keep it open for many look-ups, and open it again after a `'policyload'`. Also where
 * SELinux is off.
 *
 * @throws SystemError when the file cannot be read
 * @see selabel_open(3)
 */
export function selabelOpen(path?: string | URL): FileContexts {
  return new FileContexts(area.selabelOpen(path === undefined ? '' : pathOf(path)));
}

/**
 * The label that policy wants at a path: {@link selabelOpen}, one look-up, and closed again.
 * @see selabel_lookup(3)
 */
export function selabelLookup(path: string | URL, mode = 0, options?: ContextOptions): Context | null {
  const name = pathOf(path);
  const type = modeOf(mode);
  const raw = rawOf(options);
  const table = area.selabelOpen('');
  try {
    return table.lookup(name, type, raw);
  } finally {
    table.close();
  }
}

function realpathNotFinal(path: string): string {
  return join(realpathSync(dirname(path)), basename(path));
}

/**
 * The label that policy wants for the file that `path` leads to: symbolic links in it are followed first
 * (the last one not, when `mode` says `S_IFLNK`). `null` where policy says nothing or `<<none>>`.
 * @see matchpathcon(3)
 */
export function matchpathcon(path: string | URL, mode = 0, options?: ContextOptions): Context | null {
  const name = pathOf(path);
  let real = name;
  try {
    real = modeOf(mode) === S_IFLNK ? realpathNotFinal(name) : realpathSync(name);
  } catch (error) {
    // As in C: a path that does not exist (yet) is looked up as it is.
    if ((error as { syscall?: string }).syscall === undefined) throw error;
  }
  return selabelLookup(real, mode, options);
}

// --- Questions to the policy ----------------------------------------------------------------------

/** What the policy answers about one source, target and class. */
export interface AccessVector {
  /** The permissions that are granted. */
  readonly allowed: readonly string[];
  /** The permissions that the answer is about: all, from every present kernel. */
  readonly decided: readonly string[];
  /** Audited when granted. */
  readonly auditallow: readonly string[];
  /** Audited when denied; what is missing here is hidden by a dontaudit rule. */
  readonly auditdeny: readonly string[];
  /** Of the requested permissions, those that are not granted. */
  readonly denied: readonly string[];
  /** The source is a permissive type: denials are only logged. */
  readonly permissive: boolean;
  /** The vectors as bits, in the policy's own numbering. */
  readonly bits: {
    readonly allowed: number;
    readonly decided: number;
    readonly auditallow: number;
    readonly auditdeny: number;
  };
  /** The policy load that the answer is of. */
  readonly seqno: number;
  /** `SELINUX_AVD_FLAGS_*`. */
  readonly flags: number;
  /** The class's number in this policy, and the names of its bits. */
  readonly objectClass: { readonly value: number; readonly name: string; readonly permissions: readonly string[] };
}

function namesOf(permissions: readonly string[], bits: number): string[] {
  return permissions.filter((name, bit) => name !== '' && (bits & (1 << bit)) !== 0);
}

function checkClass(objectClass: unknown): asserts objectClass is string | number {
  if (typeof objectClass === 'number') checkInteger('objectClass', objectClass, 1, 0xffff);
  else if (typeof objectClass === 'string') checkNonEmptyString('objectClass', objectClass);
  else throw invalidArgType('objectClass', 'of type string or number', objectClass);
}

function classNameOf(objectClass: string | number): string {
  return typeof objectClass === 'string' ? objectClass : area.findClass(objectClass).name;
}

function permissionUnknown(objectClass: string, permission: string): ContextError {
  return new ContextError(
    'ERR_SELINUX_PERMISSION_UNKNOWN',
    `The loaded policy has no permission '${permission}' in class '${objectClass}'`,
  );
}

function bitOf(objectClass: { readonly name: string; readonly permissions: readonly string[] }, name: string): number {
  const index = objectClass.permissions.indexOf(name);
  if (index < 0) throw permissionUnknown(objectClass.name, name);
  return (1 << index) >>> 0;
}

/**
 * Which permissions the policy grants `source` on `target`. What it says is the policy's rules alone: in
 * permissive mode, or for a permissive source type, the kernel also lets through what is not granted.
 *
 * @param objectClass - name of the class, or its number in the loaded policy
 * @param requested - permissions to be told about in `denied`; the vectors are always complete
 * @throws ContextError for a context, class or permission that the policy does not know, whatever it says about unknown ones
 * @throws SystemError `EACCES` without `security compute_av`
 * @see security_compute_av_flags(3)
 */
export function securityComputeAv(
  source: Context,
  target: Context,
  objectClass: string | number,
  requested: string | readonly string[] = [],
  options?: ContextOptions,
): AccessVector {
  checkContextArgument('source', source);
  checkContextArgument('target', target);
  checkClass(objectClass);
  const wanted = typeof requested === 'string' ? [requested] : requested;
  checkArray('requested', wanted);
  for (const [index, name] of wanted.entries()) checkNonEmptyString(`requested[${index}]`, name);
  const answer = area.securityComputeAv(source, target, classNameOf(objectClass), rawOf(options));
  const { permissions } = answer.objectClass;
  const wantedBits = wanted.reduce((bits, name) => bits | bitOf(answer.objectClass, name), 0);
  return {
    allowed: namesOf(permissions, answer.allowed & answer.decided),
    decided: namesOf(permissions, answer.decided),
    auditallow: namesOf(permissions, answer.auditallow),
    auditdeny: namesOf(permissions, answer.auditdeny),
    denied: namesOf(permissions, wantedBits & ~(answer.allowed & answer.decided)),
    permissive: (answer.flags & 1) !== 0,
    bits: {
      allowed: answer.allowed,
      decided: answer.decided,
      auditallow: answer.auditallow,
      auditdeny: answer.auditdeny,
    },
    seqno: answer.seqno,
    flags: answer.flags,
    objectClass: answer.objectClass,
  };
}

/** Options of {@link securityComputeCreate}. */
export interface ComputeCreateOptions extends ContextOptions {
  /** The last component of the new object's name, for rules that depend on it. */
  readonly objectName?: string;
}

/**
 * The context of a new object of class `objectClass` that `source` makes in or from `target`
 * (type_transition). Policy without a rule still answers, by default: for a class without `defaultrole` the
 * answer is then the target's own type with role `object_r`.
 *
 * @throws SystemError `EACCES` where policy makes no valid context of the two, or without `security compute_create`
 * @see security_compute_create(3), security_compute_create_name(3)
 */
export function securityComputeCreate(
  source: Context,
  target: Context,
  objectClass: string | number,
  options: ComputeCreateOptions = {},
): Context {
  checkContextArgument('source', source);
  checkContextArgument('target', target);
  checkClass(objectClass);
  checkObject('options', options);
  checkKeys('options', options, ['raw', 'objectName']);
  const { objectName, ...rest } = options;
  if (objectName !== undefined) checkNonEmptyString('options.objectName', objectName);
  const raw = rawOf(rest);
  return area.securityComputeCreate(source, target, classNameOf(objectClass), objectName, raw);
}

/**
 * The context that an object is to be relabelled to (type_change).
 * @throws SystemError `EACCES` where policy makes no valid context of the two, or without `security compute_relabel`
 * @see security_compute_relabel(3)
 */
export function securityComputeRelabel(
  source: Context,
  target: Context,
  objectClass: string | number,
  options?: ContextOptions,
): Context {
  checkContextArgument('source', source);
  checkContextArgument('target', target);
  checkClass(objectClass);
  const raw = rawOf(options);
  return area.securityComputeRelabel(source, target, classNameOf(objectClass), raw);
}

/**
 * The context of the member of a polyinstantiated object (type_member).
 * @throws SystemError `EACCES` where policy makes no valid context of the two, or without `security compute_member`
 * @see security_compute_member(3)
 */
export function securityComputeMember(
  source: Context,
  target: Context,
  objectClass: string | number,
  options?: ContextOptions,
): Context {
  checkContextArgument('source', source);
  checkContextArgument('target', target);
  checkClass(objectClass);
  const raw = rawOf(options);
  return area.securityComputeMember(source, target, classNameOf(objectClass), raw);
}

/**
 * The number of a class in the loaded policy. It holds until the policy is loaded again.
 * @throws ContextError `ERR_SELINUX_CLASS_UNKNOWN`
 * @see string_to_security_class(3)
 */
export function stringToSecurityClass(name: string): number {
  checkNonEmptyString('name', name);
  return area.findClass(name).value;
}

/**
 * The name of a class of the loaded policy.
 * @throws ContextError `ERR_SELINUX_CLASS_UNKNOWN`
 * @see security_class_to_string(3)
 */
export function securityClassToString(objectClass: number): string {
  checkInteger('objectClass', objectClass, 1, 0xffff);
  return area.findClass(objectClass).name;
}

/**
 * The bit of a permission in the loaded policy's access vectors, as a number of 32 bits.
 * @throws ContextError `ERR_SELINUX_CLASS_UNKNOWN`, `ERR_SELINUX_PERMISSION_UNKNOWN`
 * @see string_to_av_perm(3)
 */
export function stringToAvPerm(objectClass: string | number, permission: string): number {
  checkClass(objectClass);
  checkNonEmptyString('permission', permission);
  return bitOf(area.findClass(objectClass), permission);
}

/**
 * The name of one permission bit.
 * @param permission - exactly one bit, as {@link stringToAvPerm} gives it
 * @throws ContextError `ERR_SELINUX_CLASS_UNKNOWN`, `ERR_SELINUX_PERMISSION_UNKNOWN`
 * @see security_av_perm_to_string(3)
 */
export function securityAvPermToString(objectClass: string | number, permission: number): string {
  checkClass(objectClass);
  checkInteger('permission', permission, 1, 0xffffffff);
  const found = area.findClass(objectClass);
  const name = Number.isInteger(Math.log2(permission)) ? found.permissions[Math.log2(permission)] : undefined;
  if (!name) throw permissionUnknown(found.name, `0x${permission.toString(16)}`);
  return name;
}

// --- Booleans -------------------------------------------------------------------------------------

/**
 * The names of the policy's booleans.
 * @see security_get_boolean_names(3)
 */
export function securityGetBooleanNames(): string[] {
  return area.securityGetBooleanNames();
}

/**
 * The value that is in force.
 * @throws SystemError `ENOENT` where the policy has no such boolean
 * @see security_get_boolean_active(3)
 */
export function securityGetBooleanActive(name: string): boolean {
  checkNonEmptyString('name', name);
  return area.securityGetBooleanActive(name);
}

/**
 * The value that the next commit puts in force.
 * @throws SystemError `ENOENT` where the policy has no such boolean
 * @see security_get_boolean_pending(3)
 */
export function securityGetBooleanPending(name: string): boolean {
  checkNonEmptyString('name', name);
  return area.securityGetBooleanPending(name);
}

/**
 * Sets the pending value; {@link securityCommitBooleans} puts it in force. Needs `security setbool`.
 * @see security_set_boolean(3)
 */
export function securitySetBoolean(name: string, value: boolean): void {
  checkNonEmptyString('name', name);
  checkBoolean('value', value);
  area.securitySetBoolean(name, value);
}

/**
 * Puts all pending values in force at once. Counts as a policy load. Until the next reboot or
 * `semodule -B`: permanent values are libsemanage's (setsebool -P).
 * @see security_commit_booleans(3)
 */
export function securityCommitBooleans(): void {
  area.securityCommitBooleans();
}

/**
 * Sets several booleans and puts them in force, all or none.
 * @see security_set_boolean_list(3)
 */
export function securitySetBooleanList(values: Readonly<Record<string, boolean>>): void {
  checkObject('values', values);
  const names = Object.keys(values);
  for (const name of names) {
    checkNonEmptyString('values', name);
    checkBoolean(`values.${name}`, values[name]);
  }
  area.securitySetBooleanList(names, Object.values(values));
}

// --- Short names ----------------------------------------------------------------------------------

export {
  securityCanonicalizeContext as canonicalizeContext,
  securityCheckContext as checkContext,
  securityComputeAv as computeAv,
  securityComputeCreate as computeCreate,
  securityComputeMember as computeMember,
  securityComputeRelabel as computeRelabel,
  securityGetenforce as getenforce,
  securitySetenforce as setenforce,
};
