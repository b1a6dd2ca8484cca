// The declared surface of the addon (types/native*.d.ts) against the built addons, the one that ships and the one of
// the tests, both ways: what is declared must be there, and what is there must be declared.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import ts from 'typescript';
import type { NativeAddon, NativeProcess, NativeStartRequest } from '../../types/native.js';
import { startFakeSelinux } from '../helpers/fake-selinux.js';
import { addon, testAddon } from '../helpers/test-addon.js';

// Before anything looks for SELinux.
const fake = startFakeSelinux({ notices: true });
t.teardown(() => fake.stop());
await import('../../lib/native.js'); // initializes the test addon

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

const path = t.testdir({ 'disk.raw': 'x'.repeat(4096) });
const disk = join(path, 'disk.raw');

// As lib/native.ts does it, but past the module cache, in which the test addon stands for this one.
const shippedPath = (
  createRequire(import.meta.url)('node-gyp-build') as { resolve(directory: string): string }
).resolve(fileURLToPath(new URL('../..', import.meta.url)));
const loaded = { exports: {} };
process.dlopen(loaded, shippedPath);
const shipped = loaded.exports as NativeAddon;
shipped.initialize(({ code, message, errno, syscall }) => Object.assign(new Error(message), { code, errno, syscall }));
const builds: [string, NativeAddon][] = [
  ['the addon that ships', shipped],
  ['the addon of the tests', addon],
];

const request: NativeStartRequest = {
  objects: [{ role: 'disk', boot: true, readOnly: true, format: 'raw', path: disk }],
  rule: 'transition',
  action: 'start',
  selinux: 'off',
};

t.test('the addon that ships is another one, without anything of the tests', async (t) => {
  t.not(shippedPath, testAddon);
  t.not(shipped.decision.decide, addon.decision.decide);
  t.notOk('faults' in shipped);
  t.ok('faults' in addon);
});

