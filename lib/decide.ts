// The decision for programs: may this client start a VM from these images, and in which domain.
import { availableParallelism } from 'node:os';
import type { NativeManyResult, NativePrepared } from '../types/native.js';
import type { CacheStatistics, Context, Decision, DiskRequest, StartRequest } from '../types/public.js';
import { untilAborted } from './abort.js';
import { decisionSummary, denialText, missingFor, missingRules } from './denial-message.js';
import { native } from './native.js';
import {
  checkAction,
  checkContext,
  normalizeBlobs,
  normalizeCommon,
  normalizeDisk,
  normalizeStartRequest,
  REQUEST_KEYS,
} from './start-request.js';
import {
  checkAbortSignal,
  checkArray,
  checkFunction,
  checkInteger,
  checkKeys,
  checkNonEmptyString,
  checkObject,
  checkString,
  invalidArgValue,
  takeOptions,
  withoutPrototype,
} from './validate.js';

/**
 * Asks the policy whether this start is allowed, and in which domain the VM would run.
 *
 * Every question is asked and all verdicts come back together; a refusal is a value. Nothing is
 * logged: a decision is a question, not an access.
 *
 * Opens, labels and reads headers on the calling thread; {@link decideAsync} does not.
 *
 * @param request - Disks (with their declared formats), and who starts what. Disks may be given by
 * path, by descriptor, or by context alone; with contexts only, nothing is opened
 * @returns Whether it is allowed, the VM's context, and each check with the rule that would grant it
 * @throws `TypeError`, `RangeError` for wrong options, before anything is opened
 * @throws {@link SelinuxUnavailableError} without SELinux, unless `selinux` says `'prefer'` or `'off'`
 * @throws {@link ContextError} when the loaded policy has no class `vm` (`ERR_SELINUX_CLASS_UNKNOWN`)
 * @throws {@link DiskError} for an image that is refused as it is
 * @throws {@link PolicyChangedError} when the policy kept changing while it was asked
 * @see security_compute_av(3), security_compute_create(3), security_compute_relabel(3)
 */
export function decide(request: StartRequest): Decision {
  return native.decision.decide(normalizeStartRequest(request));
}

/**
 * {@link decide} off the event loop.
 *
 * @param options - `signal`: aborting it rejects at once
 * @throws As {@link decide}; {@link AbortError}
 */
