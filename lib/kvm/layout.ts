// Structures of the kernel's C interface as tables of C-like declarations: sizes and offsets follow from them by C's
// rules, and so do the TypeScript types of the values. Nothing here knows KVM; the tables are in structures.ts.
import { checkArray, checkInteger, checkObject, invalidArgType, invalidArgValue, outOfRange } from '../validate.js';

type Small = 'u8' | 'u16' | 'u32' | 'i32';
type Wide = 'u64' | 'i64';

/**
 * What a member is declared as:
 *
 * | written | in C | value |
 * | --- | --- | --- |
 * | `'u8'` `'u16'` `'u32'` `'i32'` | `__u8` … | number |
 * | `'u64'` `'i64'` | `__u64` `__s64` | bigint; a safe integer is taken, too |
 * | `'kvm_segment'` | `struct kvm_segment`, of the same table | object |
 * | `'u8[16]'` | `__u8 x[16]`, `char x[16]` | Uint8Array of just that length |
 * | `'u64[4]'` `'u8[8][16]'` | arrays of everything else | array of just that length |
 * | `'kvm_msr_entry[nmsrs]'` | `struct kvm_msr_entry x[]`, last; as many as the member `nmsrs` says | array |
 * | `'u8[size-128]'` | the same, where the member also counts 128 bytes that come before | Uint8Array |
 * | `{ nr: 'u8' }` | `struct { __u8 nr; }` | object |
 * | `{ union: { a: 'u8', b: 'u64' } }` | `union { __u8 a; __u64 b; }` | its bytes; an object with one of the members is taken, too |
 *
 * With `?` at its end a member may be left out where a structure is made: reserved ones are 0 then, counts are
 * counted.
 */
export type Declaration = string | Declarations;
export interface Declarations {
  readonly [member: string]: Declaration;
}

type NumberOfDimensions = `${number}` | `${number}][${number}`;
type IsList<Members> = {
  [K in keyof Members]: Members[K] extends `${string}[${infer Count}]`
    ? Count extends NumberOfDimensions
      ? never
      : true
    : never;
}[keyof Members];

type Decoded<Table, D> = D extends `${infer Kind}?`
  ? Decoded<Table, Kind>
  : D extends Small
    ? number
    : D extends Wide
      ? bigint
      : D extends `u8[${string}][${string}]`
        ? Uint8Array[]
        : D extends `u8[${string}]`
          ? Uint8Array
          : D extends `${infer Kind}[${string}]`
            ? Decoded<Table, Kind>[]
            : D extends keyof Table
              ? Value<Table, D>
              : D extends { readonly union: object }
                ? Uint8Array
                : { -readonly [K in keyof D]: Decoded<Table, D[K]> };

type Encodable<Table, D> = D extends `${infer Kind}?`
  ? Encodable<Table, Kind>
  : D extends Small
    ? number
    : D extends Wide
      ? bigint | number
      : D extends `u8[${string}][${string}]`
        ? readonly Uint8Array[]
        : D extends `u8[${string}]`
          ? Uint8Array
          : D extends `${infer Kind}[${string}]`
            ? readonly Encodable<Table, Kind>[]
            : D extends keyof Table
              ? Input<Table, D>
              : D extends { readonly union: infer Members }
                ?
                    | Uint8Array
                    | { [K in keyof Members]: { readonly [One in K]: Encodable<Table, Members[K]> } }[keyof Members]
                : EncodableMembers<Table, D>;

type EncodableMembers<Table, Members> = {
  readonly [K in keyof Members as Members[K] extends `${string}?` ? never : K]: Encodable<Table, Members[K]>;
} & {
  readonly [K in keyof Members as Members[K] extends `${string}?` ? K : never]?:
    | Encodable<Table, Members[K]>
    | undefined;
};

/** What the structure `Name` of a table decodes to. */
export type Value<Table, Name extends keyof Table> = {
  -readonly [K in keyof Table[Name]]: Decoded<Table, Table[Name][K]>;
};

/** What the structure `Name` of a table can be made from; what it decodes to among others. */
export type Input<Table, Name extends keyof Table> = EncodableMembers<Table, Table[Name]>;

/** Where a member is, in bytes. */
export interface Member {
  readonly offset: number;
  readonly size: number;
}