t.test('it asks for version 9 of Node-API', async (t) => {
  const function_ = 'node_api_module_get_api_version_v1';
  const code = execFileSync('objdump', ['--disassemble', '--no-show-raw-insn', shippedPath], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  const body = code.slice(code.indexOf(`<${function_}>:`)).split('\n\n')[0];
  // return NAPI_VERSION;
  t.match(body, /mov\s+\$0x9,%eax|mov\s+w0, #0x9/);
});

for (const [name, { selinux, decision, launch, ...rest }] of builds) {
  t.test(`${name}: the areas`, async (t) => {
    compare(t, 'NativeAddon', { selinux, decision, launch, ...rest });
    compare(t, 'NativeSelinuxArea', selinux);
    compare(t, 'NativeDecisionArea', decision);
    compare(t, 'NativeLaunchArea', launch);
  });

  t.test(`${name}: what the decision area gives out`, async (t) => {
    compare(t, 'Decision', decision.decide(request));
    compare(t, 'Decision', await decision.decideAsync(request));
    compare(t, 'CacheStatistics', decision.cacheStatistics());
    const prepared = decision.prepare(request);
    compare(t, 'NativePrepared', prepared);
    compare(t, 'Decision', prepared.decide());
    const { objects, ...common } = request;
    const many = decision.decideMany({
      common: { objects: [], ...common },
      names: [disk, '/nonexistent'],
      flags: new Uint8Array(2),
      threads: 1,
    });
    compare(t, 'NativeManyRun', many);
    const result = await many.promise;
    compare(t, 'NativeManyResult', result);
    compare(t, 'Decision', result.decide(0));
  });

  t.test(`${name}: what the launch area gives out`, async (t) => {
    const prepared = await launch.prepare({
      ...request,
      emulatorPath: '/bin/true',
      stdio: [{ target: 0, kind: 'socket' }],
    });
    compare(t, 'NativePreparedLaunch', prepared);
    compare(t, 'Decision', prepared.decision);
    compare(t, 'NativeImage', prepared.images[0] as object);
    compare(t, 'NativeImageMember', prepared.images[0]?.members[0] as object);
    const result = await launch.spawn(prepared.handle, {
      ...{ arguments: ['true'], environment: [], imageTargets: [[10]], reopened: [], rlimits: [] },
      ...{ detached: false, tied: false },
    });
    compare(t, 'NativeSpawnResult', result);
    compare(t, 'NativeSpawned', result.spawned as object);
    const child = result.spawned?.process as NativeProcess;
    compare(t, 'NativeProcess', child);
    t.same(await new Promise((resolve) => child.onExit((...exit) => resolve(exit))), [0, null]);
  });

  t.test(`${name}: what is known about a failure`, async (t) => {
    const seen: object[] = [];
    const errorFor = (info: object): Error => {
      seen.push(info);
      return new Error();
    };
    const bare = { exports: {} };
    process.dlopen(bare, name === builds[0]?.[0] ? shippedPath : testAddon);
    const own = bare.exports as NativeAddon;
    own.initialize(errorFor);
    t.throws(() => own.decision.decide({ ...request, emulatorPath: '/nonexistent' }));
    t.throws(() => own.decision.decide({ ...request, objects: [{ ...request.objects[0]!, path: '/' }] }));
    t.throws(() =>
      own.decision.decide({ ...request, objects: [{ ...request.objects[0]!, path: undefined, fd: 1_000_000 }] }),
    );
    t.equal(seen.length, 3);
    for (const info of seen) compare(t, 'NativeErrorInfo', info);
    t.same(
      [...new Set(seen.flatMap(Object.keys))].sort(),
      membersOf('NativeErrorInfo')
        .map(({ name }) => name)
        .sort(),
    );
  });
}

t.test('what the areas give out where there is SELinux', async (t) => {
  const area = addon.selinux;
  compare(t, 'NativePolicyState', area.selinuxStatus());
  const table = area.selabelOpen('');
  compare(t, 'NativeFileContexts', table);
  table.close();
  compare(t, 'NativeObjectClass', area.findClass('file'));
  const context = 'user_u:user_r:client_t:s0';
  compare(t, 'NativeAccessAnswer', area.securityComputeAv(context, context, 'process', true));
  compare(t, 'NativeObjectClass', area.securityComputeAv(context, context, 'process', true).objectClass);
  const decision = addon.decision.decide({
    ...request,
    ...{ selinux: 'require', client: context },
    objects: [
      { role: 'disk', boot: true, readOnly: false, format: 'raw', context: 'system_u:object_r:disk_t:s0' },
      { role: 'kernel', boot: false, readOnly: true, format: 'raw', context: 'no:such:context:s0' },
    ],
  });
  compare(t, 'Decision', decision);
  t.ok(decision.checks.length > 3);
  for (const check of decision.checks) compare(t, 'Check', check);
});

t.test('a wrong type from a careless caller is an error or an answer, never a crash', async (t) => {
  const thrown = new Error('mine');
  const wrongs: unknown[] = [
    ...[undefined, null, 0, -1, Number.NaN, '', {}, [], Symbol('s'), 10n, () => {}],
    new Proxy(
      {},
      {
        get() {
          throw thrown;
        },
      },
    ),
    { objects: 1, common: 1, names: 1, flags: 1, threads: 'x', stdio: 1, imageTargets: 1 },
    { objects: [null, 1, {}], common: {}, names: [1], flags: new Uint8Array(1), threads: 0, stdio: [null, 1, {}] },
    { objects: [{ role: 1, fd: 'x', path: 1, context: {}, boot: 1 }], stdio: [{ target: 'x', kind: 1, fd: {} }] },
    { ...request, objects: [{ ...request.objects[0], fd: -5 }], emulatorPath: {}, stdio: [] },
    { ...request, emulatorPath: '/bin/true', stdio: [{ target: -1, kind: 'fd', fd: 2 ** 40 }] },
  ];
  const misuse = async (owner: object, depth: number): Promise<void> => {
    for (const [name, call] of Object.entries(owner)) {
      if (typeof call !== 'function') continue;
      for (const wrong of wrongs) {
        for (const others of [wrong, undefined]) {
          try {
            // What promises come to is as good.
            const answer = await call(wrong, others, others, others, others);
            if (depth > 0 && answer !== null && typeof answer === 'object') await misuse(answer, depth - 1);
          } catch {
            // As good.
          }
        }
      }
      t.pass(name);
    }
  };
  for (const [, { selinux, decision, launch }] of builds) {
    for (const area of [selinux, decision, launch]) await misuse(area, 1);
  }

  // Objects that cannot be come by with wrong arguments.
  const { launch, decision } = shipped;
  const start = { ...request, emulatorPath: '/bin/sleep', stdio: [] };
  const { handle } = await launch.prepare(start);
  for (const wrong of wrongs) await t.rejects(async () => launch.spawn(handle, wrong as never));
  const run = await launch.spawn(handle, {
    ...{ arguments: ['sleep', '60'], environment: [], imageTargets: [[10]], reopened: [], rlimits: [] },
    ...{ detached: false, tied: false },
  });
  await t.rejects(async () => launch.spawn(handle, {} as never), 'a handle is good for one launch');
  const child = run.spawned?.process as NativeProcess;
  const { onExit, kill, discard, ...harmless } = child;
  for (const wrong of wrongs.filter((value) => typeof value !== 'function')) {
    t.throws(() => onExit(wrong as never));
  }
  await misuse(harmless, 0);
  for (const wrong of wrongs.filter((value) => value !== 0)) {
    try {
      kill(wrong as never);
    } catch {
      // As good.
    }
  }
  const ended = new Promise((resolve) => child.onExit((...exit) => resolve(exit)));
  discard();
  t.same(await ended, [null, 9], 'it was there all the time');
  await misuse(child, 0);
  await misuse(decision.prepare(request), 0);
  const { objects, ...common } = request;
  const many = { common: { objects: [], ...common }, names: [disk], flags: new Uint8Array(1), threads: 1 };
  await misuse(await decision.decideMany(many).promise, 0);
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
