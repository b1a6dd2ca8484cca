// What a subcommand is, how its arguments are parsed, and how its help is written.
import { parseArgs } from 'node:util';
import { columns, type ExitStatus } from './output.js';
import { table, wrap } from './table.js';

export interface OptionSpec {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  readonly multiple?: boolean;
  /** What help calls the value of a `string` option. */
  readonly value?: string;
  readonly help: string;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  /** Lines after `vm-entrypoint NAME`. */
  readonly usage: readonly string[];
  readonly details?: string;
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** How many words may stand between the options. Default 0. */
  readonly positionals?: number;
  /** Everything after `--` belongs to another program. */
  readonly trailing?: boolean;
  readonly examples: readonly (readonly [command: string, comment: string])[];
  run(input: Input): Promise<ExitStatus>;
}

/** Parsed arguments of one call. */
export interface Input {
  readonly command: Command;
  readonly json: boolean;
  readonly positionals: readonly string[];
  /** What stood after `--`. */
  readonly trailing: readonly string[];
  flag(name: string): boolean;
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
}

/** The arguments make no sense: exit status 2. */
export class UsageError extends Error {
  override name = 'UsageError';
  readonly code = 'ERR_USAGE';
}

const COMMON: Readonly<Record<string, OptionSpec>> = {
  json: { type: 'boolean', help: 'print JSON on standard output' },
  help: { type: 'boolean', short: 'h', help: 'print this help' },
};

/** The known name that is closest to a misspelt one, as the end of a message; empty when none is close. */
export function didYouMean(word: string, known: readonly string[]): string {
  const distance = (a: string, b: string): number => {
    let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
    for (let i = 1; i <= a.length; i++) {
      const current = [i];
      for (let j = 1; j <= b.length; j++) {
        const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
        current.push(Math.min(replaced, previous[j]! + 1, current[j - 1]! + 1));
      }
      previous = current;
    }
    return previous[b.length]!;
  };
  const [nearest] = known
    .map((name) => ({ name, far: name.startsWith(word) && word.length > 1 ? 1 : distance(word, name) }))
    .filter(({ far, name }) => far <= Math.max(1, Math.floor(name.length / 3)))
    .sort((a, b) => a.far - b.far);
  return nearest ? `; did you mean '${nearest.name}'?` : '';
}

/** Throws {@link UsageError} unless `value` is one of `known`. */
export function oneOf<const T extends string>(option: string, value: string, known: readonly T[]): T {
  const found = known.find((each) => each === value);
  if (found === undefined) {
    throw new UsageError(`${option} '${value}' is not one of ${known.join(', ')}${didYouMean(value, known)}`);
  }
  return found;
}

/** Returns `null` when help was asked for. */
export function parse(command: Command, args: readonly string[]): Input | null {
  const options = { ...command.options, ...COMMON };
  const end = args.indexOf('--');
  const own = end === -1 ? [...args] : args.slice(0, end);
  const trailing = end === -1 ? [] : args.slice(end + 1);

  const loose = parseArgs({ args: own, options, allowPositionals: true, strict: false, tokens: true });
  if (loose.values.help === true) return null;
  for (const token of loose.tokens) {
    if (token.kind !== 'option' || token.name in options) continue;
    const known = Object.keys(options).map((name) => `--${name}`);
    throw new UsageError(`unknown option '${token.rawName}'${didYouMean(token.rawName, known)}`);
  }
  const parsed = (() => {
    try {
      return parseArgs({ args: own, options, allowPositionals: true });
    } catch (error) {
      // A missing value, a value for a switch, or a value that looks like an option.
      throw new UsageError((error as Error).message.replaceAll('\n', ' '));
    }
  })();

  for (const token of loose.tokens) {
    if (token.kind !== 'option' || options[token.name]?.multiple || options[token.name]?.type === 'boolean') continue;
    const count = loose.tokens.filter((other) => other.kind === 'option' && other.name === token.name).length;
    // parseArgs would let the last one win: what was meant by the first is then lost without a word.
    if (count > 1) throw new UsageError(`${token.rawName} is given more than once`);
  }
  const surplus = parsed.positionals[command.positionals ?? 0];
  if (surplus !== undefined) {
    const hint = command.trailing ? "; the emulator and its arguments come after '--'" : '';
    throw new UsageError(`unexpected argument '${surplus}'${hint}`);
  }
  if (end !== -1 && !command.trailing) throw new UsageError("unexpected argument '--'");

  const value = (name: string): unknown => (parsed.values as Record<string, unknown>)[name];
  return {
    command,
    json: value('json') === true,
    positionals: parsed.positionals,
    trailing,
    flag: (name) => value(name) === true,
    text: (name) => value(name) as string | undefined,
    texts: (name) => (value(name) as string[] | undefined) ?? [],
  };
}

/** The text of `vm-entrypoint COMMAND --help`. */
export function help(command: Command): string[] {
  const rows = Object.entries({ ...command.options, ...COMMON }).map(([name, option]) => [
    `${option.short ? `-${option.short}, ` : ''}--${name}${option.type === 'string' ? ` ${option.value ?? 'TEXT'}` : ''}`,
    option.help,
  ]);
  const room = columns();
  return [
    ...command.usage.map((each, i) => `${i === 0 ? 'Usage:' : '      '} vm-entrypoint ${command.name} ${each}`),
    '',
    ...wrap(`${command.summary}.`, room),
    ...(command.details ?? '')
      .split('\n')
      .flatMap((paragraph) => (paragraph === '' ? [] : ['', ...wrap(paragraph, room)])),
    '',
    'Options:',
    ...table(null, rows, { indent: '  ' }),
    '',
    'Examples:',
    ...command.examples.flatMap(([text, comment]) => [`  # ${comment}`, `  ${text}`]),
  ];
}
