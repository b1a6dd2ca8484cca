// The policy modules that ship with the package, and installing and removing them through semodule(8).
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AbortError, SystemError, VmEntrypointError } from './errors.js';

/** A module that comes with this package. */
export interface ShippedModule {
  readonly name: string;
  /** The CIL file. */
  readonly path: string;
  /** SHA-256 of the file in hexadecimal, as `semodule --checksum` computes it. */
  readonly sha256: string;
}

/** A module in a policy store. One name may be there at several priorities; the highest counts. */
export interface InstalledModule {
  readonly name: string;
  readonly priority: number;
  readonly enabled: boolean;
  /** `null` where it could not be told: semodule before 3.4 computes none. */
  readonly sha256: string | null;
}

export interface StoreOptions {
  /** Name of the policy store, such as `default`, `mls` or `targeted`. Default: the system's. */
  readonly store?: string;
  /** Another root directory, for building images. Implies no reload. */
  readonly root?: string;
  readonly signal?: AbortSignal;
}

export interface TransactionOptions extends StoreOptions {
  /** Load the new policy into the kernel. Default `true`. */
  readonly reload?: boolean;
}

/** semodule is missing or refused: `ERR_POLICY_NO_SEMODULE`, `ERR_POLICY_NO_STORE`, `ERR_POLICY_SEMODULE`, `ERR_POLICY_IN_USE`, `ERR_POLICY_OVERRIDDEN`. */
export class PolicyModuleError extends VmEntrypointError {
  override name = 'PolicyModuleError';
  /** What semodule wrote. */
  readonly output: readonly string[];
  readonly hint: string | undefined;
  /** The module that no longer resolves. */
  readonly dependent: string | undefined;

  constructor(
    code: string,
    message: string,
    { output = [], hint, dependent }: { output?: readonly string[]; hint?: string; dependent?: string } = {},
  ) {
    super(code, message);
    this.output = output;
    this.hint = hint;
    this.dependent = dependent;
  }
}

const POLICY_DIRECTORY = fileURLToPath(new URL('../policy', import.meta.url));

/** The name of the module with the class `vm` and its macros. */
export const BASE_MODULE = 'vm_entrypoint';

/** Names of the example modules. */
export function exampleNames(): string[] {
  const files = readdirSync(join(POLICY_DIRECTORY, 'examples'));
  return files.flatMap((file) => (file.endsWith('.cil') ? [file.slice(0, -'.cil'.length)] : [])).sort();
}

/** Finds a shipped module by its name: {@link BASE_MODULE} or one of {@link exampleNames}. */
export function shippedModule(name: string = BASE_MODULE): ShippedModule {
  // semodule takes the module's name from the file's.
  const path =
    name === BASE_MODULE ? join(POLICY_DIRECTORY, `${name}.cil`) : join(POLICY_DIRECTORY, 'examples', `${name}.cil`);
  return { name, path, sha256: createHash('sha256').update(readFileSync(path)).digest('hex') };
}

function findSemodule(): string {
  // It runs as root: never one from the directory that somebody happens to stand in, which is what an empty entry
  // means. An ordinary user's PATH has no sbin.
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  for (const directory of directories.filter(isAbsolute)) {
    const path = join(directory, 'semodule');
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here
    }
  }
  throw new PolicyModuleError('ERR_POLICY_NO_SEMODULE', 'semodule is not installed', {
    hint: 'Install policycoreutils (Debian, Ubuntu, Fedora: the package has this name).',
  });
}

interface Result {
  readonly status: number | string;
  /** What semodule wrote, on both streams. */
  readonly lines: readonly string[];
}

// Policy moves semodule to a domain of its own (semanage_t), which may use a caller's pipe but not the
// sockets that Node makes for `pipe`: the kernel would replace those by /dev/null, and everything that
// semodule says would be lost without an error. So a shell makes a pipe.
const THROUGH_A_PIPE = '{ "$@" 2>&1; echo "status $?"; } | /bin/cat';

function run(args: readonly string[], signal?: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', ['-c', THROUGH_A_PIPE, 'sh', findSemodule(), ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
      // A session of its own: neither the terminal's Ctrl-C nor its end reaches a running transaction.
      detached: true,
      ...(signal && { signal }),
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
    child.on('error', (error) => reject(signal?.aborted ? new AbortError(signal.reason) : error));
    child.on('close', (_status, killedBy) => {
      const lines = output.split('\n').filter((line) => line !== '');
      const status = /^status (\d+)$/.exec(lines.pop() ?? '')?.[1];
      resolve({ status: status === undefined ? (killedBy ?? 'no status') : Number(status), lines });
    });
  });
}

