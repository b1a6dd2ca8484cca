// The structures and constants of KVM against the kernel's headers, which a C compiler reads for both architectures;
// and that values survive the way into bytes and back, all of them.
import fc from 'fast-check';
import t from 'tap';
import * as constants from '../../lib/kvm/constants.js';
import { type Layout, type ListLayout, layouts } from '../../lib/kvm/layout.js';
import { arm64, common, x86 } from '../../lib/kvm/structures.js';
import { type Architecture, architectures, differences, macros } from '../helpers/c-header.js';

type AnyLayout = Layout<unknown, never> | ListLayout<unknown, never>;
const isList = (layout: AnyLayout): layout is ListLayout<unknown, never> => 'entrySize' in layout;
const OF: Readonly<Record<Architecture, readonly AnyLayout[]>> = {
  x64: [...Object.values(common), ...Object.values(x86)],
  arm64: [...Object.values(common), ...Object.values(arm64)],
};
const ALL: readonly AnyLayout[] = [...Object.values(common), ...Object.values(x86), ...Object.values(arm64)];

// Where C has another name.
const C_STRUCTS: Readonly<Record<string, string>> = {
  // Older headers have the structure before it grew.
  kvm_svm_nested_state_hdr: 'vmentry_kvm_svm_nested_state_hdr',
};
const C_MEMBERS: Readonly<Record<string, string>> = {
  // A union without a name; `padding` is all of it.
  'kvm_run.exit': 'padding',
};

const NOT_COMPARED = [
  // C counts an array at the end, too, which no member counts.
  '_Alignof(struct kvm_coalesced_mmio_ring)',
  // As above; the union is as large as before.
  'sizeof(((struct kvm_nested_state *)0)->hdr.svm)',
  // A union of two arrays.
  'sizeof(((struct kvm_nested_state *)0)->data[0])',
];

/** What C must say of a structure. */
function expectations(layout: AnyLayout): [string, number][] {
  const struct = `struct ${C_STRUCTS[layout.name] ?? layout.name}`;
  const members = Object.entries(layout.members).flatMap(([name, { offset, size }]): [string, number][] => {
    const member = C_MEMBERS[`${layout.name}.${name}`] ?? name;
    // An array without an end has no size of its own.
    const [sized, bytes] = size === 0 && isList(layout) ? [`${member}[0]`, layout.entrySize] : [member, size];
    return [
      [`offsetof(${struct}, ${member})`, offset],
      [`sizeof(((${struct} *)0)->${sized})`, bytes],
    ];
  });
  return [
    [`sizeof(${struct})`, layout.size] as [string, number],
    [`_Alignof(${struct})`, layout.alignment] as [string, number],
    ...members,
  ].filter(([expression]) => !NOT_COMPARED.includes(expression));
}

for (const architecture of architectures) {
  t.test(`Every structure has the size, alignment and offsets of the C structure on ${architecture}`, async (t) => {
    t.equal(differences(architecture, new Map(OF[architecture].flatMap(expectations))), '');
  });
}

t.test('A wrong offset, size or alignment is seen', async (t) => {
  const { kvm_dtable: wrong } = layouts({ kvm_dtable: { base: 'u32', limit: 'u16', padding: 'u16[3]?' } });
  const found = differences('x64', new Map(expectations(wrong))).split('\n');
  t.strictSame(found, [
    'sizeof(struct kvm_dtable) is not 12',
    '_Alignof(struct kvm_dtable) is not 4',
    'sizeof(((struct kvm_dtable *)0)->base) is not 4',
    'offsetof(struct kvm_dtable, limit) is not 4',
    'offsetof(struct kvm_dtable, padding) is not 6',
  ]);
  t.match(differences('x64', new Map([['sizeof(struct no_such_structure)', 1]])), /no_such_structure/);
});

/** Every constant under its C name. */
const VALUES = new Map(
  Object.entries(constants).flatMap(([group, values]): [string, number | bigint][] =>
    typeof values === 'object'
      ? Object.entries(values).map(([key, value]) => [`${group}_${key}`, value])
      : [[group, values]],
  ),
);

