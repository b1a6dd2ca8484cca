// What the adapters in this folder share, and the checks of what they, or a caller's own, return.
import type { Emulator, EmulatorCommand } from '../../types/public.js';
import {
  checkArray,
  checkFunction,
  checkInteger,
  checkKeys,
  checkNonEmptyString,
  checkObject,
  checkString,
  invalidArgValue,
} from '../validate.js';

/** Checks a path that is never looked up anywhere. */
export function checkAbsolutePath(name: string, value: unknown): asserts value is string {
  checkNonEmptyString(name, value);
  if (!value.startsWith('/')) throw invalidArgValue(name, value, 'must be an absolute path');
}

/** Checks an adapter, before anything is opened. */
export function checkEmulator(name: string, value: unknown): asserts value is Emulator {
  checkObject(name, value);
  checkAbsolutePath(`${name}.path`, value.path);
  checkFunction(`${name}.build`, value.build);
  if (value.channels === undefined) return;
  checkArray(`${name}.channels`, value.channels);
  value.channels.forEach((channel, i) => {
    checkNonEmptyString(`${name}.channels[${i}]`, channel);
  });
  if (new Set(value.channels).size !== value.channels.length) {
    throw invalidArgValue(`${name}.channels`, value.channels, 'must not have a name twice');
  }
}

/** Checks what an adapter made. */
export function checkEmulatorCommand(name: string, value: unknown): asserts value is EmulatorCommand {
  checkObject(name, value);
  checkKeys(name, value, ['args', 'argv0', 'reopens']);
  checkArray(`${name}.args`, value.args);
  value.args.forEach((arg, i) => {
    checkString(`${name}.args[${i}]`, arg);
  });
  if (value.argv0 !== undefined) checkString(`${name}.argv0`, value.argv0);
  if (value.reopens === undefined) return;
  checkArray(`${name}.reopens`, value.reopens);
  value.reopens.forEach((fd, i) => {
    checkInteger(`${name}.reopens[${i}]`, fd, 0, 2 ** 31 - 1);
  });
}
