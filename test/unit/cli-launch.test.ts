// `vm-entrypoint launch` where the policy is not asked (--selinux off): descriptors, input and output,
// signals, exit statuses. What the policy adds is tested in the lab.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { cli, main, root } from '../helpers/cli.js';

const BASH = ['/bin/bash', '--norc', '-c'];

function disk(directory: string): string {
  writeFileSync(`${directory}/disk.raw`, 'first line of the disk\n'.padEnd(65536, '\0'));
  return `${directory}/disk.raw,format=raw`;
}
const off = (directory: string, ...more: string[]) => [
  'launch',
  '--selinux',
  'off',
  '--disk',
  disk(directory),
  ...more,
];

t.test('the emulator reads its disk from a descriptor, and its status is passed on', async (t) => {
  const run = await cli([
    ...off(t.testdir()),
    '--',
    ...BASH,
    'read -r line <&{disk0}; echo "$line"; echo problem >&2; exit 42',
  ]);
  t.strictSame(run, { status: 42, signal: null, stdout: 'first line of the disk\n', stderr: 'problem\n' });
});

t.test('a signal that ends the VM becomes 128 and its number', async (t) => {
  t.equal((await cli([...off(t.testdir()), '--', ...BASH, 'kill -KILL $$'])).status, 137);
  t.equal((await cli([...off(t.testdir()), '--', ...BASH, 'kill -TERM $$'])).status, 143);
});

t.test('a clean environment, its own session, the directory /', async (t) => {
  const { stdout } = await cli([...off(t.testdir()), '--', ...BASH, 'echo "$SECRET $PWD"; ps -o sid= -p $$; echo $$'], {
    env: { SECRET: 'of the manager' },
  });
  const [line, session, pid] = stdout.split('\n').map((each) => each.trim());
  t.equal(line, '/');
  t.equal(session, pid);
});

