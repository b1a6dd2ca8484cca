// watch() of `vm-entrypoint/selinux`: policy loads and switches of the mode as events.
import { EventEmitter } from 'node:events';
import type { NativePolicyEvents } from '../types/native-selinux.js';
import { native } from './native.js';
import type { SelinuxStatus } from './selinux.js';
import { checkAbortSignal, checkInteger, checkKeys, checkObject } from './validate.js';

/** Options of {@link watch}. */
export interface WatchOptions {
  /** How often to look at the status page besides the kernel's notices, in milliseconds. Default 1000. */
  readonly interval?: number;
  /** Closes the watcher. */
  readonly signal?: AbortSignal;
}

interface WatcherEvents {
  policyload: [status: SelinuxStatus];
  setenforce: [enforcing: boolean, status: SelinuxStatus];
  error: [error: unknown];
  close: [];
}

/**
 * Tells of policy loads and switches of the mode. Made by {@link watch}.
 *
 * Events: `'policyload'` (status), `'setenforce'` (enforcing, status), `'error'`, `'close'`. They tell
 * of states: several loads in a row may be one event, and a switch there and back none.
 *
 * Does not keep the process alive unless `ref()` is called.
 */
export class SelinuxWatcher extends EventEmitter<WatcherEvents> {
  #status: SelinuxStatus;
  #events: NativePolicyEvents | null = null;
  readonly #timer: NodeJS.Timeout;
  #again: NodeJS.Timeout | undefined;
  #signal: AbortSignal | undefined;
  #closed = false;
  readonly #close = (): void => this.close();

  /** @internal */
  constructor(interval: number, signal: AbortSignal | undefined) {
    super();
    this.#status = native.selinux.selinuxStatus();
    // The kernel's notices come at once, but only to the first network namespace, and policy may
    // refuse the socket. Looking costs one memory load.
    this.#timer = setInterval(() => this.#look(), interval).unref();
    try {
      this.#events = native.selinux.openPolicyEvents(() => this.#noticed(1));
    } catch {
      this.#events = null;
    }
    this.#signal = signal;
    signal?.addEventListener('abort', this.#close, { once: true });
    if (signal?.aborted) this.close();
  }

  /** The status that the last event told of. */
  get status(): SelinuxStatus {
    return this.#status;
  }

  /** Whether the kernel's notices are listened to, besides looking every `interval`. */
  get notified(): boolean {
    return this.#events !== null;
  }

  /** Ends it: no event but `'close'` comes afterwards. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    clearTimeout(this.#again);
    this.#events?.close();
    this.#events = null;
    this.#signal?.removeEventListener('abort', this.#close);
    this.#signal = undefined;
    this.emit('close');
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Keeps the process alive while this watches. */
  ref(): this {
    if (!this.#closed) this.#timer.ref();
    return this;
  }

  /** Lets the process end while this watches (the default). */
  unref(): this {
    this.#timer.unref();
    return this;
  }

  /** The notice comes just before the page changes: where nothing is to be seen yet, it soon will be. */
  #noticed(delay: number): void {
    clearTimeout(this.#again);
    if (this.#look() || this.#closed || delay > 1000) return;
    this.#again = setTimeout(() => this.#noticed(delay * 10), delay).unref();
  }

  /** Whether something had changed. */
  #look(): boolean {
    if (this.#closed || native.selinux.selinuxSequence() === this.#status.sequence) return false;
    const before = this.#status;
    try {
      this.#status = native.selinux.selinuxStatus();
    } catch (error) {
      // Still changing: there will be a next look.
      if ((error as { code?: string }).code !== 'ERR_SELINUX_POLICY_CHANGED') this.emit('error', error);
      return false;
    }
    const now = this.#status;
    if (now.policyload !== before.policyload) this.emit('policyload', now);
    if (now.enforcing !== before.enforcing && !this.#closed) this.emit('setenforce', now.enforcing, now);
    return true;
  }
}

/**
 * Watches the kernel for policy loads and switches of the mode.
 *
 * @example
 * const watcher = watch();
 * watcher.on('policyload', () => decisions.clear());
 * watcher.on('setenforce', (enforcing) => console.log(enforcing ? 'enforcing' : 'permissive'));
 *
 * @see selinux_status_open(3)
 */
export function watch(options: WatchOptions = {}): SelinuxWatcher {
  checkObject('options', options);
  checkKeys('options', options, ['interval', 'signal']);
  const { interval = 1000, signal } = options;
  checkInteger('options.interval', interval, 1, 0x7fffffff);
  if (signal !== undefined) checkAbortSignal('options.signal', signal);
  return new SelinuxWatcher(interval, signal);
}
