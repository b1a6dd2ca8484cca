// What the tests of launch() share: images, the probe program, and a look at what is left behind.
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LaunchOptions } from '../../types/public.js';
import './test-addon.js';

const { command } = await import('../../lib/emulators/command.js');

const build = fileURLToPath(new URL(`../../${process.env.VMENTRY_TEST_BUILD ?? 'build/test'}/`, import.meta.url));

/** Reports on stdout how it was started (test/lab/programs/probe_child.c). */
export const probePath: string = join(build, 'probe_child');

/** What probe_child said: key → values in order. */
export function parseReport(text: string): Map<string, string[]> {
  const report = new Map<string, string[]>();
  for (const line of text.split('\n').filter((part) => part !== '')) {
    const [key = '', ...rest] = line.split(' ');
    report.set(key, [...(report.get(key) ?? []), rest.join(' ')]);
  }
  return report;
}

/** A raw image with `content` at its start. */
export function rawImage(directory: string, name = 'disk.raw', content = 'image'): string {
  const path = join(directory, name);
  writeFileSync(path, content.padEnd(4096, '\0'));
  return path;
}

/** Options of a launch of `path` with `args`, from one raw image, without SELinux. */
export function plain(
  image: string,
  path: string,
  args: readonly string[] = [],
  more: Partial<LaunchOptions> = {},
): LaunchOptions {
  return {
    disks: [{ path: image, format: 'raw', readOnly: true }],
    emulator: command({ path, args }),
    selinux: 'off',
    ...more,
  };
}

/** Everything a stream gives, as text. */
export async function textOf(stream: AsyncIterable<Buffer> | null): Promise<string> {
  const chunks: Buffer[] = [];
  if (stream !== null) for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** What the numbers in /proc/self/fd refer to. Those of the event loop itself come and go and are left out. */
export function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd')
    .flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/self/fd/${fd}`)];
      } catch {
        return []; // the directory that was just read
      }
    })
    .filter((target) => !/^\/proc\/\d+\/fd|anon_inode:\[(eventpoll|io_uring)\]/.test(target))
    .map((target) => target.replace(/^(pipe|socket):\[\d+\]$/, '$1'))
    .sort();
}

/** Children of this process, with their state: `123 Z`. */
export function children(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        return Number(parent) === process.pid ? [`${pid} ${state}`] : [];
      } catch {
        return [];
      }
    });
}

/** Waits until `condition` is true, at most `ms`. */
export async function eventually(condition: () => boolean, ms = 5000): Promise<boolean> {
  for (const end = Date.now() + ms; Date.now() < end; ) {
    if (condition()) return true;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return condition();
}