function selection({ store, root }: StoreOptions): string[] {
  return [...(root === undefined ? [] : ['-p', root]), ...(store === undefined ? [] : ['-s', store])];
}

/** The policy type that the system (or the image below `root`) is configured for; `null` without SELinux configuration. */
export function configuredStore(root = '/'): string | null {
  try {
    const text = readFileSync(join(root, 'etc/selinux/config'), 'utf8');
    return /^\s*SELINUXTYPE\s*=\s*([^\s#]+)/m.exec(text)?.[1] ?? null;
  } catch {
    return null;
  }
}

function checkStore(options: StoreOptions): void {
  const store = options.store ?? configuredStore(options.root);
  const directory = join(options.root ?? '/', 'var/lib/selinux', store ?? '');
  // semodule would create what is missing and then fail on an empty policy.
  if (store === null || !/^[\w.-]+$/.test(store) || !existsSync(directory)) {
    throw new PolicyModuleError('ERR_POLICY_NO_STORE', `there is no policy store '${store ?? ''}' (${directory})`, {
      hint: 'Install a policy (Debian: selinux-policy-default; Fedora: selinux-policy-targeted), or name its store with --store.',
    });
  }
  if (options.root === undefined && process.geteuid?.() !== 0) {
    throw new SystemError('EPERM', 'EPERM: operation not permitted: only root may read and change the policy store', {
      errno: -1,
      syscall: 'semodule',
      path: directory,
    });
  }
}

/**
 * Lists the modules of a policy store, those of one name with the highest priority first.
 *
 * @throws `SystemError` (`EPERM`) for ordinary users; {@link PolicyModuleError}; `AbortError`
 * @see semodule(8)
 */
export async function installedModules(options: StoreOptions = {}): Promise<InstalledModule[]> {
  let result = await list(options, ['--checksum']);
  if (result.status !== 0) result = await list(options, []);
  return parseList(result);
}

function list(options: StoreOptions, more: readonly string[]): Promise<Result> {
  checkStore(options);
  return run([...selection(options), '-lfull', ...more], options.signal);
}

function parseList(result: Result): InstalledModule[] {
  if (result.status !== 0) throw failure('cannot list the modules', result);
  return result.lines
    .flatMap((line) => {
      const [, priority, name, rest] = /^\s*(\d+)\s+(\S+)\s+\S+(.*)$/.exec(line) ?? [];
      if (priority === undefined || name === undefined || rest === undefined) return [];
      const sha256 = /\bsha256:([0-9a-f]{64})\b/.exec(rest)?.[1] ?? null;
      return [{ name, priority: Number(priority), enabled: !/\bdisabled\b/.test(rest), sha256 }];
    })
    .sort((a, b) => b.priority - a.priority);
}

/**
 * The effective module of one name; `undefined` where there is none. Only looks: for its checksums semodule compiles
 * whatever module of the store was not compiled yet, as those that are switched off, and keeps the result.
 *
 * @throws As {@link installedModules}
 */
export async function effectiveModule(name: string, options: StoreOptions = {}): Promise<InstalledModule | undefined> {
  const effective = parseList(await list(options, [])).find((module) => module.name === name);
  return effective && { ...effective, sha256: storedChecksum(effective, options) };
}

function storedChecksum({ name, priority }: InstalledModule, { root = '/', store }: StoreOptions): string | null {
  const active = join(root, 'var/lib/selinux', store ?? configuredStore(root) ?? '', 'active/modules');
  try {
    const stored = readFileSync(join(active, String(priority), name, 'cil'));
    // As semanage.conf says; by default compressed.
    const compressed = stored.toString('latin1', 0, 3) === 'BZh';
    const content = compressed ? execFileSync('/bin/bzip2', ['-dc'], { input: stored, stdio: 'pipe' }) : stored;
    return createHash('sha256').update(content).digest('hex');
  } catch {
    return null;
  }
}

/** Whether the store's effective module of this name is the shipped one; `null` when semodule does not tell. */
export function isCurrent(module: ShippedModule, installed: readonly InstalledModule[]): boolean | null {
  const effective = installed.find(({ name }) => name === module.name);
  if (effective === undefined || !effective.enabled) return false;
  return effective.sha256 === null ? null : effective.sha256 === module.sha256;
}

function failure(what: string, { status, lines }: Result): PolicyModuleError {
  // "Failed to resolve call statement at …/modules/400/site/cil:20": the module `site` needs what is gone.
  const [dependent] = lines.flatMap((line) => /Failed to resolve .*\/modules\/\d+\/([^/]+)\//.exec(line)?.[1] ?? []);
  const which = dependent === undefined ? '' : `; the module '${dependent}' does not resolve`;
  return new PolicyModuleError('ERR_POLICY_SEMODULE', `${what}: semodule ended with ${status}${which}`, {
    output: lines,
    ...(dependent !== undefined && { dependent }),
  });
}

async function transaction(args: readonly string[], what: string, options: TransactionOptions): Promise<void> {
  checkStore(options);
  if (options.signal?.aborted) throw new AbortError(options.signal.reason);
  const reload = (options.reload ?? true) && options.root === undefined;
  // No signal from here on: semodule replaces the store in steps, and ignores SIGINT and SIGTERM for that.
  const result = await run([...selection(options), ...(reload ? [] : ['-n']), ...args]);
  if (result.status !== 0) throw failure(what, result);
}

/**
 * Installs modules in one transaction: all of them or none. Rebuilding a distribution's policy takes
 * from seconds to minutes. The signal is honoured until semodule has started; a started transaction is
 * always finished.
 *
 * @returns whether anything was changed
 * @throws `SystemError` (`EPERM`) for ordinary users; {@link PolicyModuleError}; `AbortError`
 * @see semodule(8)
 */
export async function installModules(
  modules: readonly ShippedModule[],
  options: TransactionOptions = {},
): Promise<boolean> {
  const before = await installedModules(options);
  if (modules.every((module) => isCurrent(module, before) === true)) return false;
  await transaction(
    modules.flatMap(({ path }) => ['-i', path]),
    'the policy is unchanged',
    options,
  );
  // A module may have been switched off with `semodule -d`, or be hidden by another of a higher priority.
  const { signal: _spent, ...unstoppable } = options;
  const after = await installedModules(unstoppable);
  for (const module of modules) {
    if (isCurrent(module, after) !== false) continue;
    const effective = after.find(({ name }) => name === module.name);
    throw new PolicyModuleError(
      'ERR_POLICY_OVERRIDDEN',
      effective?.enabled
        ? `'${module.name}' is hidden by another module of this name at priority ${effective.priority}`
        : `'${module.name}' is installed but disabled`,
      {
        hint: effective?.enabled
          ? `Remove the other one: 'semodule -X ${effective.priority} -r ${module.name}'.`
          : `Enable it: 'semodule -e ${module.name}'.`,
      },
    );
  }
  return true;
}

/**
 * Removes modules in one transaction: all of them or none. See {@link installModules}.
 *
 * @returns whether anything was changed
 * @throws {@link PolicyModuleError} with `ERR_POLICY_IN_USE` when another module needs one of them
 */
export async function removeModules(names: readonly string[], options: TransactionOptions = {}): Promise<boolean> {
  const before = await installedModules(options);
  const present = before.filter(({ name }) => names.includes(name));
  if (present.length === 0) return false;
  try {
    // The example before what it uses; every copy, whatever its priority.
    const order = present.toSorted((a, b) => names.indexOf(a.name) - names.indexOf(b.name));
    await transaction(
      order.flatMap(({ name, priority }) => ['-X', String(priority), '-r', name]),
      'the policy is unchanged',
      options,
    );
  } catch (error) {
    if (!(error instanceof PolicyModuleError)) throw error;
    const { dependent, output } = error;
    if (dependent === undefined || names.includes(dependent)) throw error;
    const hint = exampleNames().includes(dependent)
      ? `Remove both: 'vm-entrypoint policy remove --example ${dependent}'.`
      : `Remove it first: 'semodule -r ${dependent}'.`;
    const message = `the module '${dependent}' needs '${names.join("', '")}'; the policy is unchanged`;
    throw new PolicyModuleError('ERR_POLICY_IN_USE', message, { output, hint, dependent });
  }
  return true;
}