t.test('Every constant has the value of the headers', async (t) => {
  const missing = new Set(VALUES.keys());
  for (const architecture of architectures) {
    const known = macros(architecture);
    const here = [...VALUES].filter(([name]) => known.has(name));
    for (const [name] of here) missing.delete(name);
    t.equal(differences(architecture, new Map(here)), '', architecture);
  }
  t.strictSame([...missing], [], 'no header knows these');
  t.equal(differences('x64', new Map([['KVM_CAP_IRQCHIP', 1]])), 'KVM_CAP_IRQCHIP is not 1');
});

// Of the groups above, for other architectures or for programs in C.
const LEFT_OUT = [
  /^KVM_EXIT_(XEN|HYPERV|IO|ARM_SEA_FLAG|FAIL_ENTRY)_/,
  /^KVM_IOEVENTFD_VALID|_PRIO_2LEVEL$/,
  /^KVM_(DIRTY_LOG|COALESCED_MMIO|PIO)_PAGE_OFFSET$/,
  /_(MAX_\w+|MASK|VALID_FIELDS|SIZE|SHIFT|GIC_MAX)$/,
  /^KVM_REG_(GENERIC|PPC|IA64|S390|MIPS|RISCV|LOONGARCH|ARM|GUEST_SSP)$/,
  /^KVM_REG_ARM(64)?_(P?TIMER|DEMUX|FW|PSCI|SMCCC|STD|VENDOR|SYSREG|SVE|COPROC)/,
  /^KVM_X86_DISABLE_VALID_EXITS$/,
  /^KVM_DEV_ARM_VGIC_(CPUID|LINE|OFFSET|SYSREG|V3)_/,
];

t.test('Every constant of the headers is in its group', async (t) => {
  const groups = Object.keys(constants);
  for (const architecture of architectures) {
    const absent = [...macros(architecture)]
      .filter(([name, body]) => groups.some((group) => name.startsWith(`${group}_`)) && !/^_IO|^struct /.test(body))
      .map(([name]) => name)
      .filter((name) => !VALUES.has(name) && !LEFT_OUT.some((pattern) => pattern.test(name)));
    t.strictSame(absent, [], architecture);
  }
});

t.test('Capabilities are those of Linux 7.2, each number once', async (t) => {
  const numbers = Object.values(constants.KVM_CAP);
  t.equal(new Set(numbers).size, numbers.length);
  t.equal(Math.max(...numbers), 249);
  for (const architecture of architectures) {
    const known = [...macros(architecture).keys()].filter((name) => name.startsWith('KVM_CAP_'));
    t.ok(known.length > 230, `${known.length} on ${architecture}`);
  }
});

t.test('Groups of constants cannot be changed', async (t) => {
  for (const group of Object.values(constants)) t.ok(typeof group !== 'object' || Object.isFrozen(group));
  t.ok(Object.isFrozen(common) && Object.isFrozen(x86.kvm_regs) && Object.isFrozen(x86.kvm_regs.members));
});

/** Bytes of a structure: any, but in lists a count that fits. */
function anyBytes(layout: AnyLayout): fc.Arbitrary<Uint8Array> {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  if (!isList(layout)) return bytes(layout.size);
  // The only bytes that are not 0 in an empty list.
  const one = layout.allocate(1);
  const { offset, size } = Object.values(layout.members).find(({ offset, size }) =>
    one.subarray(offset, offset + size).some((byte) => byte !== 0),
  )!;
  return fc.integer({ min: 0, max: 5 }).chain((entries) => {
    const empty = layout.allocate(entries);
    return bytes(empty.length).map((random) => {
      random.set(empty.subarray(offset, offset + size), offset);
      return random;
    });
  });
}

/** Through a value and back. */
function throughValue(layout: AnyLayout, bytes: Uint8Array): Uint8Array {
  return layout.encode(layout.decode(bytes) as never);
}

const HOLES = ['kvm_msr_filter_range', 'kvm_msr_filter'];

