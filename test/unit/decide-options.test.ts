// Wrong options are found before anything is opened or asked: this runs without SELinux, and the paths
// do not exist.
import t from 'tap';
import '../helpers/test-addon.js';
import type { StartRequest } from '../../types/public.js';

const { decide, decideAsync, decideMany, prepareDecision, explain, internContext, accessQuestion, setCacheLimit } =
  await import('../../lib/decide.js');
const { normalizeStartRequest } = await import('../../lib/start-request.js');

const CONTEXT = 'system_u:object_r:disk_t:s0';
const disk = { context: CONTEXT, format: 'raw' };
const TYPE = 'ERR_INVALID_ARG_TYPE';
const VALUE = 'ERR_INVALID_ARG_VALUE';
const RANGE = 'ERR_OUT_OF_RANGE';

const wrong: [what: string, request: unknown, code: string, mentions: string][] = [
  ['nothing', undefined, TYPE, 'request'],
  ['null', null, TYPE, 'request'],
  ['an array', [], TYPE, 'request'],
  ['no disks', {}, TYPE, 'request.disks'],
  ['disks that are no array', { disks: disk }, TYPE, 'request.disks'],
  ['an unknown option', { disks: [disk], cleint: CONTEXT }, VALUE, 'request.cleint'],
  ['a disk that is a string', { disks: ['/vm/a'] }, TYPE, 'request.disks[0]'],
  ['an unknown option of a disk', { disks: [{ ...disk, readonly: true }] }, VALUE, 'request.disks[0].readonly'],
  ['a disk without a format', { disks: [{ context: CONTEXT }] }, TYPE, 'request.disks[0].format'],
  ['a format that is not known', { disks: [{ path: '/a', format: 'vmdk' }] }, VALUE, 'request.disks[0].format'],
  ['a disk without a name', { disks: [{ format: 'raw' }] }, VALUE, 'request.disks[0]'],
  ['path and context', { disks: [{ ...disk, path: '/a' }] }, VALUE, 'exactly one'],
  ['fd and context', { disks: [{ ...disk, fd: 3 }] }, VALUE, 'exactly one'],
  ['an empty path', { disks: [{ path: '', format: 'raw' }] }, VALUE, 'request.disks[0].path'],
  ['a path with a NUL', { disks: [{ path: '/a\0b', format: 'raw' }] }, VALUE, 'null bytes'],
  ['a path that is a buffer', { disks: [{ path: Buffer.from('/a'), format: 'raw' }] }, TYPE, 'request.disks[0].path'],
  ['a descriptor below zero', { disks: [{ fd: -1, format: 'raw' }] }, RANGE, 'request.disks[0].fd'],
  ['half a descriptor', { disks: [{ fd: 1.5, format: 'raw' }] }, RANGE, 'request.disks[0].fd'],
  ['a descriptor in a string', { disks: [{ fd: '3', format: 'raw' }] }, TYPE, 'request.disks[0].fd'],
  [
    'an object class with a path',
    { disks: [{ path: '/a', format: 'raw', objectClass: 'file' }] },
    VALUE,
    'objectClass',
  ],
  ['an object class that is none', { disks: [{ ...disk, objectClass: 'dir' }] }, VALUE, 'objectClass'],
  ['boot that is no boolean', { disks: [{ ...disk, boot: 1 }] }, TYPE, 'request.disks[0].boot'],
  ['two disks, none of them marked', { disks: [disk, disk] }, VALUE, 'boot: true'],
  [
    'two disks, both marked',
    {
      disks: [
        { ...disk, boot: true },
        { ...disk, boot: true },
      ],
    },
    VALUE,
    'at most one',
  ],
  ['no disk and no kernel', { disks: [] }, VALUE, 'request.disks'],
  ['no disk and only an initrd', { disks: [], initrd: { context: CONTEXT } }, VALUE, 'request.disks'],
  ['too many disks', { disks: Array(2000).fill(disk) }, VALUE, 'at most'],
  ['a kernel that is a string', { disks: [disk], kernel: '/vmlinuz' }, TYPE, 'request.kernel'],
  [
    'a kernel with a format',
    { disks: [disk], kernel: { context: CONTEXT, format: 'raw' } },
    VALUE,
    'request.kernel.format',
  ],
  ['a context with a space', { disks: [disk], client: `${CONTEXT} ${CONTEXT} 1` }, VALUE, 'request.client'],
  ['a context with a newline', { disks: [{ ...disk, context: `${CONTEXT}\n` }] }, VALUE, 'request.disks[0].context'],
  ['an empty context', { disks: [disk], launcher: '' }, VALUE, 'request.launcher'],
  ['a rule that is none', { disks: [disk], rule: 'auto' }, VALUE, 'request.rule'],
  ['an action that is none', { disks: [disk], action: 'stop' }, VALUE, 'request.action'],
  ['a mode that is none', { disks: [disk], selinux: 'permissive' }, VALUE, 'request.selinux'],
  ['an emulator that is a number', { disks: [disk], emulator: 1 }, TYPE, 'request.emulator'],
  ['an emulator without a name', { disks: [disk], emulator: {} }, VALUE, 'request.emulator'],
  [
    'an emulator with two names',
    { disks: [disk], emulator: { path: '/a', context: CONTEXT } },
    VALUE,
    'request.emulator',
  ],
  [
    'an unknown option of an emulator',
    { disks: [disk], emulator: { path: '/a', args: [] } },
    VALUE,
    'request.emulator.args',
  ],
  ['restore without a state', { disks: [disk], action: 'restore' }, VALUE, 'request.state'],
  ['a state with a fresh start', { disks: [disk], state: { context: CONTEXT } }, VALUE, 'request.action'],
];

