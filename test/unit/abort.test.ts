// untilAborted: what it waits for, and what becomes of work that nobody waits for any more.
import { getEventListeners } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { untilAborted } from '../../lib/abort.js';

t.test('settles as the work does, and leaves no listener behind', async (t) => {
  const { signal } = new AbortController();
  t.equal(await untilAborted(undefined, async () => 1), 1);
  t.equal(await untilAborted(signal, async () => 2), 2);
  await t.rejects(
    untilAborted(signal, async () => Promise.reject(new Error('mine'))),
    { message: 'mine' },
  );
  await turn();
  t.equal(getEventListeners(signal, 'abort').length, 0);
});

t.test('aborted before: nothing is started', async (t) => {
  const reason = new Error('too late');
  const start = async (): Promise<void> => t.fail('started');
  await t.rejects(untilAborted(AbortSignal.abort(reason), start), {
    name: 'AbortError',
    code: 'ABORT_ERR',
    cause: reason,
  });
});

t.test('aborted meanwhile: rejects at once, stops the work, and hands on what comes of it', async (t) => {
  const controller = new AbortController();
  let finish = (_value: string): void => {};
  const told: string[] = [];
  const waiting = untilAborted(controller.signal, () => new Promise<string>((resolve) => (finish = resolve)), {
    stop: () => told.push('stop'),
    late: (value) => told.push(value),
  });
  controller.abort();
  await t.rejects(waiting, { name: 'AbortError' });
  t.same(told, ['stop']);
  finish('late');
  await turn();
  t.same(told, ['stop', 'late']);
});

t.test('a failure after the abort is nobody’s', async (t) => {
  const controller = new AbortController();
  let fail = (_error: Error): void => {};
  const waiting = untilAborted(controller.signal, () => new Promise<void>((_, reject) => (fail = reject)));
  controller.abort();
  await t.rejects(waiting, { name: 'AbortError' });
  // Were it unhandled, the test would fail.
  fail(new Error('late'));
  await turn();
});
