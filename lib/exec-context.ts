// withExecContext: for programs that keep their own child_process.spawn.
import { types } from 'node:util';
import type { Context } from '../types/public.js';
import { LaunchError } from './errors.js';
import { native } from './native.js';
import { checkContext } from './start-request.js';
import { checkFunction } from './validate.js';

function refuseAsync(): LaunchError {
  return new LaunchError(
    'ERR_LAUNCH_ASYNC_CALLBACK',
    'The callback must be synchronous: the context belongs to this thread, and whatever runs meanwhile would get it too',
  );
}

/**
 * Runs `body` with `context` as the context of every child that this thread starts in it:
 * `withExecContext(context, () => child_process.spawn(…))`.
 *
 * Nothing is decided and nothing is verified here; `launch` does both. The context is cleared before this
 * returns or throws. Should the kernel refuse to clear it, the process is aborted: any later child
 * of this thread would run in the VM's domain.
 *
 * @param context - Raw context that the loaded policy knows
 * @param body - Must start its children synchronously, as `spawn` and `execFileSync` do. (Not `cluster`, nor
 *   Workers, which have threads of their own.)
 * @returns What `body` returns
 * @throws {@link LaunchError} `ERR_LAUNCH_ASYNC_CALLBACK` where `body` is asynchronous (what it started before
 *   its first `await` has been started)
 * @throws {@link ContextError} where the policy does not know `context`
 * @throws {@link StateError} `ERR_BUSY` inside of another one, or where the thread has an exec context already
 * @throws {@link SelinuxUnavailableError} where there is no SELinux
 * @see setexeccon(3)
 */
export function withExecContext<T>(context: Context, body: () => T): T {
  checkContext('context', context);
  checkFunction('body', body);
  if (types.isAsyncFunction(body)) throw refuseAsync();
  const result = native.launch.withExecContext(context, body);
  if (result !== null && typeof result === 'object' && typeof (result as { then?: unknown }).then === 'function') {
    // It will never be awaited by anybody: its rejection must not end the process.
    Promise.resolve(result).catch(() => {});
    throw refuseAsync();
  }
  return result;
}