for (const layout of ALL) {
  t.test(`Any bytes of ${layout.name} become a value and the same bytes again`, async (t) => {
    fc.assert(
      fc.property(anyBytes(layout), (bytes) => {
        const value = layout.decode(bytes);
        const again = throughValue(layout, bytes);
        t.strictSame(layout.decode(again), value);
        // What C leaves between members is no part of the value.
        if (!HOLES.includes(layout.name)) t.strictSame(again, bytes);
      }),
      { numRuns: 25 },
    );
    const ones = new Uint8Array(layout.size).fill(0xff);
    if (!isList(layout)) t.equal(throughValue(layout, ones).includes(0), HOLES.includes(layout.name));
  });
}

const { kvm_regs, kvm_sregs, kvm_dtable, kvm_msrs, kvm_nested_state, kvm_irqchip } = x86;
const registers = kvm_regs.decode(new Uint8Array(kvm_regs.size));

t.test('A value and its bytes share no memory', async (t) => {
  const bytes = new Uint8Array(x86.kvm_fpu.size).fill(1);
  const value = x86.kvm_fpu.decode(bytes);
  bytes.fill(2);
  t.strictSame(value.xmm[15], new Uint8Array(16).fill(1));
  const encoded = x86.kvm_fpu.encode(value);
  value.xmm[15]?.fill(3);
  t.strictSame(x86.kvm_fpu.decode(encoded).xmm[15], new Uint8Array(16).fill(1));
});

t.test('Members are little-endian, signed where C has a sign', async (t) => {
  const bytes = kvm_regs.encode({ ...registers, rax: 0x0102_0304_0506_0708n, rflags: 2 });
  t.strictSame(bytes.subarray(0, 8), Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1));
  t.equal(bytes[kvm_regs.members.rflags!.offset], 2);
  t.equal(kvm_regs.decode(bytes).rax, 0x0102_0304_0506_0708n);
  const event = { datamatch: 0n, addr: 0n, len: 1, flags: 0 };
  t.equal(common.kvm_ioeventfd.decode(common.kvm_ioeventfd.encode({ ...event, fd: -1 })).fd, -1);
  const pit = x86.kvm_pit_state.decode(new Uint8Array(x86.kvm_pit_state.size).fill(0xff));
  t.equal(pit.channels[2]?.count_load_time, -1n);
});

t.test('Reserved members may be left out, and are kept when there', async (t) => {
  t.strictSame(kvm_dtable.decode(kvm_dtable.encode({ base: 1, limit: 2 })), { base: 1n, limit: 2, padding: [0, 0, 0] });
  t.strictSame(kvm_dtable.decode(kvm_dtable.encode({ base: 1, limit: 2, padding: [3, 4, 5] })).padding, [3, 4, 5]);
  t.strictSame(kvm_dtable.decode(kvm_dtable.encode({ base: 1, limit: 2, padding: undefined })).padding, [0, 0, 0]);
});

t.test('A structure is decoded where it is, with whatever follows it', async (t) => {
  const two = new Uint8Array(2 * kvm_dtable.size + 3);
  two.set(kvm_dtable.encode({ base: 5, limit: 6 }), kvm_dtable.size);
  t.equal(kvm_dtable.decode(two, kvm_dtable.size).base, 5n);
  t.equal(kvm_dtable.decode(two.subarray(kvm_dtable.size)).base, 5n, 'a view is taken as a view');
  t.equal(kvm_dtable.decode(Buffer.from(two), kvm_dtable.size).limit, 6);
});

t.test('Unions take bytes or one of the members, and give bytes', async (t) => {
  const route = { gsi: 5, type: constants.KVM_IRQ_ROUTING.MSI, flags: 0 };
  const msi = { address_lo: 0xfee0_0000, address_hi: 0, data: 0x41, devid: 7 };
  const bytes = common.kvm_irq_routing_entry.encode({ ...route, u: { msi } });
  const { u } = common.kvm_irq_routing_entry.decode(bytes);
  t.equal(u.length, 32);
  t.strictSame(common.kvm_irq_routing_msi.decode(u), msi);
  t.strictSame(common.kvm_irq_routing_entry.encode({ ...route, u }), bytes);
  t.strictSame(common.kvm_irq_routing_entry.encode({ ...route, u: u.subarray(0, 16) }), bytes, 'the rest is 0');
  const pic = x86.kvm_pic_state.decode(new Uint8Array(16).fill(1));
  const { chip } = kvm_irqchip.decode(kvm_irqchip.encode({ chip_id: 0, chip: { pic } }));
  t.strictSame(chip.subarray(15, 17), Uint8Array.of(1, 0));
});