export async function decideAsync(
  request: StartRequest,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Decision> {
  const normalized = normalizeStartRequest(request);
  checkObject('options', options);
  checkKeys('options', options, ['signal']);
  const { signal } = options;
  if (signal !== undefined) checkAbortSignal('options.signal', signal);
  return untilAborted(signal, () => native.decision.decideAsync(normalized));
}

/** A decision with what is missing, for people. */
export interface Explanation {
  readonly decision: Decision;
  /** CIL statements that would grant what was denied; `; …` where no statement can. Each once. */
  readonly missing: readonly string[];
  /** Lines of text: the result, then each question with its verdict. */
  readonly lines: readonly string[];
}

/**
 * {@link decide}, with every question spelled out and the rules that are missing.
 *
 * @throws As {@link decide}
 */
export function explain(request: StartRequest): Explanation {
  const decision = decide(request);
  const lines = [decisionSummary(decision)];
  for (const check of decision.checks) {
    if (check.denied.length === 0) {
      lines.push(
        `granted { ${check.requested.join(' ')} } scontext=${check.source} tcontext=${check.target} tclass=${check.objectClass} (${check.question}: ${check.subject})`,
      );
      continue;
    }
    const hidden = check.auditable ? '' : ', hidden from the log by a dontaudit rule';
    lines.push(`${denialText(check)} (${check.question}: ${check.subject}${hidden})`);
    const missing = missingFor(check);
    if (missing !== null) lines.push(`  missing: ${missing}`);
  }
  return { decision, missing: missingRules(decision), lines };
}

/**
 * The bits of a verdict: 0 is allowed, and every other value is a refusal.
 *
 * The first six are the questions of {@link CheckQuestion} with an enforced denial.
 */
export const VERDICT: Readonly<
  Record<
    'readDisk' | 'vmDomain' | 'entrypoint' | 'start' | 'exec' | 'inherit' | 'noTransition' | 'invalidContext',
    number
  >
> = Object.freeze({
  readDisk: 1 << 0,
  vmDomain: 1 << 1,
  entrypoint: 1 << 2,
  start: 1 << 3,
  exec: 1 << 4,
  inherit: 1 << 5,
  /** Policy names no domain for this client and this disk. */
  noTransition: 1 << 6,
  /** Policy does not know one of the contexts. */
  invalidContext: 1 << 7,
});

/** A start request whose contexts were read once, to be decided about over and over. */
export class PreparedDecision {
  readonly #native: NativePrepared;

  /** @internal */
  constructor(prepared: NativePrepared) {
    this.#native = prepared;
  }

  /**
   * The whole decision as one integer: 0 when allowed, otherwise bits of {@link VERDICT}.
   *
   * From the cache where the policy has not changed since, which one load of the kernel's status page
   * tells; asked again where it has. It is about the contexts as they were when this was prepared.
   *
   * @throws As {@link decide}, for what cannot be evaluated
   */
  verdict(): number {
    return this.#native.verdict();
  }

  /**
   * The same with the image at `path` in place of the boot disk, in the format and mode of that one.
   *
   * The label of a raw image is read without opening it: this is a question about the file that is
   * there now, and a launch asks again about what it has opened.
   *
   * @throws As {@link decide}
   * @see lgetxattr(2)
   */
  verdictOn(path: string): number {
    checkNonEmptyString('path', path);
    return this.#native.verdictOn(path);
  }

  /** The decision with its checks, about the same contexts. */
  decide(): Decision {
    return this.#native.decide();
  }
}

/**
 * Reads the contexts of a request once, for {@link PreparedDecision.verdict}. Descriptors are not kept.
 *
 * @throws As {@link decide}
 */
export function prepareDecision(request: StartRequest): PreparedDecision {
  return new PreparedDecision(native.decision.prepare(normalizeStartRequest(request)));
}

/** What {@link decideMany} decided, one entry for each disk in the order they were given. */
export class ManyDecisions {
  readonly #native: NativeManyResult;

  /** @internal */
  constructor(result: NativeManyResult) {
    this.#native = result;
  }

  /** How many disks there were. */
  get length(): number {
    return this.#native.verdicts.length;
  }
  /** False only when enforcement was switched off explicitly. */
  get evaluated(): boolean {
    return this.#native.evaluated;
  }
  /** Whether SELinux was in enforcing mode; in permissive mode nothing is refused. */
  get enforcing(): boolean {
    return this.#native.enforcing;
  }
  /** The one policy that all verdicts belong to. */
  get policySequence(): number {
    return this.#native.policySequence;
  }
  /** Bits of {@link VERDICT} for each disk; 0xffffffff where {@link error} says why there is none. */
  get verdicts(): Uint32Array {
    return this.#native.verdicts;
  }
  /** Why single disks could not be decided about, by index. */
  get errors(): ReadonlyMap<number, Error> {
    return this.#native.errors;
  }

  #check(index: number): void {
    checkInteger('index', index, 0, this.length - 1);
  }

  /** True only for a disk that was decided about and allowed. */
  allowed(index: number): boolean {
    this.#check(index);
    return this.#native.verdicts[index] === 0;
  }

  /** The context a VM from this disk would run in; `null` where there is none. */
  vmContext(index: number): Context | null {
    this.#check(index);
    return this.#native.contexts[this.#native.vmContexts[index] as number] ?? null;
  }

  /** Why this disk could not be decided about; `null` where it was. */
  error(index: number): Error | null {
    this.#check(index);
    return this.#native.errors.get(index) ?? null;
  }

  /**
   * The whole decision about one disk, with its checks. Asked again now about the contexts that were
   * read then, so its `policySequence` may be a later one.
   *
   * @throws The disk's error, where it has one; otherwise as {@link decide}
   */
  decision(index: number): Decision {
    const error = this.error(index);
    if (error !== null) throw error;
    return this.#native.decide(index);
  }
}

/** What goes with every disk of {@link decideMany}. */
export type ManyRequest = Omit<StartRequest, 'disks'>;

/** Options of {@link decideMany}. */
export interface ManyOptions {
  /** Stops the work and rejects with an `AbortError`. */
  readonly signal?: AbortSignal;
  /** Native threads to use, 1 to 64. Default: as many as there are processors, at most 8. */
  readonly threads?: number;
  /** Called now and then with how many disks were looked at. */
  readonly onProgress?: (done: number, total: number) => void;
}

const MANY_KEYS = REQUEST_KEYS.filter((key) => key !== 'disks');
const FLAG = { qcow2: 1, readOnly: 2, context: 4, blockDevice: 8 };
const PROGRESS_INTERVAL_MS = 100;

/**
 * One start decision for each of many disks, each taken for the boot disk of a VM of its own, on native
 * threads. All verdicts belong to one policy, even when it is reloaded meanwhile. As with
 * {@link PreparedDecision.verdictOn}, raw images are not opened.
 *
 * @param disks - Disks by path or by context, with their declared formats
 * @param common - What goes with each of them: client, emulator, kernel, …
 * @returns Compact results. What is wrong with a single disk is in there; what concerns all of them rejects
 * @throws As {@link decide}; `AbortError`
 */