/** One structure. */
export interface Layout<V, I> {
  /** As C calls it, without `struct`. */
  readonly name: string;
  /** `sizeof`; of a list: of what comes before the entries. */
  readonly size: number;
  readonly alignment: number;
  /** By name; the members of a `struct` or `union` in place also by `outer.inner`. */
  readonly members: Readonly<Record<string, Member>>;
  /**
   * The bytes of a structure. Only own properties count.
   *
   * @param name what errors call `value`; default: the structure's name
   * @throws TypeError `ERR_INVALID_ARG_TYPE`, also for a missing member
   * @throws TypeError `ERR_INVALID_ARG_VALUE` for a member that does not exist, and for a wrong number of elements
   * @throws RangeError `ERR_OUT_OF_RANGE`
   */
  encode(value: I, name?: string): Uint8Array;
  /**
   * The structure that begins at `offset`; more bytes may follow it. The value shares no memory with `bytes`.
   *
   * @throws RangeError `ERR_OUT_OF_RANGE` when it does not fit
   */
  decode(bytes: Uint8Array, offset?: number): V;
}

/** A structure that ends in as many entries as one of its members says. */
export interface ListLayout<V, I> extends Layout<V, I> {
  /** Bytes of an entry. */
  readonly entrySize: number;
  /** Zeroed bytes with room for `count` entries that say so: what the kernel fills. */
  allocate(count: number): Uint8Array;
  /** How many entries the bytes say there are: more than there is room for when the kernel refused with `E2BIG`. */
  count(bytes: Uint8Array): number;
}

/** A layout for each structure of a table. */
export type Layouts<Table> = {
  readonly [Name in keyof Table]: [IsList<Table[Name]>] extends [never]
    ? Layout<Value<Table, Name>, Input<Table, Name>>
    : ListLayout<Value<Table, Name>, Input<Table, Name>>;
};

/** How values of one declaration are laid out, written and read. */
interface Kind {
  readonly size: number;
  readonly alignment: number;
  /** Members of a `struct` or `union` in place, for `Layout.members`. */
  readonly inner?: ReadonlyMap<string, Member>;
  /** Into zeroed bytes. `path` is what errors call the value. */
  write(view: DataView, offset: number, value: unknown, path: string): void;
  read(view: DataView, offset: number): unknown;
}

// Both architectures are little-endian under Linux with Node.
const LITTLE_ENDIAN = true;

type Read<T> = (view: DataView, offset: number) => T;
type Write<T> = (view: DataView, offset: number, value: T) => void;

function smallKind(size: number, min: number, max: number, read: Read<number>, set: Write<number>): Kind {
  const write: Kind['write'] = (view, offset, value, path) => {
    checkInteger(path, value, min, max);
    set(view, offset, value);
  };
  return { size, alignment: size, write, read };
}

function wideKind(min: bigint, max: bigint, read: Read<bigint>, set: Write<bigint>): Kind {
  const write: Kind['write'] = (view, offset, value, path) => {
    if (typeof value !== 'bigint' && typeof value !== 'number') throw invalidArgType(path, 'of type bigint', value);
    // A larger number has lost bits already.
    if (typeof value === 'number' && !Number.isSafeInteger(value)) throw outOfRange(path, 'a safe integer', value);
    const wide = BigInt(value);
    if (wide < min || wide > max) throw outOfRange(path, `>= ${min}n && <= ${max}n`, value);
    set(view, offset, wide);
  };
  return { size: 8, alignment: 8, write, read };
}

const U8 = smallKind(
  1,
  0,
  0xff,
  (view, offset) => view.getUint8(offset),
  (view, offset, value) => view.setUint8(offset, value),
);

const SCALARS: Readonly<Record<Small | Wide, Kind>> = {
  u8: U8,
  u16: smallKind(
    2,
    0,
    0xffff,
    (view, offset) => view.getUint16(offset, LITTLE_ENDIAN),
    (view, offset, value) => view.setUint16(offset, value, LITTLE_ENDIAN),
  ),
  u32: smallKind(
    4,
    0,
    0xffff_ffff,
    (view, offset) => view.getUint32(offset, LITTLE_ENDIAN),
    (view, offset, value) => view.setUint32(offset, value, LITTLE_ENDIAN),
  ),
  i32: smallKind(
    4,
    -0x8000_0000,
    0x7fff_ffff,
    (view, offset) => view.getInt32(offset, LITTLE_ENDIAN),
    (view, offset, value) => view.setInt32(offset, value, LITTLE_ENDIAN),
  ),
  u64: wideKind(
    0n,
    2n ** 64n - 1n,
    (view, offset) => view.getBigUint64(offset, LITTLE_ENDIAN),
    (view, offset, value) => view.setBigUint64(offset, value, LITTLE_ENDIAN),
  ),
  i64: wideKind(
    -(2n ** 63n),
    2n ** 63n - 1n,
    (view, offset) => view.getBigInt64(offset, LITTLE_ENDIAN),
    (view, offset, value) => view.setBigInt64(offset, value, LITTLE_ENDIAN),
  ),
};

