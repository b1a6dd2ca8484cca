// Waiting for native work that an AbortSignal may cut short.
import { addAbortListener } from 'node:events';
import { AbortError } from './errors.js';

/**
 * Settles as what `start` began does, or rejects with an {@link AbortError} as soon as `signal` is aborted. When it
 * is aborted already, nothing is started.
 *
 * Native work that is under way cannot be taken back, only no longer be waited for: `stop` may tell it, and `late`
 * gets what still comes of it.
 */
export async function untilAborted<T>(
  signal: AbortSignal | undefined,
  start: () => Promise<T>,
  { stop, late }: { readonly stop?: () => void; readonly late?: (value: T) => void } = {},
): Promise<T> {
  if (signal === undefined) return start();
  if (signal.aborted) throw new AbortError(signal.reason);
  const work = start();
  return new Promise((resolve, reject) => {
    const listening = addAbortListener(signal, () => {
      stop?.();
      reject(new AbortError(signal.reason));
      // After this, a failure of the work is nobody's.
      work.then(late, () => {});
    });
    work.then(resolve, reject).finally(() => listening[Symbol.dispose]());
  });
}
