#!/usr/bin/env node
// The command `vm-entrypoint`: finds the subcommand, and turns every outcome into an exit status.
import { readFileSync } from 'node:fs';
import { type Command, didYouMean, help, parse, UsageError } from './command.js';
import { report } from './failure.js';
import { complain, EXIT, type ExitStatus, guardOutput, print } from './output.js';
import { table } from './table.js';

// Loaded one at a time: help and `policy show` must work where the native addon does not load.
const COMMANDS: Readonly<Record<string, { summary: string; load(): Promise<{ command: Command }> }>> = {
  status: { summary: 'What this host has, what it lacks, and what to do about it', load: () => import('./status.js') },
  check: { summary: 'May this VM start, and in which domain', load: () => import('./check.js') },
  explain: { summary: 'The same, with every question, verdict and missing rule', load: () => import('./explain.js') },
  launch: { summary: 'Check and run', load: () => import('./launch.js') },
  policy: { summary: 'Show, install or remove the policy module', load: () => import('./policy.js') },
};

function overview(): string[] {
  return [
    'Usage: vm-entrypoint COMMAND [OPTIONS]',
    '',
    'The SELinux policy decides which virtual disk may become which VM.',
    '',
    'Commands:',
    ...table(
      null,
      Object.entries(COMMANDS).map(([name, { summary }]) => [name, summary]),
      { indent: '  ' },
    ),
    '',
    "'vm-entrypoint COMMAND --help' shows the options and examples of a command.",
    '',
    'Options:',
    ...table(
      null,
      [
        ['-h, --help', 'print this help'],
        ['--version', 'print the version'],
      ],
      { indent: '  ' },
    ),
    '',
    'Exit status: 0 allowed or done, 1 denied, 2 wrong usage, 3 could not be evaluated.',
  ];
}

async function find(name: string): Promise<Command> {
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (entry === undefined) {
    const what = name.startsWith('-') ? 'option' : 'command';
    const known = what === 'option' ? ['--help', '--version'] : Object.keys(COMMANDS);
    throw new UsageError(`unknown ${what} '${name}'${didYouMean(name, known)}`);
  }
  return (await entry.load()).command;
}

async function main(args: readonly string[]): Promise<ExitStatus> {
  const [first, ...rest] = args;
  // Before parsing, so that an error in the arguments already comes in the form that was asked for.
  const json = (rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest).includes('--json');
  let where = 'vm-entrypoint';
  try {
    if (first === '--version') {
      const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
        version: string;
      };
      print(version);
      return EXIT.done;
    }
    if (first === '--help' || first === '-h' || (first === 'help' && rest[0] === undefined)) {
      print(...overview());
      return EXIT.done;
    }
    if (first === undefined) {
      complain(...overview());
      return EXIT.usage;
    }
    const command = await find(first === 'help' ? rest[0]! : first);
    where = `vm-entrypoint ${command.name}`;
    const input = first === 'help' ? null : parse(command, rest);
    if (input === null) {
      print(...help(command));
      return EXIT.done;
    }
    return await command.run(input);
  } catch (error) {
    return report(where, error, json);
  }
}

guardOutput();
// Node's own status for an uncaught exception is 1, which here means "denied".
process.on('uncaughtException', (error) => {
  report('vm-entrypoint', error, false);
  process.exit(EXIT.failed);
});
// Set, not exited with: a pipe may still have to take the output.
// `??=`: an output that failed meanwhile keeps its own.
const status = await main(process.argv.slice(2));
process.exitCode ??= status;
