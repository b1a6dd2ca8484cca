// VirtualMachine behaves like ChildProcess: each scenario runs with both, and what they show is compared.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import type { LaunchOptions } from '../../types/public.js';
import { children, eventually, openDescriptors, plain, rawImage, textOf } from '../helpers/launching.js';
import { startWorker } from '../helpers/worker.js';

const { launch } = await import('../../lib/launch.js');
const { VirtualMachine } = await import('../../lib/virtual-machine.js');
type Vm = InstanceType<typeof VirtualMachine>;
type Either = Vm | ChildProcess;

const image = rawImage(t.testdir({}));

interface Options {
  stdio?: LaunchOptions['stdio'];
  signal?: AbortSignal;
  killSignal?: NodeJS.Signals;
  timeout?: number;
}
type Start = (path: string, args: readonly string[], options?: Options) => Promise<Either>;

const byLaunch: Start = (path, args, options) => launch(plain(image, path, args, options as Partial<LaunchOptions>));
const bySpawn: Start = async (path, args, options) => spawn(path, args, { cwd: '/', env: {}, ...options } as object);

/** What was emitted. How the ends of streams and the exit fall in between each other is a matter of chance. */
interface Log {
  process: unknown[][];
  stdin: string[];
  stdout: string[];
  stderr: string[];
  /** When 'close' came, every stream was closed. */
  closedAtClose: boolean;
}