t.test('Lists count for themselves', async (t) => {
  const entries = [
    { index: 0x10, data: 1n },
    { index: 0x1b, data: 2n },
  ];
  const bytes = kvm_msrs.encode({ entries });
  t.equal(bytes.length, kvm_msrs.size + 2 * kvm_msrs.entrySize);
  t.equal(kvm_msrs.count(bytes), 2);
  t.strictSame(kvm_msrs.decode(bytes), {
    nmsrs: 2,
    pad: 0,
    entries: entries.map((entry) => ({ ...entry, reserved: 0 })),
  });
  t.strictSame(kvm_msrs.encode({ nmsrs: 2, entries }), bytes);
  t.strictSame(kvm_msrs.encode({ entries: [] }), new Uint8Array(8));
  t.strictSame(kvm_msrs.decode(kvm_msrs.allocate(1)).entries, [{ index: 0, reserved: 0, data: 0n }]);
  // More bytes than entries: what the kernel leaves when there were fewer than there was room for.
  t.equal(kvm_msrs.decode(Buffer.concat([bytes, bytes])).entries.length, 2);
  t.strictSame(common.kvm_reg_list.decode(common.kvm_reg_list.encode({ reg: [2n ** 64n - 1n] })), {
    n: 1n,
    reg: [2n ** 64n - 1n],
  });
});

t.test('The size of nested state counts what comes before the data', async (t) => {
  const bytes = kvm_nested_state.allocate(4096);
  t.equal(bytes.length, 4224);
  t.equal(new DataView(bytes.buffer).getUint32(4, true), 4224);
  t.equal(kvm_nested_state.count(bytes), 4096);
  const state = { flags: 0, format: 1, hdr: { svm: { vmcb_pa: 0x1000 } }, data: new Uint8Array(4096).fill(7) };
  const decoded = kvm_nested_state.decode(kvm_nested_state.encode(state));
  t.equal(decoded.size, 4224);
  t.strictSame(decoded.data, state.data);
  t.strictSame(x86.kvm_svm_nested_state_hdr.decode(decoded.hdr), { vmcb_pa: 0x1000n, gpat: 0n });
});

const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
const value = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };
const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' };