for (const [what, request, code, mentions] of wrong) {
  t.test(`${what} is refused`, async (t) => {
    const expected = { code, message: new RegExp(mentions.replace(/[.[\]]/g, '\\$&')) };
    for (const call of [decide, explain, prepareDecision]) {
      const error = t.throws(() => call(request as StartRequest), expected) as Error;
      t.ok(code === RANGE ? error instanceof RangeError : error instanceof TypeError);
    }
    await t.rejects(decideAsync(request as StartRequest), expected);
  });
}

t.test('defaults are filled in, and the boot disk is found', async (t) => {
  t.same(normalizeStartRequest({ disks: [{ path: '/a', format: 'qcow2' }] }), {
    objects: [{ role: 'disk', boot: true, readOnly: false, format: 'qcow2', path: '/a' }],
    rule: 'transition',
    action: 'start',
    selinux: 'require',
  });
  const boots = (request: unknown): string[] =>
    normalizeStartRequest(request)
      .objects.filter((o) => o.boot)
      .map((o) => `${o.role} ${o.path ?? o.context}`);
  t.same(boots({ disks: [{ path: '/a', format: 'raw' }], kernel: { path: '/k' } }), ['disk /a']);
  t.same(boots({ disks: [], kernel: { path: '/k' }, initrd: { path: '/i' } }), ['kernel /k']);
  t.same(
    boots({
      disks: [
        { path: '/a', format: 'raw' },
        { path: '/b', format: 'raw', boot: true },
      ],
    }),
    ['disk /b'],
  );
  const order = normalizeStartRequest({
    disks: [{ fd: 7, path: '/name', format: 'raw', readOnly: true }],
    state: { path: '/s' },
    firmware: { path: '/f' },
    initrd: { path: '/i' },
    kernel: { path: '/k' },
    action: 'restore',
    emulator: { path: '/usr/bin/qemu' },
  });
  t.same(
    order.objects.map((o) => o.role),
    ['disk', 'kernel', 'initrd', 'firmware', 'state'],
  );
  t.same(order.objects[0], { role: 'disk', boot: true, readOnly: true, format: 'raw', path: '/name', fd: 7 });
  t.equal(order.emulatorPath, '/usr/bin/qemu');
  t.equal(normalizeStartRequest({ disks: [disk], emulator: '/bin/vmm' }).emulatorPath, '/bin/vmm');
});

t.test('decideMany, cache and single questions check their arguments too', async (t) => {
  const many = decideMany as (...args: unknown[]) => Promise<unknown>;
  await t.rejects(many('x'), { code: TYPE });
  await t.rejects(many([{ path: '/a' }]), { code: TYPE, message: /disks\[0\]\.format/ });
  await t.rejects(many([{ fd: 3, format: 'raw' }]), { code: VALUE, message: /disks\[0\]\.fd/ });
  await t.rejects(many([], { disks: [] }), { code: VALUE, message: /common\.disks/ });
  await t.rejects(many([], { client: 'a b' }), { code: VALUE, message: /common\.client/ });
  await t.rejects(many([], { kernel: {} }), { code: VALUE, message: /common\.kernel/ });
  await t.rejects(many([], { action: 'restore' }), { code: VALUE, message: /common\.state/ });
  await t.rejects(many([], {}, { threads: 0 }), { code: RANGE });
  await t.rejects(many([], {}, { threads: 65 }), { code: RANGE });
  for (const signal of [{}, null, { aborted: false }, { aborted: true }, new EventTarget()]) {
    await t.rejects(many([], {}, { signal }), { code: TYPE });
  }
  await t.rejects(many([], {}, { onProgress: 1 }), { code: TYPE });
  await t.rejects(many([], {}, { limit: 1 }), { code: VALUE });
  const later = decideAsync as (...args: unknown[]) => Promise<unknown>;
  for (const signal of [1, null, { aborted: false }, new AbortController()]) {
    await t.rejects(later({ disks: [disk] }, { signal }), { code: TYPE });
  }
  t.throws(() => internContext('a b'), { code: VALUE });
  t.throws(() => internContext(1 as never), { code: TYPE });
  t.throws(() => accessQuestion('', ['read']), { code: VALUE });
  t.throws(() => accessQuestion('file', []), { code: VALUE });
  t.throws(() => accessQuestion('file', Array(33).fill('read')), { code: VALUE });
  t.throws(() => setCacheLimit(1), { code: RANGE });
  t.throws(() => setCacheLimit(2 ** 40), { code: RANGE });
});
