// command(): any program that takes its images as descriptors.
import type { Emulator, EmulatorFile, EmulatorInput } from '../../types/public.js';
import { checkArray, checkNonEmptyString, checkString, invalidArgValue, takeOptions } from '../validate.js';
import { checkAbsolutePath } from './emulator.js';

type ArgumentsMaker = (input: EmulatorInput) => readonly string[];

/** Options of {@link command}. */
export interface CommandOptions {
  /** Absolute path of the program. */
  readonly path: string;
  /**
   * Its arguments: a list with placeholders, or a function that makes the list.
   *
   * In a list `{disk0}` becomes the descriptor number of the first disk, `{disk0.1}` that of the second file it
   * consists of, `{kernel}`, `{initrd}`, `{firmware}` and `{state}` those of the others, and `{NAME}` that of a
   * channel. Other braces stay as they are.
   */
  readonly args?: readonly string[] | ArgumentsMaker;
  /** Default: `path`. */
  readonly argv0?: string;
  /** Sockets to the program, by name: in `vm.channels`, and as placeholders. */
  readonly channels?: readonly string[];
}

const KEYS = ['path', 'args', 'argv0', 'channels'] as const satisfies readonly (keyof CommandOptions)[];
const BLOBS = ['kernel', 'initrd', 'firmware', 'state'] as const;

function numberOf(placeholder: string, input: EmulatorInput): number | undefined {
  const disk = /^disk(\d+)(?:\.(\d+))?$/.exec(placeholder);
  if (disk !== null) return input.disks[Number(disk[1])]?.files[Number(disk[2] ?? 0)]?.fd;
  const blob = BLOBS.find((name) => name === placeholder);
  if (blob !== undefined) return (input[blob] satisfies EmulatorFile | null)?.fd;
  return undefined;
}

function fill(arg: string, input: EmulatorInput): string {
  return arg.replaceAll(/\{([\w.-]+)\}/g, (text, placeholder: string) => {
    const channel = Object.hasOwn(input.channels, placeholder) ? input.channels[placeholder] : undefined;
    const fd = channel ?? numberOf(placeholder, input);
    if (fd !== undefined) return String(fd);
    // A descriptor that does not exist is a mistake; a word in braces is the program's own business.
    if (/^disk\d+(\.\d+)?$/.test(placeholder) || (BLOBS as readonly string[]).includes(placeholder)) {
      throw invalidArgValue('options.args', arg, `names ${text}, which this start does not have`);
    }
    return text;
  });
}

function words(given: unknown): string[] {
  checkArray('options.args', given);
  return [...given].map((arg, i) => {
    checkString(`options.args[${i}]`, arg);
    return arg;
  });
}

/**
 * An emulator from a path and its arguments. Images are descriptors: `/proc/self/fd/N`, which needs the right to
 * open them in the VM's domain, or whatever the program takes for an open descriptor, which does not.
 *
 * @throws `TypeError` with `ERR_INVALID_ARG_TYPE` or `ERR_INVALID_ARG_VALUE`
 */
export function command(options: CommandOptions): Emulator {
  const { path, args: given = [], argv0, channels: names = [] } = takeOptions('options', options, KEYS);
  checkAbsolutePath('options.path', path);
  const args = typeof given === 'function' ? (given as ArgumentsMaker) : words(given);
  if (argv0 !== undefined) checkString('options.argv0', argv0);
  checkArray('options.channels', names);
  const channels = [...names].map((channel, i) => {
    checkNonEmptyString(`options.channels[${i}]`, channel);
    return channel;
  });
  return {
    path,
    channels,
    build(input) {
      const list = typeof args === 'function' ? args(input) : args.map((arg) => fill(arg, input));
      return { args: list, ...(argv0 !== undefined && { argv0 }) };
    },
  };
}
