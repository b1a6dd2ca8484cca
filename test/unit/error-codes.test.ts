// docs/errors.md against the sources, both ways: every code has its line there, of the class that is made, and no line
// is about a code that is gone.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createNativeError } from '../../lib/errors.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(`${root}${path}`, 'utf8');
const filesOf = (directory: string): string[] =>
  readdirSync(`${root}${directory}`, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(cc|h|ts)$/.test(file))
    .map((file) => `${directory}/${file}`);

/** What ends with `_` is the beginning of several codes. */
const codesIn = (text: string): string[] =>
  [...text.matchAll(/\bERR_[A-Z0-9_]+/g)].map(([code]) => code).filter((code) => !code.endsWith('_'));
const quotedIn = (text: string): string[] => codesIn((text.match(/["']ERR_[A-Z0-9_]+["']/g) ?? []).join(' '));

const documented = new Map(
  [...read('docs/errors.md').matchAll(/^\| `(ERR_[A-Z0-9_]+)` \| `?(\w+)/gm)].map(([, code, name]) => [code!, name!]),
);
const native = filesOf('native');
const sources = [...native, ...filesOf('lib'), ...filesOf('types')];

t.test('every code of the sources, comments included, is documented', async (t) => {
  t.ok(native.length > 50, 'the sources are where they are looked for');
  for (const file of sources) {
    const unknown = codesIn(read(file)).filter((code) => !documented.has(code));
    t.same([...new Set(unknown)], [], file);
  }
});

t.test('every documented code is in the sources', async (t) => {
  const made = new Set(sources.flatMap((file) => quotedIn(read(file))));
  t.same(
    [...documented.keys()].filter((code) => !made.has(code)),
    [],
  );
});

t.test('what native code makes becomes an error of the documented class', async (t) => {
  for (const code of new Set(native.flatMap((file) => quotedIn(read(file))))) {
    t.equal(createNativeError({ code }).constructor.name, documented.get(code), code);
  }
});