/** Records everything until 'close', and a little longer. */
async function record(child: Either): Promise<Log> {
  const log: Log = { process: [], stdin: [], stdout: [], stderr: [], closedAtClose: false };
  const emitter = child as ChildProcess;
  const note = (event: string, ...details: unknown[]) => log.process.push([event, ...details]);
  emitter.on('spawn', () => note('spawn'));
  emitter.on('exit', (code, signal) => note('exit', code, signal, emitter.exitCode, emitter.signalCode));
  emitter.on('error', (error: NodeJS.ErrnoException) =>
    note('error', error.name, error.code, error.message, error.cause),
  );
  for (const name of ['stdin', 'stdout', 'stderr'] as const) {
    for (const event of ['end', 'close']) emitter[name]?.on(event, () => log[name].push(event));
  }
  await new Promise<void>((resolve) =>
    emitter.on('close', (code, signal) => {
      note('close', code, signal);
      log.closedAtClose = emitter.stdio.every(
        (stream) => stream === null || (stream as { destroyed: boolean }).destroyed,
      );
      resolve();
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, 20));
  return log;
}

const shell = (script: string): [string, string[]] => ['/bin/sh', ['-c', script]];

const scenarios: Record<string, (start: Start) => Promise<unknown>> = {
  'an exit code': async (start) => record(await start(...shell('exit 42'))),
  'an exit by a signal': async (start) => record(await start(...shell('kill -KILL $$'))),
  'an exit by a signal with a core': async (start) => record(await start(...shell('ulimit -c 0; kill -SEGV $$'))),
  'without any stream': async (start) => record(await start(...shell('exit 1'), { stdio: 'ignore' })),
  'output that nobody reads': async (start) =>
    record(await start(...shell('head -c 50000 /dev/zero; echo error >&2; exit 5'))),
  'output that is read late': async (start) => {
    const child = await start(...shell('echo late'));
    const recorded = record(child);
    const text = new Promise((resolve) => (child as ChildProcess).once('exit', () => resolve(textOf(child.stdout))));
    return [await text, await recorded];
  },
  'input that arrives': async (start) => {
    const child = await start('/bin/cat', []);
    child.stdin?.end('hello');
    const text = textOf(child.stdout);
    await record(child);
    return text;
  },
  'input that nobody takes': async (start) => {
    const child = await start(...shell('exec 0<&-; sleep 0.1'));
    const errors: unknown[] = [];
    child.stdin?.on('error', (error: NodeJS.ErrnoException) => errors.push([error.code, error.syscall]));
    await new Promise((resolve) => setTimeout(resolve, 50));
    child.stdin?.write('nobody');
    await record(child);
    return errors;
  },
  'a descriptor beyond the first three': async (start) => {
    const child = await start(...shell('cat <&3 >&4; exit 9'), { stdio: ['ignore', 'pipe', 'ignore', 'pipe', 'pipe'] });
    const [, , , to, from] = child.stdio as unknown as (NodeJS.WritableStream & AsyncIterable<Buffer>)[];
    const text = textOf(from!);
    to?.end('through');
    const { process } = await record(child);
    return [await text, process];
  },
  'a grandchild keeps the streams open after the exit': async (start) => {
    const child = await start(...shell('(sleep 0.3; echo from the grandchild) & exit 0'));
    const text = textOf(child.stdout);
    return [await record(child), await text];
  },
  kill: async (start) => {
    const child = await start('/bin/sleep', ['60']);
    const log: unknown[] = [child.killed, child.kill(0), child.killed];
    log.push(child.kill('SIGINT'), child.killed);
    log.push(await record(child));
    log.push(child.kill(), child.kill('SIGKILL'), child.killed);
    return log;
  },
  'kill by number, and the default': async (start) => {
    const logs = [];
    for (const signal of [9, undefined, 'sigterm' as NodeJS.Signals]) {
      const child = await start('/bin/sleep', ['60']);
      child.kill(signal as number);
      logs.push(await record(child));
    }
    return logs;
  },
  'kill with a signal that does not exist': async (start) => {
    const child = await start('/bin/sleep', ['60']);
    const errors = [];
    for (const signal of ['SIGNONE', 250, -1, ''] as never[]) {
      try {
        child.kill(signal);
        errors.push('sent');
      } catch (error) {
        const { name, code, message } = error as NodeJS.ErrnoException;
        errors.push([name, code, message]);
      }
    }
    child.kill('SIGKILL');
    await record(child);
    return errors;
  },
  'abort while it runs': async (start) => {
    const controller = new AbortController();
    const child = await start('/bin/sleep', ['60'], { signal: controller.signal });
    const recorded = record(child);
    await once(child as ChildProcess, 'spawn');
    controller.abort(new Error('the reason'));
    return recorded;
  },
  'abort with another signal': async (start) => {
    const controller = new AbortController();
    const child = await start('/bin/sleep', ['60'], { signal: controller.signal, killSignal: 'SIGKILL' });
    const recorded = record(child);
    await once(child as ChildProcess, 'spawn');
    controller.abort();
    const log = await recorded;
    // The reason is an object of its own each time.
    return log.process.map((entry) => (entry[0] === 'error' ? entry.slice(0, 4) : entry));
  },
  'abort after the exit': async (start) => {
    const controller = new AbortController();
    const child = await start('/bin/true', [], { signal: controller.signal });
    const log = await record(child);
    controller.abort();
    await new Promise((resolve) => setTimeout(resolve, 20));
    return log;
  },
  'a time limit': async (start) => record(await start('/bin/sleep', ['60'], { timeout: 50, killSignal: 'SIGINT' })),
  'a time limit that is not reached': async (start) => record(await start('/bin/true', [], { timeout: 60_000 })),
  'Symbol.dispose': async (start) => {
    const child = await start('/bin/sleep', ['60']);
    (child as Vm)[Symbol.dispose]();
    return record(child);
  },
  'what there is to see': async (start) => {
    const child = await start('/bin/sleep', ['60']);
    const stream = (s: object | null) => {
      const { readable, writable, allowHalfOpen } = s as import('node:net').Socket;
      return [readable, writable, allowHalfOpen, s?.constructor.name];
    };
    const seen = () => [
      typeof child.pid,
      child.exitCode,
      child.signalCode,
      child.killed,
      child.spawnfile,
      child.spawnargs,
      child.stdio.length,
      child.stdio[1] === child.stdout,
      [child.stdin, child.stdout, child.stderr].map(stream),
    ];
    const before = seen();
    child.kill('SIGKILL');
    await record(child);
    return [before, seen()];
  },
};

for (const [name, scenario] of Object.entries(scenarios)) {
  t.test(`as a ChildProcess: ${name}`, async (t) => {
    const expected = await scenario(bySpawn);
    const found = await scenario(byLaunch);
    t.same(found, expected);
    t.same(children(), []);
  });
}

t.test("'spawn' comes when the caller has had time to listen, however many promises lie between", async (t) => {
  const wrapped = async (): Promise<Vm> => {
    const vm = await launch(plain(image, '/bin/true'));
    await null;
    await null;
    return vm;
  };
  const vm = await wrapped();
  const log = await record(vm);
  t.same(log.process[0], ['spawn']);
});

t.test('a signal that was aborted already starts nothing', async (t) => {
  const before = openDescriptors();
  await t.rejects(launch(plain(image, '/bin/true', [], { signal: AbortSignal.abort('why') })), {
    name: 'AbortError',
    code: 'ABORT_ERR',
    cause: 'why',
  });
  t.same(openDescriptors(), before);
});

t.test('abort at any time during the launch leaves nothing behind', async (t) => {
  const before = openDescriptors();
  let aborted = 0;
  let launched = 0;
  for (let microseconds = 0; microseconds < 6000; microseconds += 50) {
    const controller = new AbortController();
    const started = launch(
      plain(image, '/bin/sleep', ['60'], { signal: controller.signal, killSignal: 'SIGKILL' }),
    ).then(record);
    if (microseconds >= 1000) await new Promise((resolve) => setTimeout(resolve, microseconds / 1000));
    else for (const end = process.hrtime.bigint() + BigInt(microseconds * 1000); process.hrtime.bigint() < end; );
    controller.abort();
    try {
      const log = await started;
      launched++;
      t.ok(log.process.some(([event, name]) => event === 'error' && name === 'AbortError'));
    } catch (error) {
      if ((error as Error).name !== 'AbortError') throw error;
      aborted++;
    }
  }
  t.ok(aborted > 0, `${aborted} aborted, ${launched} launched`);
  t.ok(await eventually(() => children().length === 0), 'no process');
  t.ok(await eventually(() => openDescriptors().join() === before.join()), 'no descriptor');
});

t.test('await using: killed, and closed before it goes on', async (t) => {
  const vm = await launch(plain(image, '/bin/sleep', ['60']));
  let closed = false;
  vm.once('close', () => {
    closed = true;
  });
  await vm[Symbol.asyncDispose]();
  t.ok(closed);
  t.equal(vm.signalCode, 'SIGKILL');
  await vm[Symbol.asyncDispose]();
  const ended = await launch(plain(image, '/bin/true', [], { stdio: 'ignore' }));
  await once(ended, 'close');
  await ended[Symbol.asyncDispose]();
});

t.test('await using with output that nobody reads', async () => {
  const vm = await launch(plain(image, '/bin/sh', ['-c', 'yes & yes >&2']));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await vm[Symbol.asyncDispose]();
});

t.test('a VirtualMachine is made by launch() only', async (t) => {
  t.throws(() => new VirtualMachine(Symbol('x'), {} as never), { code: 'ERR_ILLEGAL_CONSTRUCTOR' });
});

t.test('an exception in a listener is uncaught, as with a ChildProcess', async (t) => {
  const thrown = new Promise((resolve) => process.once('uncaughtException', resolve));
  const vm = await launch(plain(image, '/bin/true'));
  const failure = new Error('in the listener');
  vm.once('exit', () => {
    throw failure;
  });
  t.equal(await thrown, failure);
});

t.test('asynchronous context follows from launch to the exit', async (t) => {
  const { AsyncLocalStorage } = await import('node:async_hooks');
  const storage = new AsyncLocalStorage<string>();
  await storage.run('mine', async () => {
    const vm = await launch(plain(image, '/bin/true'));
    const seen = await new Promise((resolve) => vm.once('exit', () => resolve(storage.getStore())));
    t.equal(seen, 'mine');
    await vm[Symbol.asyncDispose]();
  });
});

t.test('a VM that ends with unread input ends its pipes, and fails nobody', async (t) => {
  for (const listening of [true, false]) {
    const vm = (await byLaunch('/bin/sleep', ['0.2'], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] })) as Vm;
    const socket = vm.stdio[3];
    const seen: string[] = [];
    if (listening) {
      socket?.on('end', () => seen.push('end'));
      socket?.on('error', (error) => seen.push(String(error)));
      socket?.resume();
    }
    // Never read: the kernel resets the connection when the VM's end is closed.
    socket?.write('unread');
    await once(vm, 'close');
    t.same(seen, listening ? ['end'] : []);
    t.equal(socket?.destroyed, true);
  }
});

