// launch() by a manager that is not root but has capabilities: what of them the VM may keep, which is nothing, and
// which of them the launch itself needs.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { rawImage } from '../helpers/launching.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

// The manager: with the package's main module it launches `cat /proc/self/status` with the given options, and prints what came of it as JSON.
const manager = `
const [main, image, options] = process.argv.slice(1);
const { command, launch } = await import(main);
let status = '';
try {
  const vm = await launch({
    disks: [{ path: image, format: 'raw', readOnly: true }],
    emulator: command({ path: '/usr/bin/cat', args: ['/proc/self/status'] }),
    selinux: 'off',
    ...JSON.parse(options),
  });
  for await (const chunk of vm.stdout) status += chunk;
  console.log(JSON.stringify({ status }));
} catch ({ code, errno, syscall, message }) {
  console.log(JSON.stringify({ code, errno, syscall, message }));
}
`;

// The built package where everybody can come: the checkout may lie in somebody's home.
const directory = mkdtempSync(join(tmpdir(), 'vm-entrypoint-'));
chmodSync(directory, 0o755);
t.teardown(() => rmSync(directory, { recursive: true }));
for (const part of ['dist', 'package.json', 'build/Release/vm_entrypoint.node', 'node_modules/node-gyp-build']) {
  cpSync(join(root, part), join(directory, part), { recursive: true });
}

interface Outcome {
  status?: string;
  code?: string;
  errno?: number;
  syscall?: string;
  message?: string;
}

/** Runs the manager as user 1000 in the groups 6 and 104, with these capabilities, ambient ones too. */
function launchBy(capabilities: readonly string[], options: object): Outcome {
  const image = rawImage(directory);
  const list = capabilities.map((name) => `+${name}`).join(',');
  const privileges = list === '' ? [] : [`--inh-caps=${list}`, `--ambient-caps=${list}`];
  const { stdout, stderr } = spawnSync(
    'setpriv',
    [
      ...['--reuid=1000', '--regid=1000', '--groups=6,104', ...privileges, '--'],
      ...[
        process.execPath,
        '--input-type=module',
        '-e',
        manager,
        join(directory, 'dist/index.js'),
        image,
        JSON.stringify(options),
      ],
    ],
    { encoding: 'utf8', env: { PATH: process.env.PATH } },
  );
  if (stdout === '') throw new Error(stderr);
  const outcome = JSON.parse(stdout) as Outcome;
  if (outcome.code !== undefined) t.comment(JSON.stringify(outcome));
  return outcome;
}

function field(outcome: Outcome, name: string): string | undefined {
  return new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, 'm').exec(outcome.status ?? '')?.[1];
}

const skip = process.geteuid?.() === 0 ? false : 'needs root';
const needed = ['setuid', 'setgid', 'kill', 'sys_ptrace'];

t.test("another user's VM has none of the manager's groups and capabilities", { skip }, async (t) => {
  const outcome = launchBy(needed, { uid: 2000, gid: 2000 });
  t.equal(field(outcome, 'Uid'), '2000\t2000\t2000\t2000');
  t.equal(field(outcome, 'Groups'), '');
  for (const set of ['CapPrm', 'CapEff', 'CapAmb']) t.equal(field(outcome, set), '0000000000000000', set);
});

t.test('nor has a VM of the same user any capability', { skip }, async (t) => {
  const outcome = launchBy(needed, {});
  t.equal(field(outcome, 'Uid'), '1000\t1000\t1000\t1000');
  for (const set of ['CapPrm', 'CapEff', 'CapAmb']) t.equal(field(outcome, set), '0000000000000000', set);
});

t.test('who names the user that it is keeps its groups, and needs no capability for that', { skip }, async (t) => {
  const outcome = launchBy([], { uid: 1000, gid: 1000 });
  t.equal(field(outcome, 'Groups'), '6 104');
});

t.test('groups that cannot be given up are an error and not kept', { skip }, async (t) => {
  const outcome = launchBy(['setuid', 'kill', 'sys_ptrace'], { uid: 2000 });
  t.match(outcome, { code: 'ERR_LAUNCH_EXEC', errno: -1, syscall: 'setgroups' });
});

for (const missing of ['kill', 'sys_ptrace']) {
  t.test(
    `without CAP_${missing.toUpperCase()} another user's VM is refused, and not left running`,
    { skip },
    async (t) => {
      const outcome = launchBy(
        needed.filter((name) => name !== missing),
        { uid: 2000, gid: 2000 },
      );
      t.match(outcome, { code: 'ERR_LAUNCH_EXEC', errno: -1, syscall: 'setresuid' });
      t.match(outcome.message, new RegExp(`CAP_${missing.toUpperCase()}`));
    },
  );
}
