// The part of the options of launch() that is about the process: checked here, and put into the form that the
// addon takes.
import { fileURLToPath } from 'node:url';
import type { NativePrepareRequest, NativeSpawnRequest, NativeStdioRequest } from '../types/native.js';
import type { LimitValue, ProcessOptions, ResourceLimit, ResourceName } from '../types/public.js';
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
} from './validate.js';
import { signalNumber } from './virtual-machine.js';

/** The options of a process. */
export const PROCESS_KEYS: readonly (keyof ProcessOptions)[] = [
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
];

const DEFAULT_ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin' };
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
  // Another user must not keep the groups of this one. (libuv tries, and goes on when it may not; here that is an
  // error, and who only names the user that it is anyway may keep them.)
  const another =
    (uid !== undefined && uid !== process.geteuid?.()) || (gid !== undefined && gid !== process.getegid?.());
  const root = (uid !== undefined || gid !== undefined) && process.geteuid?.() === 0;
  const dropGroups = groups === undefined && (another || root);
  return {
    ...(identity.uid !== undefined && { uid: identity.uid }),
    ...(identity.gid !== undefined && { gid: identity.gid }),
    ...(identity.groups !== undefined && { groups: [...identity.groups] }),
    ...(dropGroups && { groups: [] }),
  };
}

/** The checked options: what the addon takes, and what `launch` itself sees to once the VM runs. */
export interface NormalizedProcess {
  readonly request: Omit<NativeSpawnRequest, 'arguments' | 'imageTargets' | 'reopened'>;
  /** In {@link request}'s place in the call before: native code takes the descriptors over at once. */
  readonly stdio: NativePrepareRequest['stdio'];
  readonly signal: AbortSignal | undefined;
  readonly killSignal: number;
  readonly timeout: number;
}

/**
 * Checks {@link ProcessOptions} and fills in the defaults. Takes what `takeOptions` made.
 *
 * @throws `TypeError`, `RangeError` with `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`, `ERR_OUT_OF_RANGE` or
 *   `ERR_UNKNOWN_SIGNAL`
 */
export function normalizeProcess(options: Record<string, unknown>): NormalizedProcess {
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