t.test('a VM that nobody holds runs on, and is reaped', async (t) => {
  const before = openDescriptors();
  let pid = 0;
  await (async () => {
    const vm = await launch(plain(image, '/bin/sleep', ['1.5'], { stdio: 'ignore' }));
    pid = vm.pid;
  })();
  for (let i = 0; i < 5; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.ok(children().some((child) => child.startsWith(`${pid} `)));
  t.ok(await eventually(() => children().length === 0));
  await eventually(() => openDescriptors().join() === before.join());
  t.same(openDescriptors(), before);
});

t.test('hundreds of launches leave no descriptor, process or memory behind', async (t) => {
  const run = async () => {
    const vm = await launch(plain(image, '/bin/true'));
    await once(vm, 'close');
  };
  for (let i = 0; i < 20; i++) await run();
  const before = openDescriptors();
  const round = async (count: number) => {
    for (let i = 0; i < count; i += 4) await Promise.all([run(), run(), run(), run()]);
    globalThis.gc?.();
    return process.memoryUsage().heapUsed;
  };
  const first = await round(100);
  const second = await round(200);
  t.ok(second - first < 2_000_000, `heap grew by ${second - first} bytes over 200 launches`);
  t.ok(await eventually(() => openDescriptors().join() === before.join()));
  t.same(children(), []);
});

t.test('unref lets the event loop end while the VM runs, ref does not', async (t) => {
  const program = (call: string) => `
    await import(${JSON.stringify(new URL('../helpers/test-addon.ts', import.meta.url).href)});
    const { launch } = await import(${JSON.stringify(new URL('../../lib/launch.ts', import.meta.url).href)});
    const { command } = await import(${JSON.stringify(new URL('../../lib/emulators/command.ts', import.meta.url).href)});
    const vm = await launch({ disks: [{ path: ${JSON.stringify(image)}, format: 'raw' }], selinux: 'off',
      emulator: command({ path: '/bin/sleep', args: ['0.7'] }), stdio: 'ignore' });
    vm.on('exit', () => console.log('exit'));
    ${call}
    process.on('exit', () => console.log('loop'));
  `;
  const run = async (call: string) => {
    const child = spawn(process.execPath, [...process.execArgv, '--input-type=module', '-e', program(call)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    return (await textOf(child.stdout)).trim().split('\n');
  };
  t.same(await run(''), ['exit', 'loop']);
  t.same(await run('vm.unref();'), ['loop']);
  t.same(await run('vm.unref(); vm.ref();'), ['exit', 'loop']);
});

t.test('Workers', async (t) => {
  const worker = (body: string) =>
    startWorker(
      `const { launch, command } = library;
       const start = (path, args, more) => launch({ disks: [{ path: data, format: 'raw' }], selinux: 'off',
         emulator: command({ path, args }), stdio: 'ignore', ...more });
       ${body}`,
      image,
    );

  t.test('a VM outlives the Worker that launched it, and is reaped afterwards', async (t) => {
    const w = worker(`const vm = await start('/bin/sleep', ['0.8']); parentPort.postMessage(vm.pid); vm.unref();`);
    const [[pid]] = await Promise.all([once(w, 'message') as Promise<[number]>, once(w, 'exit')]);
    t.same(children(), [`${pid} S`]);
    t.ok(await eventually(() => children().length === 0));
  });
  t.test('one that is tied to the process does so too', async (t) => {
    const w = worker(
      `const vm = await start('/bin/sleep', ['0.8'], { onManagerExit: 'kill' }); parentPort.postMessage(vm.pid); vm.unref();`,
    );
    const [[pid]] = await Promise.all([once(w, 'message') as Promise<[number]>, once(w, 'exit')]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    t.same(children(), [`${pid} S`]);
    t.ok(await eventually(() => children().length === 0));
  });
  t.test('terminated in every state of a launch, it leaves no process that it never heard of', async (t) => {
    const before = openDescriptors();
    for (let delay = 0; delay < 30; delay += 2) {
      const w = worker(`
        parentPort.postMessage('ready');
        for (;;) { const vm = await start('/bin/sleep', ['0.05']); await new Promise((r) => vm.once('close', r)); }
      `);
      await once(w, 'message');
      await new Promise((resolve) => setTimeout(resolve, delay));
      await w.terminate();
    }
    t.ok(await eventually(() => children().length === 0), 'no process');
    t.ok(await eventually(() => openDescriptors().length <= before.length + 1), 'no descriptor but the reaper’s own');
  });
  t.test('several launch at once', async (t) => {
    const workers = Array.from({ length: 4 }, () =>
      worker(`
        const codes = [];
        for (let i = 0; i < 25; i++) {
          const vm = await start('/bin/sh', ['-c', 'exit ' + i]);
          codes.push(await new Promise((resolve) => vm.once('close', resolve)));
        }
        parentPort.postMessage(codes);
      `),
    );
    const expected = Array.from({ length: 25 }, (_, i) => i);
    for (const [codes] of await Promise.all(workers.map((w) => once(w, 'message')))) t.same(codes, expected);
    await Promise.all(workers.map((w) => w.terminate()));
    t.same(children(), []);
  });
});
