// Option checks in Node's words: ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_OUT_OF_RANGE.
// Everything is checked here, before anything is opened.
import { inspect } from 'node:util';

function received(value: unknown): string {
  if (value === null || value === undefined) return `Received ${value}`;
  if (typeof value === 'function') return `Received function ${value.name}`;
  if (typeof value === 'object') {
    const name = (value as object).constructor?.name;
    return name ? `Received an instance of ${name}` : `Received ${inspect(value, { depth: -1 })}`;
  }
  return `Received type ${typeof value} (${inspect(value).slice(0, 60)})`;
}

export function invalidArgType(name: string, expected: string, value: unknown): TypeError {
  const kind = name.includes('.') || name.includes('[') ? 'property' : 'argument';
  const message = `The "${name}" ${kind} must be ${expected}. ${received(value)}`;
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' });
}

export function invalidArgValue(name: string, value: unknown, reason: string): TypeError {
  const kind = name.includes('.') || name.includes('[') ? 'property' : 'argument';
  const message = `The ${kind} '${name}' ${reason}. Received ${inspect(value).slice(0, 128)}`;
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_VALUE' });
}

export function outOfRange(name: string, range: string, value: unknown): RangeError {
  const message = `The value of "${name}" is out of range. It must be ${range}. Received ${inspect(value)}`;
  return Object.assign(new RangeError(message), { code: 'ERR_OUT_OF_RANGE' });
}

export function checkString(name: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') throw invalidArgType(name, 'of type string', value);
  // A NUL would cut the string short on its way to the kernel: what is checked must be what is used.
  if (value.includes('\0')) throw invalidArgValue(name, value, 'must be a string without null bytes');
}

export function checkNonEmptyString(name: string, value: unknown): asserts value is string {
  checkString(name, value);
  if (value === '') throw invalidArgValue(name, value, 'must not be empty');
}

export function checkBoolean(name: string, value: unknown): asserts value is boolean {
  if (typeof value !== 'boolean') throw invalidArgType(name, 'of type boolean', value);
}

export function checkInteger(name: string, value: unknown, min: number, max: number): asserts value is number {
  if (typeof value !== 'number') throw invalidArgType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < min || value > max) throw outOfRange(name, `>= ${min} && <= ${max}`, value);
}

export function checkObject(name: string, value: unknown): asserts value is Record<string, unknown> {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw invalidArgType(name, 'of type object', value);
  }
}

export function checkArray(name: string, value: unknown): asserts value is readonly unknown[] {
  if (!Array.isArray(value)) throw invalidArgType(name, 'an instance of Array', value);
}

export function checkFunction(name: string, value: unknown): asserts value is (...args: never[]) => unknown {
  if (typeof value !== 'function') throw invalidArgType(name, 'of type function', value);
}

export function checkOneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): asserts value is T {
  checkString(name, value);
  if (!allowed.includes(value as T)) {
    throw invalidArgValue(name, value, `must be one of: ${allowed.map((a) => `'${a}'`).join(', ')}`);
  }
}

/** An unknown option is a typo that would otherwise fall back to a default, silently. */
export function checkKeys(name: string, value: Record<string, unknown>, known: readonly string[]): void {
  for (const key of Object.keys(value)) {
    if (!known.includes(key))
      throw invalidArgValue(`${name}.${key}`, value[key], `is not an option; known are ${known.join(', ')}`);
  }
}

/**
 * Reads one member, inherited ones included, except from `Object.prototype`: what found its way there belongs to
 * no call, and a `selinux: 'off'` there would switch enforcement off for every start of the process.
 */
export function memberOf(value: object, key: string): unknown {
  // Looks first, because most members are not there: `in` also sees what everything inherits.
  if (!(key in value)) return undefined;
  let owner: object | null = value;
  while (owner !== null && owner !== Object.prototype && !Object.hasOwn(owner, key)) {
    owner = Object.getPrototypeOf(owner);
  }
  return owner === null || owner === Object.prototype ? undefined : (value as Record<string, unknown>)[key];
}

/**
 * A copy of an options object with each known option read once, by {@link memberOf}: what is checked is then what is
 * used, whatever a getter would say the second time.
 */
export function takeOptions(name: string, value: unknown, known: readonly string[]): Record<string, unknown> {
  checkObject(name, value);
  checkKeys(name, value, known);
  const taken = { __proto__: null } as unknown as Record<string, unknown>;
  for (const key of known) {
    const member = memberOf(value, key);
    if (member !== undefined) taken[key] = member;
  }
  return taken;
}

/** The same properties in an object without a prototype: what it does not have, it does not inherit either. */
export function withoutPrototype<T extends object>(value: T): T {
  return { __proto__: null, ...value } as T;
}

/**
 * An AbortSignal, or what does as one (another realm's, a polyfill's). `aborted` alone, which Node looks at, does
 * not: listening to it would fail later, when images are open.
 */
export function checkAbortSignal(name: string, value: unknown): asserts value is AbortSignal {
  const signal = value as Partial<AbortSignal> | null;
  if (
    signal === null ||
    typeof signal !== 'object' ||
    typeof signal.aborted !== 'boolean' ||
    typeof signal.addEventListener !== 'function' ||
    typeof signal.removeEventListener !== 'function'
  ) {
    throw invalidArgType(name, 'an instance of AbortSignal', value);
  }
}
