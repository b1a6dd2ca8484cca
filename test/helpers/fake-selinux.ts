// A host with SELinux for unit tests: the test addon with the fake libselinux, a policy compiled from
// CIL, and a directory that steers it (described in test/native/fake_libselinux.cc). Import this before
// anything that loads the addon, and call `startFakeSelinux` once, before the first SELinux call: like
// the real one, the library looks at its surroundings when it is loaded.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fakeLibrary, faults } from './test-addon.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The CIL files of the test policy: all kinds of rules, the shipped module, and VMs. */
export const POLICY_FILES: readonly string[] = [
  'test/fixtures/policy/base.cil',
  'policy/vm_entrypoint.cil',
  'test/fixtures/policy/vm.cil',
];

export interface PolicyOptions {
  /** Files below the project's root. Default: {@link POLICY_FILES}. */
  readonly files?: readonly string[];
  /** CIL added to them. */
  readonly cil?: string;
  /** What the policy says about classes and permissions that it does not know. Default `'allow'`, as distributions have it. */
  readonly unknown?: 'allow' | 'deny' | 'reject';
}

export interface FakeOptions extends PolicyOptions {
  readonly enforcing?: boolean;
  /** No selinuxfs: SELinux is off. */
  readonly disabled?: boolean;
  /** This process's context. */
  readonly context?: string;
  /** The "kernel" notifies listeners of policy loads and switches of the mode. */
  readonly notices?: boolean;
}

/** Compiles a binary policy with secilc. */
export function compilePolicy(directory: string, options: PolicyOptions = {}): Buffer {
  const files = (options.files ?? POLICY_FILES).map((name) => join(root, name));
  if (options.cil !== undefined) {
    const extra = join(directory, 'extra.cil');
    writeFileSync(extra, options.cil);
    files.push(extra);
  }
  const output = join(directory, 'compiled');
  execFileSync('secilc', [
    '-M',
    'true',
    '-c',
    '33',
    '-U',
    options.unknown ?? 'allow',
    '-o',
    output,
    '-f',
    '/dev/null',
    ...files,
  ]);
  return readFileSync(output);
}

export interface FakeSelinux {
  readonly directory: string;
  /** Loads another policy, as `load_policy` does. */
  reload(options?: PolicyOptions): void;
  /** Gives a process a context, for getpidcon and getpeercon. */
  setProcess(pid: number, context: string): void;
  /** This process's context from now on. */
  setContext(context: string): void;
  /** What the kernel says about every process that is launched: the test has to know what it would be. */
  setLaunched(context: string): void;
  /** What a child that was launched since the last call wrote to its exec attribute; '' for nothing. */
  takeExecContext(): string;
  /** Removes the directory. */
  stop(): void;
}

/** Makes the fake host and puts the test addon on it. */
export function startFakeSelinux(options: FakeOptions = {}): FakeSelinux {
  const directory = mkdtempSync(join(tmpdir(), 'vm-entrypoint-selinux-'));
  const write = (name: string, text: string | Buffer): void => writeFileSync(join(directory, name), text);
  const attributes = join(directory, 'attr');
  mkdirSync(join(directory, 'processes'));
  mkdirSync(join(attributes, 'thread-self/attr'), { recursive: true });
  const setContext = (context: string): void => {
    write('context', context);
    write('attr/current', context);
  };
  write('policy', compilePolicy(directory, options));
  write('file_contexts', readFileSync(join(root, 'test/fixtures/policy/file_contexts')));
  write('enforcing', options.enforcing === false ? '0' : '1');
  for (const name of ['exec', 'fscreate', 'sockcreate', 'keycreate', 'prev']) write(`attr/${name}`, '');
  write('attr/thread-self/attr/exec', '');
  setContext(options.context ?? 'user_u:user_r:launcher_t:s0-s0:c0.c7');
  if (options.notices) mkdirSync(join(directory, 'events'));
  if (options.disabled) write('disabled', '');

  process.env.FAKE_SELINUX_DIR = directory;
  faults.useLibrary(fakeLibrary);
  faults.setAttributeDirectory(attributes);
  return {
    directory,
    reload(policy: PolicyOptions = {}): void {
      const failed = faults.loadPolicy(compilePolicy(directory, policy));
      if (failed !== 0) throw new Error(`the policy does not load: errno ${failed}`);
    },
    setProcess: (pid, context) => write(`processes/${pid}`, context),
    setContext,
    setLaunched: (context) => write('attr/process', context),
    takeExecContext(): string {
      const context = readFileSync(join(attributes, 'thread-self/attr/exec'), 'utf8');
      write('attr/thread-self/attr/exec', '');
      return context;
    },
    stop: () => rmSync(directory, { recursive: true, force: true }),
  };
}
