// What the adapters in this folder share, and the checks of what they, or a caller's own, return.
import type { Emulator, EmulatorCommand, EmulatorInput } from '../../types/public.js';
import {
  checkArray,
  checkFunction,
  checkInteger,
  checkNonEmptyString,
  checkObject,
  checkString,
  invalidArgValue,
  memberOf,
  takeOptions,
} from '../validate.js';

/** Checks a path that is never looked up anywhere. */
export function checkAbsolutePath(name: string, value: unknown): asserts value is string {
  checkNonEmptyString(name, value);
  if (!value.startsWith('/')) throw invalidArgValue(name, value, 'must be an absolute path');
}

/** Checks an adapter, before anything is opened. Each member is read once; what comes back is what was checked. */
export function takeEmulator(name: string, value: unknown): Required<Emulator> {
  checkObject(name, value);
  const [path, build, given] = ['path', 'build', 'channels'].map((key) => memberOf(value, key));
  checkAbsolutePath(`${name}.path`, path);
  checkFunction(`${name}.build`, build);
  if (given !== undefined) checkArray(`${name}.channels`, given);
  const channels = [...(given ?? [])].map((channel, i) => {
    checkNonEmptyString(`${name}.channels[${i}]`, channel);
    return channel;
  });
  if (new Set(channels).size !== channels.length) {
    throw invalidArgValue(`${name}.channels`, channels, 'must not have a name twice');
  }
  const adapter = build as Emulator['build'];
  return { path, channels, build: (input: EmulatorInput) => adapter.call(value as unknown as Emulator, input) };
}

/** Checks what an adapter made, and takes it as {@link takeEmulator} does. */
export function takeEmulatorCommand(
  name: string,
  value: unknown,
): Pick<EmulatorCommand, 'argv0'> & Required<Pick<EmulatorCommand, 'args' | 'reopens'>> {
  const { args, argv0, reopens } = takeOptions(name, value, ['args', 'argv0', 'reopens']);
  checkArray(`${name}.args`, args);
  const words = [...args].map((arg, i) => {
    checkString(`${name}.args[${i}]`, arg);
    return arg;
  });
  if (argv0 !== undefined) checkString(`${name}.argv0`, argv0);
  if (reopens !== undefined) checkArray(`${name}.reopens`, reopens);
  const numbers = [...(reopens ?? [])].map((fd, i) => {
    checkInteger(`${name}.reopens[${i}]`, fd, 0, 2 ** 31 - 1);
    return fd;
  });
  return { args: words, reopens: numbers, ...(argv0 !== undefined && { argv0 }) };
}