const scalar = (name: string): Kind | undefined =>
  Object.hasOwn(SCALARS, name) ? SCALARS[name as keyof typeof SCALARS] : undefined;

/** The bytes themselves, as a view that can be written to. */
const bytesOf = (view: DataView, offset: number, length: number) =>
  new Uint8Array(view.buffer, view.byteOffset + offset, length);

function checkBytes(path: string, value: unknown): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) throw invalidArgType(path, 'an instance of Uint8Array', value);
}

function bytesKind(length: number): Kind {
  return {
    size: length,
    alignment: 1,
    write(view, offset, value, path) {
      checkBytes(path, value);
      if (value.length !== length) throw invalidArgValue(path, value, `must have ${length} bytes, not ${value.length}`);
      bytesOf(view, offset, length).set(value);
    },
    read: (view, offset) => bytesOf(view, offset, length).slice(),
  };
}

function arrayKind(element: Kind, length: number): Kind {
  return {
    size: element.size * length,
    alignment: element.alignment,
    write(view, offset, value, path) {
      checkArray(path, value);
      if (value.length !== length) {
        throw invalidArgValue(path, value, `must have ${length} elements, not ${value.length}`);
      }
      for (let i = 0; i < length; i++) element.write(view, offset + i * element.size, value[i], `${path}[${i}]`);
    },
    read(view, offset) {
      const elements: unknown[] = [];
      for (let i = 0; i < length; i++) elements.push(element.read(view, offset + i * element.size));
      return elements;
    },
  };
}

/** Of bytes or of anything else. */
const sequenceKind = (element: Kind, length: number) =>
  element === U8 ? bytesKind(length) : arrayKind(element, length);

interface Placed extends Member {
  readonly name: string;
  readonly kind: Kind;
  readonly optional: boolean;
}

/** Entries at the end: their number is `value of count` - `extra`. */
interface Tail {
  readonly name: string;
  readonly element: Kind;
  readonly offset: number;
  readonly count: Placed;
  readonly extra: number;
}

interface Struct {
  readonly size: number;
  readonly alignment: number;
  readonly placed: readonly Placed[];
  readonly tail?: Tail;
  readonly names: ReadonlySet<string>;
}

const roundUp = (offset: number, alignment: number) => Math.ceil(offset / alignment) * alignment;

const TAIL = /^(\w+)\[([a-z]\w*)(?:-(\d+))?\]$/;

/** Resolves the names of one table. */
class Resolver {
  readonly #table: Readonly<Record<string, Declarations>>;
  readonly #structs: Map<string, Struct> = new Map();

  constructor(table: Readonly<Record<string, Declarations>>) {
    this.#table = table;
  }

  /** C's layout of a `struct`: each member at the next multiple of its alignment, the whole a multiple of the largest. */
  place(declarations: Declarations): Struct {
    const placed: Placed[] = [];
    let end = 0;
    let alignment = 1;
    let tail: Tail | undefined;
    for (const [name, declaration] of Object.entries(declarations)) {
      if (tail !== undefined) throw new Error(`${name} comes after a member without an end`);
      const match = typeof declaration === 'string' ? TAIL.exec(declaration) : null;
      if (match !== null) {
        const [, kindName = '', countName = '', extra = '0'] = match;
        const element = this.#kind(kindName);
        const count = placed.find((member) => member.name === countName);
        if (count === undefined) throw new Error(`${name} counts by ${countName}, which does not come before it`);
        end = roundUp(end, element.alignment);
        alignment = Math.max(alignment, element.alignment);
        tail = { name, element, offset: end, count, extra: Number(extra) };
        continue;
      }
      const optional = typeof declaration === 'string' && declaration.endsWith('?');
      const kind = this.#kind(optional ? declaration.slice(0, -1) : declaration);
      const offset = roundUp(end, kind.alignment);
      placed.push({ name, kind, optional, offset, size: kind.size });
      end = offset + kind.size;
      alignment = Math.max(alignment, kind.alignment);
    }
    const names = new Set(Object.keys(declarations));
    return { size: roundUp(end, alignment), alignment, placed, names, ...(tail && { tail }) };
  }

