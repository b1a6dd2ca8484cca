// The command line as a whole: help, usage errors, output that goes nowhere.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { cli, main, root } from '../helpers/cli.js';

const ESCAPE = new RegExp(String.fromCharCode(27));
const COMMANDS = ['status', 'check', 'explain', 'launch', 'policy'];

t.test('the overview names every command and the exit statuses', async (t) => {
  for (const args of [['--help'], ['-h'], ['help']]) {
    const { status, stdout, stderr } = await cli(args);
    t.equal(status, 0);
    t.equal(stderr, '');
    for (const command of COMMANDS) t.match(stdout, new RegExp(`^  ${command} {2,}\\S`, 'm'));
    t.match(stdout, /0 allowed or done, 1 denied, 2 wrong usage, 3 could not be evaluated/);
  }
});

t.test('without a command the overview is an error', async (t) => {
  const { status, stdout, stderr } = await cli([]);
  t.equal(status, 2);
  t.equal(stdout, '');
  t.match(stderr, /^Usage: vm-entrypoint COMMAND/);
});

t.test('the version is that of the package', async (t) => {
  const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  t.strictSame(await cli(['--version']), { status: 0, signal: null, stdout: `${version}\n`, stderr: '' });
});

for (const name of COMMANDS) {
  t.test(`help of ${name} has a usage line, every option and examples`, async (t) => {
    const { status, stdout, stderr } = await cli([name, '--help']);
    t.equal(status, 0);
    t.equal(stderr, '');
    t.match(stdout, new RegExp(`^Usage: vm-entrypoint ${name} `));
    const { command } = await import(`${root}dist/cli/${name}.js`);
    for (const option of [...Object.keys(command.options), 'json', 'help']) {
      t.match(stdout, new RegExp(`^  (-\\w, )?--${option}( [A-Z].*)?( |$)`, 'm'), `--${option}`);
    }
    t.match(stdout, /\nExamples:\n {2}# /);
    t.strictSame(
      stdout
        .split('\n')
        .filter((line) => line.length > 80 && !/^ {2}(sudo )?vm-entrypoint |^ +vm-entrypoint |^Usage/.test(line)),
      [],
      'everything that can be wrapped is',
    );
    t.strictSame(await cli(['help', name]), { status, signal: null, stdout, stderr });
    t.equal((await cli([name, '--nonsense', '--help'])).stdout, stdout, 'help wins over mistakes');
  });

  t.test(`docs/cli.md tells about ${name}`, async (t) => {
    const { command } = await import(`${root}dist/cli/${name}.js`);
    const text = readFileSync(`${root}docs/cli.md`, 'utf8');
    for (const option of Object.keys(command.options)) {
      const { short } = command.options[option];
      t.ok(text.includes(`--${option}`) || (short !== undefined && text.includes(`-${short}`)), `--${option}`);
    }
  });
}

t.test('what is not known is refused, with the nearest name', async (t) => {
  const cases: [args: string[], message: RegExp][] = [
    [['statsu'], /unknown command 'statsu'; did you mean 'status'\?/],
    [['expl'], /unknown command 'expl'; did you mean 'explain'\?/],
    [['zzzzzz'], /unknown command 'zzzzzz'\n/],
    [['constructor'], /unknown command 'constructor'\n/],
    [['help', 'lanch'], /unknown command 'lanch'; did you mean 'launch'\?/],
    [['--verison'], /unknown option '--verison'; did you mean '--version'\?/],
    [['check', '--dsk', 'a,format=raw'], /unknown option '--dsk'; did you mean '--disk'\?/],
    [['check', '-x'], /unknown option '-x'\n/],
    [['check', '--policy', 'x'], /unknown option '--policy'/],
    [['launch', '--launcher', 'x'], /unknown option '--launcher'/],
    [['policy', 'isntall'], /'isntall' is not one of show, install, remove; did you mean 'install'\?/],
    [['policy', 'show', '--example', 'three_level'], /did you mean 'three_levels'\?/],
  ];
  for (const [args, message] of cases) {
    const { status, stdout, stderr } = await cli(args);
    t.equal(status, 2, args.join(' '));
    t.equal(stdout, '');
    t.match(stderr, /^vm-entrypoint( \w+)?: ERR_USAGE: /);
    t.match(stderr, message);
  }
});

t.test('arguments that make no sense are refused before anything is opened', async (t) => {
  const cases: [args: string[], message: RegExp][] = [
    [['check'], /no disk/],
    [['check', '--disk'], /--disk/],
    [['check', '--disk', '--client'], /--disk/],
    [['check', '--disk', '/nonexistent'], /format=raw or format=qcow2 is missing/],
    [['check', '--disk', ',format=raw'], /the path comes first/],
    [['check', '--disk', '/nonexistent,format=vmdk'], /format 'vmdk' is not one of raw, qcow2/],
    [['check', '--disk', '/nonexistent,format=qcow'], /did you mean 'qcow2'\?/],
    [['check', '--disk', '/nonexistent,format=raw,bot'], /unknown part 'bot'; did you mean 'boot'\?/],
    [['check', '--disk', '/none,xistent,format=raw'], /a comma in the path is written ',,'/],
    [['check', '--disk', '/nonexistent,format=raw,readonly=maybe'], /readonly 'maybe' is not one of on, off/],
    [['check', '--disk', '/a,format=raw', '--disk', '/b,format=raw'], /one must say boot/],
    [['check', '--disk', '/a,format=raw,boot', '--disk', '/b,format=raw,boot'], /ERR_INVALID_ARG_VALUE/],
    [['check', '--disk-context', 'u:r:t:s0,raedonly'], /unknown part 'raedonly'; did you mean 'readonly'\?/],
    [['check', '--disk-context', 'u:r:t:s0,class=dir'], /class 'dir' is not one of file, blk_file/],
    [['check', '--disk-context', 'u:r:t t:s0'], /ERR_INVALID_ARG_VALUE/],
    [['check', '--disk', '/a,format=raw', '--client', 'a', '--client', 'b'], /--client is given more than once/],
    [['check', '--disk', '/a,format=raw', '--client', ''], /ERR_INVALID_ARG_VALUE/],
    [['check', '--disk', '/a,format=raw', '--rule', 'chnge'], /did you mean 'change'\?/],
    [['check', '--disk', '/a,format=raw', '--selinux', 'no'], /'no' is not one of require, prefer, off/],
    [['check', '--disk', '/a,format=raw', '--json=yes'], /--json/],
    [['check', '--disk', '/a,format=raw', 'surplus'], /unexpected argument 'surplus'/],
    [['check', '--disk', '/a,format=raw', '--', 'x'], /unexpected argument '--'/],
    [['status', 'now'], /unexpected argument 'now'/],
    [['policy'], /which of show, install, remove\?/],
    [['policy', 'show', 'install'], /unexpected argument 'install'/],
    [['policy', 'show', '--store', 'default'], /--store does not go with 'policy show'/],
    [['policy', 'remove', '--path'], /--path does not go with 'policy remove'/],
  ];
  for (const [args, message] of cases) {
    const { status, stdout, stderr } = await cli(args);
    t.equal(status, 2, args.join(' '));
    t.equal(stdout, '');
    t.match(stderr, message, args.join(' '));
    const [first] = args;
    t.ok(stderr.startsWith(`vm-entrypoint ${first}: `));
  }
});

t.test('with --json an error is also JSON', async (t) => {
  const { status, stdout, stderr } = await cli(['check', '--json', '--disk', '/nonexistent']);
  t.equal(status, 2);
  t.match(JSON.parse(stdout), {
    error: { code: 'ERR_USAGE', name: 'UsageError', message: /format=raw/, hint: String },
  });
  t.match(stderr, /ERR_USAGE/);
  const unknown = await cli(['policy', '--json', '--nope']);
  t.match(JSON.parse(unknown.stdout), { error: { code: 'ERR_USAGE' } });
});

t.test('a reader that goes away changes neither the status nor the manners', async (t) => {
  const shell = (script: string) =>
    spawnSync('bash', ['-c', script, 'bash', process.execPath, main], { encoding: 'utf8' });
  const { stdout, stderr } = shell('"$1" "$2" policy show --json | head -c 1 >/dev/null; echo "$PIPESTATUS"');
  t.equal(stdout, '0\n');
  t.equal(stderr, '');
  const closed = shell('"$1" "$2" check --json 2>&1 >&- | cat; echo "$PIPESTATUS"');
  t.match(closed.stdout, /ERR_USAGE[\s\S]*\n2\n$/);
});

t.test('an answer that cannot be written is a failure', async (t) => {
  const { status, stderr } = spawnSync(
    'bash',
    ['-c', '"$1" "$2" policy show > /dev/full', 'bash', process.execPath, main],
    {
      encoding: 'utf8',
    },
  );
  t.equal(status, 3);
  t.match(stderr, /cannot write the output: .*ENOSPC/);
});

t.test('colour only on a terminal, and not when it is unwanted', async (t) => {
  const script = (env: string) =>
    spawnSync('script', ['-qec', `${env} ${process.execPath} ${main} status`, '/dev/null'], {
      encoding: 'utf8',
      // Node itself gives no colour to a terminal of a continuous integration (getColorDepth).
      env: {
        ...process.env,
        NODE_OPTIONS: undefined,
        TERM: 'xterm',
        NO_COLOR: undefined,
        FORCE_COLOR: undefined,
        CI: undefined,
      },
    }).stdout;
  t.match(script(''), ESCAPE);
  t.notMatch(script('NO_COLOR=1'), ESCAPE);
  t.notMatch(script('TERM=dumb'), ESCAPE);
  t.notMatch((await cli(['status'], { env: { TERM: 'xterm' } })).stdout, ESCAPE);
});

t.test('help is laid out for the width of the terminal', async (t) => {
  const lines = spawnSync('script', ['-qec', `stty cols 50; ${process.execPath} ${main} status --help`, '/dev/null'], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: undefined },
  }).stdout.split('\r\n');
  t.strictSame(
    lines.filter((line) => line.length > 50 && !/vm-entrypoint/.test(line)),
    [],
  );
});
