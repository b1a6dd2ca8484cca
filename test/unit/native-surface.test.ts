// The declared surface of the addon (types/native*.d.ts) against the built addon, both ways: what is
// declared must be there, and what is there must be declared.
import { fileURLToPath } from 'node:url';
import t from 'tap';
import ts from 'typescript';
import type { NativeStartRequest } from '../../types/native.js';
import { startFakeSelinux } from '../helpers/fake-selinux.js';
import { addon } from '../helpers/test-addon.js';

const types = fileURLToPath(new URL('../../types/', import.meta.url));
const program = ts.createProgram([`${types}native.d.ts`, `${types}native-selinux.d.ts`, `${types}public.d.ts`], {
  strict: true,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  noEmit: true,
});
const checker = program.getTypeChecker();

t.test('the declarations are correct TypeScript', async (t) => {
  const problems = ts.getPreEmitDiagnostics(program).map((d) => ts.flattenDiagnosticMessageText(d.messageText, ' '));
  t.strictSame(problems, []);
});

type Test = typeof t;
type Member = { name: string; optional: boolean; callable: boolean; type: ts.Type };

/** The members of an exported interface. */
function membersOf(interfaceName: string): Member[] {
  for (const file of program.getSourceFiles()) {
    if (!file.fileName.startsWith(types)) continue;
    for (const statement of file.statements) {
      if (!ts.isInterfaceDeclaration(statement) || statement.name.text !== interfaceName) continue;
      return checker
        .getTypeAtLocation(statement)
        .getProperties()
        .map((property) => {
          const type = checker.getTypeOfSymbol(property);
          return {
            name: property.name,
            optional: (property.flags & ts.SymbolFlags.Optional) !== 0,
            callable: checker.getNonNullableType(type).getCallSignatures().length > 0,
            type,
          };
        });
    }
  }
  throw new Error(`no interface ${interfaceName}`);
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
}

/** The run-time kinds that a declared type allows. */
function kindsOf(type: ts.Type): Set<string> {
  const kinds = new Set<string>();
  for (const part of type.isUnion() ? type.types : [type]) {
    if (part.getCallSignatures().length > 0) kinds.add('function');
    else if (checker.isArrayType(part)) kinds.add('array');
    else if (part.flags & ts.TypeFlags.StringLike) kinds.add('string');
    else if (part.flags & ts.TypeFlags.NumberLike) kinds.add('number');
    else if (part.flags & ts.TypeFlags.BooleanLike) kinds.add('boolean');
    else if (part.flags & ts.TypeFlags.BigIntLike) kinds.add('bigint');
    else if (part.flags & ts.TypeFlags.Null) kinds.add('null');
    else if (part.flags & ts.TypeFlags.Undefined) kinds.add('undefined');
    else kinds.add('object');
  }
  return kinds;
}

function compare(t: Test, interfaceName: string, object: object): void {
  const declared = membersOf(interfaceName);
  t.ok(declared.length > 0, `${interfaceName} declares something`);
  const present = Object.keys(object).filter((name) => name !== 'faults');
  t.strictSame(
    present.filter((name) => !declared.some((member) => member.name === name)),
    [],
    `${interfaceName}: everything there is declared`,
  );
  t.strictSame(
    declared.filter((member) => !member.optional && !present.includes(member.name)).map((member) => member.name),
    [],
    `${interfaceName}: everything declared is there`,
  );
  for (const member of declared) {
    const value = (object as Record<string, unknown>)[member.name];
    if (value === undefined) continue;
    t.ok(kindsOf(member.type).has(kindOf(value)), `${interfaceName}.${member.name} is ${kindOf(value)}`);
    if (typeof value === 'function') t.equal(value.name, member.name, `${interfaceName}.${member.name} knows its name`);
  }
}

t.test('the addon and its areas', async (t) => {
  compare(t, 'NativeAddon', addon);
  compare(t, 'NativeSelinuxArea', addon.selinux);
  compare(t, 'NativeDecisionArea', addon.decision);
  compare(t, 'NativeLaunchArea', addon.launch);
});

