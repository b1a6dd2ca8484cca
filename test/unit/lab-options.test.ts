// The command line of the lab's runner: what its words mean, and that words without a meaning start no guest.
import t from 'tap';
import { LabError } from '../lab/failure.mjs';
import { help, parseCommandLine } from '../lab/options.mjs';

const parse = (line: string) => parseCommandLine(line.split(' ').filter(Boolean));

t.test('a command without options runs under the defaults, and its own words stay its own', async (t) => {
  t.strictSame(parse('-- id -Z'), {
    help: false,
    run: { command: 'id', args: ['-Z'], permissive: false, mounts: [], disks: [] },
  });
  // Whatever follows the first `--` is the command's, another `--` and the runner's own option names included.
  t.strictSame(parse('-- sh --permissive -- --disk x').run.args, ['--permissive', '--', '--disk', 'x']);
});

t.test('every option means what the help says', async (t) => {
  const line =
    '--permissive --policy mls --context u:r:t:s0-s15:c0.c1023 --mount out:/out --disk a.raw --timeout 1.5 -- true';
  t.strictSame(parse(line).run, {
    command: 'true',
    args: [],
    permissive: true,
    policy: 'mls',
    context: 'u:r:t:s0-s15:c0.c1023',
    mounts: [{ source: 'out', directory: '/out' }],
    disks: ['a.raw'],
    timeoutMs: 1500,
  });
  t.strictSame(
    parse(line.replaceAll(/(--(?:policy|context|mount|disk|timeout)) /g, '$1=')).run,
    parse(line).run,
    '--name value and --name=value',
  );
});

t.test('mounts and disks may be repeated and keep their order; of other options the last counts', async (t) => {
  const { run } = parse('--disk b --mount 1:/x --disk a --mount 2:/y --policy mls --policy default -- true');
  t.strictSame(run.disks, ['b', 'a']);
  t.strictSame(run.mounts, [
    { source: '1', directory: '/x' },
    { source: '2', directory: '/y' },
  ]);
  t.equal(run.policy, 'default');
});

t.test('the help is asked for without a command, and names each option', async (t) => {
  t.equal(parse('--help').help, true);
  t.equal(parse('-- sh --help').help, false, "the command's own --help");
  for (const name of ['permissive', 'policy', 'context', 'mount', 'disk', 'timeout', 'help']) {
    t.match(help, new RegExp(`^  --${name}\\b`, 'm'));
  }
});

t.test('words without a meaning are wrong usage', async (t) => {
  const wrong = [
    '',
    '--',
    'id -Z',
    'id -- id',
    '--permissive',
    '--permissive=yes -- id',
    '--help=1 -- id',
    '--memory 512 -- id',
    '-p mls -- id',
    '--policy -- id',
    '--policy strict -- id',
    '--context= -- id',
    '--context',
    '--disk -- id',
    '--mount out -- id',
    '--mount :/out -- id',
    '--mount out:relative -- id',
    '--mount out: -- id',
    '--timeout 0 -- id',
    '--timeout -5 -- id',
    '--timeout soon -- id',
    '--timeout 1e9 -- id',
    '--timeout Infinity -- id',
  ];
  for (const line of wrong) {
    try {
      parse(line);
      t.fail(`understood: ${line}`);
    } catch (error) {
      t.ok(error instanceof LabError && error.status === 2, line);
    }
  }
});