export async function decideMany(
  disks: readonly DiskRequest[],
  common: ManyRequest = {},
  options: ManyOptions = {},
): Promise<ManyDecisions> {
  checkArray('disks', disks);
  const shared = takeOptions('common', common, MANY_KEYS);
  checkObject('options', options);
  checkKeys('options', options, ['signal', 'threads', 'onProgress']);
  const { signal, threads = Math.min(availableParallelism(), 8) } = options;
  checkInteger('options.threads', threads, 1, 64);
  const { onProgress } = options as ManyOptions;
  if (onProgress !== undefined) checkFunction('options.onProgress', (options as ManyOptions).onProgress);
  if (signal !== undefined) checkAbortSignal('options.signal', signal);

  const names = new Array<string>(disks.length);
  const flags = new Uint8Array(disks.length);
  for (let i = 0; i < disks.length; i++) {
    const name = `disks[${i}]`;
    const disk = normalizeDisk(name, disks[i]);
    if (disk.fd !== undefined)
      throw invalidArgValue(`${name}.fd`, disk.fd, 'is not possible here: name the disk by path or context');
    names[i] = (disk.context ?? disk.path) as string;
    flags[i] =
      (disk.format === 'qcow2' && disk.context === undefined ? FLAG.qcow2 : 0) |
      (disk.readOnly ? FLAG.readOnly : 0) |
      (disk.context === undefined ? 0 : FLAG.context) |
      (disk.objectClass === 'blk_file' ? FLAG.blockDevice : 0);
  }
  const blobs = normalizeBlobs('common', shared);
  const request = withoutPrototype({ objects: blobs, ...normalizeCommon('common', shared) });
  checkAction('common', shared, request.action, blobs);

  let cancel = (): void => {};
  let timer: NodeJS.Timeout | undefined;
  try {
    const result = await untilAborted(
      signal,
      () => {
        const run = native.decision.decideMany({ common: request, names, flags, threads });
        cancel = run.cancel;
        if (onProgress !== undefined)
          timer = setInterval(() => onProgress(run.progress(), names.length), PROGRESS_INTERVAL_MS);
        return run.promise;
      },
      { stop: () => cancel() },
    );
    onProgress?.(names.length, names.length);
    return new ManyDecisions(result);
  } finally {
    clearInterval(timer);
  }
}

/**
 * A context as a number, for {@link AccessQuestion.denied}. The same context has the same number, and a
 * number never comes to stand for another context.
 *
 * The table is bounded: a number that was not used for long may have to be given up. Using it then
 * throws a {@link StateError} (`ERR_STALE_HANDLE`), unless the answer is still in the cache.
 *
 * @throws {@link SelinuxUnavailableError} without SELinux
 */
export function internContext(context: Context): number {
  checkContext('context', context);
  return native.decision.internContext(context);
}

// Looked up once: a property access on the addon costs as much as the question.
const { accessArguments, askAccess } = native.decision;

/** Some permissions of one class, to be asked about many pairs of contexts. Made by {@link accessQuestion}. */
export class AccessQuestion {
  /** Name of the object class. */
  readonly objectClass: string;
  /** Names of the permissions, in the order of the bits of {@link denied}. */
  readonly permissions: readonly string[];
  readonly #number: number;

  /** @internal */
  constructor(objectClass: string, permissions: readonly string[], number: number) {
    this.objectClass = objectClass;
    this.permissions = permissions;
    this.#number = number;
  }

  /**
   * What policy does not grant `source` on `target`: bit i stands for `permissions[i]`, 0 for everything
   * granted. This is what the policy says, whether it is enforced or not.
   *
   * @param source - A context's number, from {@link internContext}
   * @param target - Another
   * @throws {@link ContextError} when the policy has no such class or permission; {@link StateError} for a stale number
   * @see avc_has_perm(3)
   */
  denied(source: number, target: number): number {
    // Written to memory that native code reads: cheaper than three arguments.
    accessArguments[0] = source;
    accessArguments[1] = target;
    accessArguments[2] = this.#number;
    return askAccess();
  }
}

/**
 * Binds a class and up to 32 of its permissions by name, so that the question stays right when a reload
 * numbers them anew.
 *
 * @throws `TypeError`, `RangeError` with `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`, `ERR_OUT_OF_RANGE`. Whether
 *   the policy has them is found out when the question is asked: {@link AccessQuestion.denied}
 */
export function accessQuestion(objectClass: string, permissions: readonly string[]): AccessQuestion {
  checkNonEmptyString('objectClass', objectClass);
  checkArray('permissions', permissions);
  if (permissions.length < 1 || permissions.length > 32) {
    throw invalidArgValue('permissions', permissions, 'must have 1 to 32 names');
  }
  const names = permissions.map((permission, i) => {
    checkString(`permissions[${i}]`, permission);
    return permission;
  });
  return new AccessQuestion(objectClass, Object.freeze(names), native.decision.accessQuestion(objectClass, names));
}

/**
 * Limits the memory of the decision cache, for the whole process (all Workers).
 *
 * @param bytes - 65,536 to 67,108,864; 8 MiB until this is called
 * @throws `TypeError`, `RangeError` with `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`
 */
export function setCacheLimit(bytes: number): void {
  checkInteger('bytes', bytes, 64 * 1024, 64 * 1024 * 1024);
  native.decision.setCacheLimit(bytes);
}

/** What the decision cache holds and has done. */
export function cacheStatistics(): CacheStatistics {
  return native.decision.cacheStatistics();
}

/** Forgets every answer; contexts keep their numbers. A reload of the policy does this by itself. */
export function flushCache(): void {
  native.decision.flushCache();
}