t.test('What does not fit is refused by its path', async (t) => {
  const { rip: _, ...withoutRip } = registers;
  const sregs = kvm_sregs.decode(new Uint8Array(kvm_sregs.size));
  const entry = { gsi: 0, type: 1, flags: 0 };
  const cases: [AnyLayout, unknown, string, object][] = [
    [kvm_regs, undefined, 'kvm_regs', type],
    [kvm_regs, null, 'kvm_regs', type],
    [kvm_regs, [], 'kvm_regs', type],
    [kvm_regs, withoutRip, 'kvm_regs.rip', type],
    [kvm_regs, Object.create(registers), 'kvm_regs.rax', type],
    [kvm_regs, { ...registers, eip: 1n }, 'kvm_regs.eip', value],
    [kvm_regs, { ...registers, rip: '1' }, 'kvm_regs.rip', type],
    [kvm_regs, { ...registers, rip: -1n }, 'kvm_regs.rip', range],
    [kvm_regs, { ...registers, rip: 2n ** 64n }, 'kvm_regs.rip', range],
    [kvm_regs, { ...registers, rip: 2 ** 53 }, 'kvm_regs.rip', range],
    [kvm_regs, { ...registers, rip: 0.5 }, 'kvm_regs.rip', range],
    [kvm_regs, { ...registers, rip: Number.NaN }, 'kvm_regs.rip', range],
    [kvm_sregs, { ...sregs, cs: undefined }, 'kvm_sregs.cs', type],
    [kvm_sregs, { ...sregs, cs: { ...sregs.cs, limit: 2 ** 32 } }, 'kvm_sregs.cs.limit', range],
    [kvm_sregs, { ...sregs, cs: { ...sregs.cs, limit: 1n } }, 'kvm_sregs.cs.limit', type],
    [kvm_sregs, { ...sregs, cs: { ...sregs.cs, l: 1.5 } }, 'kvm_sregs.cs.l', range],
    [kvm_sregs, { ...sregs, cs: { ...sregs.cs, lomg: 1 } }, 'kvm_sregs.cs.lomg', value],
    [kvm_sregs, { ...sregs, interrupt_bitmap: [0n, 0n, 0n] }, 'kvm_sregs.interrupt_bitmap', value],
    [kvm_sregs, { ...sregs, interrupt_bitmap: [0n, 0n, -1n, 0n] }, 'kvm_sregs.interrupt_bitmap[2]', range],
    [kvm_sregs, { ...sregs, interrupt_bitmap: 0n }, 'kvm_sregs.interrupt_bitmap', type],
    [x86.kvm_lapic_state, { regs: new Uint8Array(1023) }, 'kvm_lapic_state.regs', value],
    [x86.kvm_lapic_state, { regs: new Array(1024).fill(0) }, 'kvm_lapic_state.regs', type],
    [common.kvm_irq_routing_entry, { ...entry, u: new Uint8Array(33) }, 'kvm_irq_routing_entry.u', value],
    [common.kvm_irq_routing_entry, { ...entry, u: {} }, 'kvm_irq_routing_entry.u', value],
    [common.kvm_irq_routing_entry, { ...entry, u: { msi: {}, irqchip: {} } }, 'kvm_irq_routing_entry.u', value],
    [common.kvm_irq_routing_entry, { ...entry, u: { toString: {} } }, 'kvm_irq_routing_entry.u', value],
    [common.kvm_irq_routing_entry, { ...entry, u: 7 }, 'kvm_irq_routing_entry.u', type],
    [
      common.kvm_irq_routing_entry,
      { ...entry, u: { irqchip: { irqchip: 1 } } },
      'kvm_irq_routing_entry.u.irqchip.pin',
      type,
    ],
    [common.kvm_irq_routing, { flags: 0, entries: {} }, 'kvm_irq_routing.entries', type],
    [common.kvm_irq_routing, { flags: 0 }, 'kvm_irq_routing.entries', type],
    [common.kvm_irq_routing, { nr: 1, flags: 0, entries: [] }, 'kvm_irq_routing.nr', value],
    [common.kvm_irq_routing, { nr: -1, flags: 0, entries: [] }, 'kvm_irq_routing.nr', range],
    [common.kvm_irq_routing, { flags: 0, entries: [], extra: 1 }, 'kvm_irq_routing.extra', value],
    [kvm_msrs, { entries: [{ index: 1, data: 1 }, { index: 1 }] }, 'kvm_msrs.entries[1].data', type],
    [common.kvm_signal_mask, { sigset: [1] }, 'kvm_signal_mask.sigset', type],
    [kvm_nested_state, { flags: 0, format: 0, size: 5, hdr: {}, data: 0 }, 'kvm_nested_state.data', type],
  ];
  for (const [layout, wrong, path, error] of cases) {
    t.throws(() => layout.encode(wrong as never), {
      ...error,
      message: new RegExp(`["']${path.replace(/[[\].]/g, '\\$&')}["']`),
    });
  }
  t.throws(() => kvm_regs.encode(withoutRip as typeof registers, 'registers'), {
    ...type,
    message: /"registers\.rip"/,
  });
});

t.test('Nothing is taken from Object.prototype', async (t) => {
  Object.defineProperty(Object.prototype, 'rip', { value: 1n, configurable: true });
  t.teardown(() => Reflect.deleteProperty(Object.prototype, 'rip'));
  const { rip: _, ...withoutRip } = registers;
  t.throws(() => kvm_regs.encode(withoutRip as typeof registers), type);
});