  #kind(declaration: Declaration): Kind {
    if (typeof declaration !== 'string') {
      const { union } = declaration;
      if (typeof union === 'object') return this.#unionKind(union);
      const struct = this.place(declaration);
      return { ...structKind(struct), inner: innerMembers(struct.placed) };
    }
    const known = scalar(declaration);
    if (known !== undefined) return known;

    const [, kindName = '', first, second] = /^(\w+)\[(\d+)\](?:\[(\d+)\])?$/.exec(declaration) ?? [];
    if (first !== undefined) {
      const element = this.#kind(kindName);
      // x[8][16] in C: eight times sixteen.
      return second === undefined
        ? sequenceKind(element, Number(first))
        : arrayKind(sequenceKind(element, Number(second)), Number(first));
    }
    return structKind(this.struct(declaration));
  }

  struct(name: string): Struct {
    const made = this.#structs.get(name);
    if (made !== undefined) return made;
    const declarations = this.#table[name];
    if (declarations === undefined) throw new Error(`'${name}' is no type and no structure of the table`);
    const struct = this.place(declarations);
    this.#structs.set(name, struct);
    return struct;
  }

  #unionKind(declarations: Declarations): Kind {
    // Every member of a union is at its start.
    const members = Object.entries(declarations).flatMap(
      ([name, declaration]) => this.place({ [name]: declaration }).placed,
    );
    const alignment = Math.max(...members.map(({ kind }) => kind.alignment));
    const size = roundUp(Math.max(...members.map((member) => member.size)), alignment);
    return {
      size,
      alignment,
      inner: innerMembers(members),
      write(view, offset, value, path) {
        if (value instanceof Uint8Array) {
          if (value.length > size) throw invalidArgValue(path, value, `must have at most ${size} bytes`);
          bytesOf(view, offset, size).set(value);
          return;
        }
        if (value === null || typeof value !== 'object') {
          throw invalidArgType(path, 'an instance of Uint8Array or an object with one of the members', value);
        }
        const keys = Object.keys(value);
        const member = members.find(({ name }) => name === keys[0]);
        if (member === undefined || keys.length !== 1) {
          const names = members.map(({ name }) => name).join(', ');
          throw invalidArgValue(path, value, `must have exactly one of the members ${names}`);
        }
        member.kind.write(view, offset, (value as Record<string, unknown>)[member.name], `${path}.${member.name}`);
      },
      read: (view, offset) => bytesOf(view, offset, size).slice(),
    };
  }
}

function innerMembers(placed: readonly Placed[]): Map<string, Member> {
  const members = new Map<string, Member>();
  for (const { name, kind, offset, size } of placed) {
    members.set(name, { offset, size });
    for (const [inner, member] of kind.inner ?? []) {
      members.set(`${name}.${inner}`, { offset: offset + member.offset, size: member.size });
    }
  }
  return members;
}

function writeMembers({ placed, names }: Struct, view: DataView, base: number, value: unknown, path: string): void {
  checkObject(path, value);
  for (const key of Object.keys(value)) {
    if (!names.has(key)) {
      throw invalidArgValue(`${path}.${key}`, value[key], `is not a member; members are ${[...names].join(', ')}`);
    }
  }
  for (const { name, kind, offset, optional } of placed) {
    const member = Object.hasOwn(value, name) ? value[name] : undefined;
    if (member === undefined && optional) continue;
    kind.write(view, base + offset, member, `${path}.${name}`);
  }
}

function readMembers({ placed }: Struct, view: DataView, base: number): Record<string, unknown> {
  const value: Record<string, unknown> = {};
  for (const { name, kind, offset } of placed) value[name] = kind.read(view, base + offset);
  return value;
}

function structKind(struct: Struct): Kind {
  if (struct.tail !== undefined) throw new Error('a structure without an end is part of no other');
  const { size, alignment } = struct;
  return {
    size,
    alignment,
    write: (view, offset, value, path) => writeMembers(struct, view, offset, value, path),
    read: (view, offset) => readMembers(struct, view, offset),
  };
}