t.test('what the selinux area gives out', async (t) => {
  const fake = startFakeSelinux();
  t.teardown(() => fake.stop());
  await import('../../lib/native.js');
  const area = addon.selinux;
  compare(t, 'NativePolicyState', area.selinuxStatus());
  const table = area.selabelOpen('');
  compare(t, 'NativeFileContexts', table);
  table.close();
  compare(t, 'NativeObjectClass', area.findClass('file'));
  const context = 'user_u:user_r:client_t:s0';
  compare(t, 'NativeAccessAnswer', area.securityComputeAv(context, context, 'process', true));
  compare(t, 'NativeObjectClass', area.securityComputeAv(context, context, 'process', true).objectClass);
});

t.test('a wrong type from a careless caller is an error or an answer, never a crash', async (t) => {
  for (const area of [addon.selinux, addon.decision, addon.launch]) {
    for (const [name, call] of Object.entries(area)) {
      if (typeof call !== 'function') continue;
      for (const wrong of [undefined, null, 0, -1, '', {}, [], Symbol('s'), 10n, () => {}]) {
        try {
          const result = call(wrong, wrong, wrong, wrong, wrong);
          if (result instanceof Promise) await result.catch(() => {});
        } catch {
          // As good.
        }
      }
      t.pass(name);
    }
  }
});

const wrongType = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };

t.test('an argument of a wrong type is never read as another value', async (t) => {
  const area = addon.selinux as unknown as Record<string, (...args: unknown[]) => unknown>;
  const context = 'user_u:user_r:client_t:s0';
  const enforcing = addon.selinux.securityGetenforce();
  const writes = addon.selinux.securityGetBooleanActive('clients_write_plain');
  for (const [name, ...args] of [
    ['securitySetenforce', undefined],
    ['securitySetenforce', 0],
    ['getcon'],
    ['getpidcon', 2 ** 32 + 1, true],
    ['getpidcon', 1.5, true],
    ['getfilecon', '/', 'raw'],
    ['setexeccon', undefined, true],
    ['setfilecon', '/nonexistent', null, true],
    ['findClass', 65541],
    ['findClass', 0],
    ['securityComputeCreate', context, context, 'process', null, true],
    ['securitySetBoolean', 'clients_write_plain', Number(!writes)],
    ['securitySetBooleanList', ['clients_write_plain'], [Number(!writes)]],
    ['securitySetBooleanList', ['clients_write_plain'], []],
    ['securitySetBooleanList', ['clients_write_plain'], [!writes, !writes]],
    ['openPolicyEvents', {}],
  ] as [string, ...unknown[]][]) {
    t.throws(() => area[name]?.(...args), wrongType, `${name}(${args})`);
  }
  t.equal(addon.selinux.securityGetenforce(), enforcing);
  t.equal(addon.selinux.securityGetBooleanActive('clients_write_plain'), writes);
});

t.test('a start request that says something unknown is refused as a whole', async (t) => {
  const disk = { role: 'disk', boot: true, readOnly: true, format: 'raw', context: 'system_u:object_r:disk_t:s0' };
  const common = { rule: 'transition', action: 'start', selinux: 'off' };
  const decide = (disks: unknown, more: object): unknown =>
    addon.decision.decide({ objects: disks, ...common, ...more } as unknown as NativeStartRequest);
  t.match(decide([disk], {}), { evaluated: false });
  const { role: _role, ...noRole } = disk;
  for (const objects of [
    undefined,
    disk,
    [disk, 7],
    [noRole],
    [{ ...disk, role: 'cdrom' }],
    [{ ...disk, boot: 'true' }],
    [{ ...disk, readOnly: undefined }],
    [{ ...disk, format: 'vmdk' }],
    [{ ...disk, objectClass: 'dir' }],
    [{ ...disk, context: 7 }],
    [{ ...disk, context: '' }],
    [{ ...disk, fd: '3' }],
    [{ ...disk, fd: -2 }],
    [{ ...disk, fd: 1e10 }],
    [disk, disk],
  ]) {
    t.throws(() => decide(objects, {}), wrongType, JSON.stringify(objects));
  }
  for (const more of [
    { rule: 'dominate' },
    { action: 'boot' },
    { action: undefined },
    { selinux: 'no' },
    { client: null },
    { client: '' },
    { launcher: {} },
    { emulatorPath: 1 },
    { emulatorContext: [] },
  ]) {
    t.throws(() => decide([disk], more), wrongType, JSON.stringify(more));
  }
  // Nothing to boot from is not a matter of types.
  t.throws(() => addon.decision.prepare({ objects: [], ...common } as unknown as NativeStartRequest), {
    code: 'ERR_INVALID_ARG_VALUE',
  });
});