t.test('Too few bytes are refused, also when the bytes themselves say that there are more', async (t) => {
  t.throws(() => kvm_regs.decode(new Uint8Array(143)), { ...range, message: /"bytes\.length"/ });
  t.throws(() => kvm_regs.decode(new Uint8Array(144), 1), range);
  t.throws(() => kvm_regs.decode(new Uint8Array(144), -1), range);
  t.throws(() => kvm_regs.decode(new ArrayBuffer(144) as unknown as Uint8Array), type);
  t.throws(() => kvm_regs.decode([] as unknown as Uint8Array), type);
  t.throws(() => kvm_msrs.decode(kvm_msrs.allocate(2).subarray(0, 39)), { ...range, message: /"kvm_msrs\.nmsrs"/ });
  t.throws(() => kvm_msrs.decode(new Uint8Array(7)), range);
  t.throws(() => kvm_msrs.count(new Uint8Array(7)), range);
  t.equal(kvm_msrs.count(Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 0)), 2 ** 32 - 1);
  t.throws(() => kvm_nested_state.decode(new Uint8Array(128)), { ...range, message: /"kvm_nested_state\.size"/ });
  t.throws(() => common.kvm_reg_list.decode(new Uint8Array(16).fill(255)), range);
  for (const count of [-1, 0.5, 2 ** 32]) t.throws(() => kvm_msrs.allocate(count), range);
  t.throws(() => kvm_msrs.allocate('1' as unknown as number), type);
});

t.test('Layouts follow the rules of C', async (t) => {
  const made = layouts({
    mixed: { a: 'u8', b: 'u64', c: 'u16', d: 'inner', e: 'u8[3]', f: 'u8[2][3]', g: 'u32' },
    inner: { x: 'u8', y: 'u32' },
    either: { tag: 'u8', value: { union: { small: 'u8[9]', wide: 'u64' } } },
    list: { n: 'u8?', items: 'inner[n]' },
  });
  const offsets = (layout: { members: Readonly<Record<string, { offset: number }>> }) =>
    Object.fromEntries(Object.entries(layout.members).map(([name, { offset }]) => [name, offset]));
  t.strictSame(offsets(made.mixed), { a: 0, b: 8, c: 16, d: 20, e: 28, f: 31, g: 40 });
  t.strictSame([made.mixed.size, made.mixed.alignment], [48, 8]);
  t.strictSame(offsets(made.either), { tag: 0, value: 8, 'value.small': 8, 'value.wide': 8 });
  t.strictSame([made.either.size, made.either.members.value?.size], [24, 16]);
  t.strictSame([made.list.size, made.list.entrySize, made.list.members.items?.offset], [4, 8, 4]);
  t.throws(
    () => made.list.encode({ items: new Array(256).fill({ x: 0, y: 0 }) }),
    range,
    'more than the count can say',
  );
});

t.test('The types are those of the values', async (t) => {
  // What the compiler must refuse; at run time it is refused, too.
  // @ts-expect-error `limit` is missing
  t.throws(() => kvm_dtable.encode({ base: 1n }), type);
  // @ts-expect-error `offset` is no member
  t.throws(() => kvm_dtable.encode({ base: 1n, limit: 1, offset: 1 }), value);
  // @ts-expect-error an address is 64 bits wide
  t.throws(() => kvm_dtable.encode({ base: '1', limit: 1 }), type);
  // @ts-expect-error not a list
  t.throws(() => kvm_dtable.allocate(1), TypeError);
  const rip: bigint = registers.rip;
  const limit: number = kvm_dtable.decode(new Uint8Array(16)).limit;
  const xmm: Uint8Array[] = x86.kvm_fpu.decode(new Uint8Array(416)).xmm;
  const indices: number[] = x86.kvm_msr_list.decode(x86.kvm_msr_list.allocate(1)).indices;
  t.strictSame([rip, limit, xmm.length, indices], [0n, 0, 16, [0]]);
});

t.test('A wrong table is refused at once', async (t) => {
  t.throws(() => layouts({ a: { b: 'u33' } }), /'u33'/);
  t.throws(() => layouts({ a: { b: 'u8[n]' } }), /counts by n/);
  t.throws(() => layouts({ a: { n: 'u8', b: 'u8[n]', c: 'u8' } }), /comes after/);
  t.throws(() => layouts({ a: { b: 'c' }, c: { n: 'u8', d: 'u8[n]' } }), /without an end/);
  t.throws(() => layouts({ a: { b: 'a' } }), Error);
});
