// Misuse of vm-entrypoint/selinux: Node's own errors, before anything is asked. Runs without SELinux on
// purpose: a check that came late would show as ERR_SELINUX_DISABLED.
import t from 'tap';
import { fakeLibrary, faults } from '../helpers/test-addon.js';

faults.useLibrary(fakeLibrary);
const selinux = (await import('../../lib/selinux.js')) as unknown as Record<string, (...args: unknown[]) => unknown>;

const CONTEXT = 'user_u:user_r:client_t:s0';
const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
const value = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };
const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' };

/** What is wrong in one place, and the error that it must be. */
const contexts: [unknown, object][] = [
  [undefined, type],
  [7, type],
  [{}, type],
  ['', value],
  ['a\0b', value],
];
const paths: [unknown, object][] = [
  [undefined, type],
  [7, type],
  [null, type],
  ['', value],
  ['a\0b', value],
];
const descriptors: [unknown, object][] = [
  [undefined, type],
  ['0', type],
  [-1, range],
  [1.5, range],
  [2 ** 31, range],
];
const classes: [unknown, object][] = [
  [undefined, type],
  [null, type],
  ['', value],
  [0, range],
  [65536, range],
  [1.5, range],
];
const flags: [unknown, object][] = [
  [undefined, type],
  [1, type],
  ['true', type],
];
const options: [unknown, object][] = [
  [null, type],
  ['raw', type],
  [[], type],
  [{ raw: 1 }, type],
  [{ raww: true }, value],
];
const modes: [unknown, object][] = [
  ['file', type],
  [-1, range],
  [65536, range],
  [0.5, range],
];

/** Good arguments, and for each place the wrong ones. */
const table: [name: string, good: unknown[], wrong: [unknown, object][][]][] = [
  ['getcon', [{}], [options]],
  ['getprevcon', [{}], [options]],
  [
    'getpidcon',
    [1, {}],
    [
      [
        [undefined, type],
        ['1', type],
        [0, range],
        [-5, range],
        [2 ** 31, range],
      ],
      options,
    ],
  ],
  [
    'getpidprevcon',
    [1, {}],
    [
      [
        [undefined, type],
        ['1', type],
        [0, range],
        [-5, range],
        [2 ** 31, range],
      ],
      options,
    ],
  ],
  ['getpeercon', [0, {}], [descriptors, options]],
  ...['exec', 'fscreate', 'sockcreate', 'keycreate'].flatMap((name): typeof table => [
    [`get${name}con`, [{}], [options]],
    [`set${name}con`, [CONTEXT, {}], [contexts, options]],
  ]),
  ['getfilecon', ['/', {}], [paths, options]],
  ['lgetfilecon', ['/', {}], [paths, options]],
  ['fgetfilecon', [0, {}], [descriptors, options]],
  ['setfilecon', ['/', CONTEXT, {}], [paths, contexts, options]],
  ['lsetfilecon', ['/', CONTEXT, {}], [paths, contexts, options]],
  ['fsetfilecon', [0, CONTEXT, {}], [descriptors, contexts, options]],
  ['selabelOpen', ['/x'], [paths.slice(1)]],
  ['selabelLookup', ['/', 0, {}], [paths, modes, options]],
  ['matchpathcon', ['/', 0, {}], [paths, modes, options]],
  ['securityCheckContext', [CONTEXT, {}], [contexts, options]],
  ['securityCanonicalizeContext', [CONTEXT, {}], [contexts, options]],
  ['selinuxTransToRawContext', [CONTEXT], [contexts]],
  ['selinuxRawToTransContext', [CONTEXT], [contexts]],
  [
    'securityComputeAv',
    [CONTEXT, CONTEXT, 'file', ['read'], {}],
    [
      contexts,
      contexts,
      classes,
      [
        [7, type],
        [[7], type],
        [[''], value],
        [{}, type],
      ],
      options,
    ],
  ],
  [
    'securityComputeCreate',
    [CONTEXT, CONTEXT, 'file', {}],
    [contexts, contexts, classes, [...options, [{ objectName: '' }, value], [{ objectName: 5 }, type]]],
  ],
  ['securityComputeRelabel', [CONTEXT, CONTEXT, 'file', {}], [contexts, contexts, classes, options]],
  ['securityComputeMember', [CONTEXT, CONTEXT, 'file', {}], [contexts, contexts, classes, options]],
  ['stringToSecurityClass', ['file'], [contexts]],
  [
    'securityClassToString',
    [1],
    [
      [
        [undefined, type],
        ['1', type],
        [0, range],
        [65536, range],
      ],
    ],
  ],
  ['stringToAvPerm', ['file', 'read'], [classes, contexts]],
  [
    'securityAvPermToString',
    ['file', 1],
    [
      classes,
      [
        [undefined, type],
        [0, range],
        [2 ** 32, range],
      ],
    ],
  ],
  ['securitySetenforce', [true], [flags]],
  ['securityGetBooleanActive', ['name'], [contexts]],
  ['securityGetBooleanPending', ['name'], [contexts]],
  ['securitySetBoolean', ['name', true], [contexts, flags]],
  [
    'securitySetBooleanList',
    [{ a: true }],
    [
      [
        [undefined, type],
        [[], type],
        [{ a: 1 }, type],
        [{ '': true }, value],
      ],
    ],
  ],
  [
    'watch',
    [{}],
    [
      [
        [null, type],
        [7, type],
        [{ every: 5 }, value],
        [{ interval: 0 }, range],
        [{ interval: 'x' }, type],
        [{ signal: {} }, type],
        [{ signal: null }, type],
      ],
    ],
  ],
];

for (const [name, good, wrong] of table) {
  t.test(name, async (t) => {
    const call = selinux[name] as (...args: unknown[]) => unknown;
    for (const [place, cases] of wrong.entries()) {
      for (const [bad, expected] of cases) {
        const args = good.map((argument, index) => (index === place ? bad : argument));
        t.throws(() => call(...args), expected, `argument ${place}: ${JSON.stringify(bad)}`);
      }
    }
  });
}

t.test('nothing was asked', async (t) => {
  t.strictSame(faults.calls(), {});
});

t.test('every exported function with arguments is in the table', async (t) => {
  const listed = new Set(table.map(([name]) => name));
  const aliases = [
    'canonicalizeContext',
    'checkContext',
    'computeAv',
    'computeCreate',
    'computeMember',
    'computeRelabel',
    'getenforce',
    'setenforce',
  ];
  for (const [name, exported] of Object.entries(selinux)) {
    if (typeof exported !== 'function' || /^[A-Z]/.test(name) || aliases.includes(name)) continue;
    const parameters = /\(([^)]*)\)/.exec(exported.toString())?.[1] ?? '';
    if (parameters.trim() !== '') t.ok(listed.has(name), name);
  }
});