/** A view of the bytes from `offset` on, which must be `size` at least. */
function viewOf(bytes: unknown, offset: number, size: number): DataView {
  checkBytes('bytes', bytes);
  checkInteger('offset', offset, 0, bytes.length);
  const left = bytes.length - offset;
  if (left < size) throw outOfRange('bytes.length', `>= ${offset + size}`, bytes.length);
  return new DataView(bytes.buffer, bytes.byteOffset + offset, left);
}

function fixedLayout(name: string, struct: Struct): Layout<unknown, unknown> {
  const { size, alignment, placed } = struct;
  return Object.freeze({
    name,
    size,
    alignment,
    members: Object.freeze(Object.fromEntries(innerMembers(placed))),
    encode(value: unknown, path: string = name) {
      const bytes = new Uint8Array(size);
      writeMembers(struct, viewOf(bytes, 0, size), 0, value, path);
      return bytes;
    },
    decode: (bytes: Uint8Array, offset = 0) => readMembers(struct, viewOf(bytes, offset, size), 0),
  });
}

// Counts are 32 bits wide, or made to be.
const MAX_COUNT = 0xffff_ffff;

function listLayout(name: string, struct: Struct, tail: Tail): ListLayout<unknown, unknown> {
  const { placed, size, alignment } = struct;
  const { element, extra, count } = tail;
  const make = (entries: number) => new Uint8Array(Math.max(size, tail.offset + entries * element.size));
  const readCount = (view: DataView) => Number(count.kind.read(view, count.offset)) - extra;
  const writeCount = (view: DataView, entries: number) =>
    count.kind.write(view, count.offset, entries + extra, `${name}.${count.name}`);

  return Object.freeze({
    name,
    size,
    alignment,
    members: Object.freeze(
      Object.fromEntries([...innerMembers(placed), [tail.name, { offset: tail.offset, size: 0 }]]),
    ),
    entrySize: element.size,
    allocate(entries: number) {
      checkInteger('count', entries, 0, MAX_COUNT - extra);
      const bytes = make(entries);
      writeCount(viewOf(bytes, 0, size), entries);
      return bytes;
    },
    count: (bytes: Uint8Array) => readCount(viewOf(bytes, 0, size)),
    encode(value: unknown, path: string = name) {
      checkObject(path, value);
      // Read once: the entries must be those that were counted.
      const own = { ...value };
      const entries = own[tail.name];
      const entriesPath = `${path}.${tail.name}`;
      if (element === U8) checkBytes(entriesPath, entries);
      else checkArray(entriesPath, entries);
      const length = entries.length;
      if (length > MAX_COUNT - extra) throw outOfRange(`${entriesPath}.length`, `<= ${MAX_COUNT - extra}`, length);

      const bytes = make(length);
      const view = new DataView(bytes.buffer);
      writeMembers(struct, view, 0, own, path);
      if (own[count.name] !== undefined && readCount(view) !== length) {
        throw invalidArgValue(`${path}.${count.name}`, own[count.name], `must be ${length + extra} or left out`);
      }
      writeCount(view, length);
      sequenceKind(element, length).write(view, tail.offset, entries, entriesPath);
      return bytes;
    },
    decode(bytes: Uint8Array, offset = 0) {
      const view = viewOf(bytes, offset, size);
      const entries = readCount(view);
      // The kernel, too, may say more than there is room for.
      const room = Math.floor((view.byteLength - tail.offset) / element.size);
      if (entries < 0 || entries > room) {
        throw outOfRange(`${name}.${count.name}`, `>= ${extra} && <= ${room + extra}`, entries + extra);
      }
      return { ...readMembers(struct, view, 0), [tail.name]: sequenceKind(element, entries).read(view, tail.offset) };
    },
  });
}

/**
 * Layouts for all structures of a table.
 *
 * @throws Error when the table itself is wrong, at once
 */
export function layouts<const Table extends Readonly<Record<string, Declarations>>>(table: Table): Layouts<Table> {
  const resolver = new Resolver(table);
  const made = Object.keys(table).map((name) => {
    const struct = resolver.struct(name);
    return [name, struct.tail ? listLayout(name, struct, struct.tail) : fixedLayout(name, struct)];
  });
  return Object.freeze(Object.fromEntries(made)) as Layouts<Table>;
}
