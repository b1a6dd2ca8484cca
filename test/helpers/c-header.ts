// What a C compiler makes of native/kvm/uapi.h, for x86-64 and arm64 alike: the headers of the other architecture come
// from Debian's package for cross compilers.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export type Architecture = 'x64' | 'arm64';
export const architectures: readonly Architecture[] = ['x64', 'arm64'];

const TRIPLES: Readonly<Record<Architecture, string>> = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };
const native = fileURLToPath(new URL('../../native', import.meta.url));

function clang(architecture: Architecture, args: readonly string[], code: string): { output: string; errors: string } {
  const triple = TRIPLES[architecture];
  const foreign = architecture === process.arch ? [] : ['-isystem', `/usr/${triple}/include`];
  const { stdout, stderr, error } = spawnSync(
    'clang',
    [`--target=${triple}`, ...foreign, `-I${native}`, '-x', 'c', ...args, '-'],
    { input: `#include <stddef.h>\n#include "kvm/uapi.h"\n${code}`, encoding: 'utf8', maxBuffer: 2 ** 26 },
  );
  if (error !== undefined) throw error;
  return { output: stdout, errors: stderr };
}

/** The macros without parameters, with what they stand for. */
export function macros(architecture: Architecture): Map<string, string> {
  const { output, errors } = clang(architecture, ['-E', '-dM'], '');
  if (errors !== '') throw new Error(errors);
  return new Map([...output.matchAll(/^#define (\w+) (.*)$/gm)].map(([, name = '', body = '']) => [name, body]));
}

/** Holds expressions against values: a line for each that differs, nothing when all agree. */
export function differences(architecture: Architecture, expected: ReadonlyMap<string, number | bigint>): string {
  const assertions = [...expected].map(([expression, value]) => {
    const text = `DIFFERS: ${expression} is not ${value}`;
    return `_Static_assert((unsigned long long)(${expression}) == ${value}ULL, "${text}");`;
  });
  const { errors } = clang(architecture, ['-fsyntax-only', '-ferror-limit=0'], assertions.join('\n'));
  return [...errors.matchAll(/^.*error: .*$/gm)].map(([line]) => /DIFFERS: ([^"]*)/.exec(line)?.[1] ?? line).join('\n');
}