t.test('input reaches the VM, also its end', async (t) => {
  const child = spawn(process.execPath, [main, ...off(t.testdir()), '--', '/bin/cat'], {
    env: { ...process.env, NODE_OPTIONS: undefined },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  const text = 'x'.repeat(300_000);
  child.stdin.end(text);
  const status = await new Promise((resolve) => child.on('close', resolve));
  t.equal(status, 0);
  t.equal(stdout, text);
});

t.test('a VM that never reads its input does not keep the command', async (t) => {
  const child = spawn(process.execPath, [main, ...off(t.testdir()), '--', '/bin/true'], {
    env: { ...process.env, NODE_OPTIONS: undefined },
    // Stays open and empty, as a terminal does.
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  const status = await Promise.race([
    new Promise((resolve) => child.on('close', resolve)),
    sleep(20_000, 'still there'),
  ]);
  child.kill('SIGKILL');
  t.equal(status, 0);
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2', 'SIGCONT'] as const) {
  t.test(`${signal} is forwarded, once`, async (t) => {
    const name = signal.slice(3);
    const script = `n=0; trap 'n=$((n+1))' ${name}; echo ready; while [ $n = 0 ]; do read -r -t 0.1 <&{disk0}; done; sleep 0.3; exit $((60 + n))`;
    let sent = false;
    const { status } = await cli([...off(t.testdir()), '--', ...BASH, script], {
      onOutput: (child, stdout) => {
        if (sent || !stdout.includes('ready')) return;
        sent = true;
        child.kill(signal);
      },
    });
    t.equal(status, 61);
  });
}

t.test('the VM does not outlive the command, even when that is killed', async (t) => {
  let pid = 0;
  const { signal } = await cli(
    [...off(t.testdir()), '--', ...BASH, 'trap "" TERM HUP; echo $$; while :; do read -r -t 1 <&{disk0}; done'],
    {
      onOutput: (child, stdout) => {
        pid = Number(stdout);
        child.kill('SIGKILL');
      },
    },
  );
  t.equal(signal, 'SIGKILL');
  t.ok(pid > 1);
  for (let i = 0; i < 50; i++) {
    try {
      process.kill(pid, 0);
    } catch {
      t.pass('gone');
      return;
    }
    await sleep(100);
  }
  process.kill(pid, 'SIGKILL');
  t.fail('the VM still runs');
});

t.test('with --json standard output is JSON, one object a line', async (t) => {
  const { status, stdout, stderr } = await cli([
    ...off(t.testdir()),
    '--json',
    '--',
    ...BASH,
    'echo of the VM; exit 3',
  ]);
  t.equal(status, 3);
  t.equal(stderr, 'of the VM\n');
  const [started, ended, ...more] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(started, { event: 'started', pid: Number, context: null });
  t.strictSame(ended, { event: 'ended', exitCode: 3, signal: null });
  t.strictSame(more, []);
});

t.test('--stdio inherit hands over the descriptors themselves', async (t) => {
  const script = 'for n in 0 1 2; do readlink /proc/$$/fd/$n; done';
  const relayed = (await cli([...off(t.testdir()), '--', ...BASH, script])).stdout;
  t.match(relayed, /^socket:.*\nsocket:.*\nsocket:/);
  const inherited = (await cli([...off(t.testdir()), '--stdio', 'inherit', '--', ...BASH, script])).stdout;
  t.match(inherited, /^\/dev\/null\n/);
});

t.test('--qemu makes the arguments, and appends those of the user', async (t) => {
  // In place of QEMU: shows its arguments, the descriptors being open.
  const { status, stdout, stderr } = await cli([
    ...off(t.testdir()),
    '--qemu',
    '--memory',
    '300',
    '--cpus',
    '3',
    '--accel',
    'tcg',
    '--binary',
    '/bin/echo',
    '--',
    '-msg',
    'timestamp=on',
  ]);
  t.equal(status, 0, stderr);
  t.match(stdout, / -accel tcg /);
  t.match(stdout, / -m 300M -smp 3 /);
  t.match(stdout, /-add-fd fd=10,set=10 -blockdev \{"driver":"file".*\/dev\/fdset\/10/);
  t.match(stdout, / -msg timestamp=on$/m);
});

t.test('what cannot be started', async (t) => {
  const directory = t.testdir({ script: '#!/bin/sh\n' });
  const cases: [args: string[], status: number, message: RegExp][] = [
    [off(directory), 2, /no emulator: put its command after '--', or use --qemu/],
    [off(directory, 'qemu-system-x86_64', '-m', '5'), 2, /unknown option '-m'|come after '--'/],
    [off(directory, 'qemu-system-x86_64'), 2, /the emulator and its arguments come after '--'/],
    [off(directory, '--memory', '5', '--', '/bin/true'), 2, /--memory goes only with --qemu/],
    [off(directory, '--qemu', '--memory', '5G'), 2, /--memory '5G' is not a whole number/],
    [off(directory, '--stdio', 'pipe', '--', '/bin/true'), 2, /'pipe' is not one of relay, inherit/],
    [
      off(directory, '--', '/bin/echo', '{disk1}'),
      2,
      /ERR_INVALID_ARG_VALUE: .*\{disk1\}, which this start does not have/,
    ],
    [off(directory, '--', 'no-such-program'), 3, /ENOENT: no such program on PATH, 'no-such-program'/],
    [off(directory, '--', '/no/such/program'), 3, /ENOENT/],
    [off(directory, '--', `${directory}/script`), 3, /ERR_LAUNCH_EXEC|EACCES/],
    [
      ['launch', '--selinux', 'off', '--disk', '/no/such/disk,format=raw', '--', '/bin/true'],
      3,
      /ENOENT.*'\/no\/such\/disk'/,
    ],
  ];
  for (const [args, status, message] of cases) {
    const run = await cli(args);
    t.equal(run.status, status, args.join(' '));
    t.match(run.stderr, message);
    t.equal(run.stdout, '');
  }
});

t.test('without SELinux nothing is launched unless that is said', async (t) => {
  const directory = t.testdir();
  const disabled = await cli(['launch', '--json', '--disk', disk(directory), '--', '/bin/echo', 'started'], {
    node: ['--import', `${root}test/helpers/cli-host.mjs`],
    env: { CLI_LIBRARY: '/nonexistent/libselinux.so.1', FAKE_SELINUX_DIR: directory },
  });
  t.equal(disabled.status, 3);
  t.match(JSON.parse(disabled.stdout), { error: { code: 'ERR_SELINUX_LIBRARY' } });
});
