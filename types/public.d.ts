// The public shapes of vm-entrypoint: what callers hand in and get back.

/** A raw SELinux context, `user:role:type:range`. */
export type Context = string;

/** How an image is laid out. Always declared by the caller: a probed format can be forged by the guest. */
export type DiskFormat = 'raw' | 'qcow2';

/** One virtual disk of a start request. Exactly one of `path`, `fd` and `context` names it. */
export interface DiskRequest {
  /** Path of the image. Opened once, without following a symbolic link in the last component. */
  readonly path?: string;
  /** An open descriptor to use instead of `path`; it is duplicated and stays the caller's. */
  readonly fd?: number;
  /** Only a context, where there is no labelled file (deciding, never launching). */
  readonly context?: Context;
  /** Object class that goes with `context`. Default `'file'`. */
  readonly objectClass?: 'file' | 'blk_file';
  /** Declared, never probed. */
  readonly format: DiskFormat;
  /** The disk the VM boots from: its label chooses the domain. A single disk is the boot disk. */
  readonly boot?: boolean;
  /** The guest may not write it. Default `false`. */
  readonly readOnly?: boolean;
}

/**
 * A file that supplies code or state beside the disks: kernel, initrd, firmware, saved state. Exactly one of
 * `path`, `fd` and `context` names it. Raw, and read-only.
 */
export interface BlobRequest {
  /** Path of the file. Opened once, without following a symbolic link in the last component. */
  readonly path?: string;
  /** An open descriptor to use instead of `path`; it is duplicated and stays the caller's. */
  readonly fd?: number;
  /** Only a context, where there is no labelled file (deciding, never launching). */
  readonly context?: Context;
}

/** Where enforcement stands. `'require'` fails on a host without SELinux; the others are explicit exceptions. */
export type SelinuxMode = 'require' | 'prefer' | 'off';

/** What is asked of the policy: `decide`, `explain` and (with an emulator to run) `launch` take it. */
export interface StartRequest {
  /** All disks of the VM. Of several one has `boot: true`; empty only with a `kernel`. */
  readonly disks: readonly DiskRequest[];
  /** A kernel that the VM boots directly. Without disks its label chooses the domain. */
  readonly kernel?: BlobRequest;
  /** The initial RAM disk of `kernel`. */
  readonly initrd?: BlobRequest;
  /** Firmware that is not part of the emulator. */
  readonly firmware?: BlobRequest;
  /** Saved state to begin from; with `action: 'restore'` or `'migrate_in'`. */
  readonly state?: BlobRequest;
  /** On whose behalf. Default: this process. */
  readonly client?: Context;
  /** Who execs. Default: this process. Another context can only be decided about, never launched. */
  readonly launcher?: Context;
  /** The VMM binary: its path, or (deciding only) its context. Without it, `exec` asks nothing about its file. */
  readonly emulator?: string | { readonly path: string } | { readonly context: Context } | Emulator;
  /** Which rule chooses the VM domain: `type_transition` (default) or `type_change`. */
  readonly rule?: 'transition' | 'change';
  /** Which permission of class `vm` the client needs. Default `'start'`. */
  readonly action?: 'start' | 'restore' | 'migrate_in';
  /** Default `'require'`. */
  readonly selinux?: SelinuxMode;
}

/** Which question a check belongs to. docs/decision.md says what each asks. */
export type CheckQuestion = 'read-disk' | 'vm-domain' | 'entrypoint' | 'start' | 'exec' | 'inherit';

/** One question to the policy and its verdict. */
export interface Check {
  readonly question: CheckQuestion;
  /** What was asked about: a path or a descriptor's name. */
  readonly subject: string;
  readonly source: Context;
  readonly target: Context;
  /** Object class, as in `tclass=` of an audit record. */
  readonly objectClass: string;
  readonly requested: readonly string[];
  /** The requested permissions that policy does not grant; empty when all are granted. */
  readonly denied: readonly string[];
  /** Denied but not enforced: permissive mode, or a permissive source type. */
  readonly permissive: boolean;
  /** False when a dontaudit rule hides this denial from the kernel's log. */
  readonly auditable: boolean;
  /**
   * A constraint on the level, role or user of the two contexts refuses, and no rule can grant it. For
   * `vm-domain`: no valid context comes out of the two whatever the type rules say; their ranges do not meet.
   */
  readonly constraint: boolean;
  /** A context that the policy does not know: the check is denied because of it. */
  readonly invalidContext: Context | null;
  /** The CIL rule that would grant what was denied; `null` when nothing was denied, or no rule can grant it: see `missingFor`. */
  readonly rule: string | null;
}

/** Why a start is refused. */
export type Refusal = 'denied' | 'no-transition' | 'invalid-context';

/** The answer to one start request. */
export interface Decision {
  /** Whether the VM may start. In permissive mode also where something is denied. */
  readonly allowed: boolean;
  /** False only when enforcement was switched off explicitly: then nothing was asked. */
  readonly evaluated: boolean;
  /** `null` when allowed. */
  readonly refusal: Refusal | null;
  /** The context the VMM would run in; `null` when policy names none. */
  readonly vmContext: Context | null;
  /** Every question that was asked, in the order of docs/decision.md. */
  readonly checks: readonly Check[];
  /** Whether the running kernel is in enforcing mode. */
  readonly enforcing: boolean;
  /** The status page's sequence the answers belong to. */
  readonly policySequence: number;
}

/** What the decision cache of this process holds and has done. */
export interface CacheStatistics {
  /** Memory for contexts and answers, in bytes; at most the limit. */
  readonly bytes: number;
  /** Interned contexts. */
  readonly contexts: number;
  /** Access answers of the loaded policy. */
  readonly vectors: number;
  /** New contexts computed by the loaded policy. */
  readonly transitions: number;
  /** Questions answered from the cache. Approximate where several threads ask at once. */
  readonly hits: number;
  /** Questions that went to the policy. */
  readonly misses: number;
}

/** One file of an image as the emulator has it: an open descriptor, never a path to open. */
export interface EmulatorFile {
  /** Descriptor number in the emulator's process. */
  readonly fd: number;
  /** What it was opened by, for messages and names only. */
  readonly path: string;
  readonly format: DiskFormat;
  /** Open for reading only. */
  readonly readOnly: boolean;
  /** The image below this one: an index into the same list, `null` for none. */
  readonly backing: number | null;
  /** The qcow2 external data file: an index into the same list, `null` for none. */
  readonly dataFile: number | null;
  /** A block device; otherwise a regular file. */
  readonly blockDevice: boolean;
  readonly sizeBytes: bigint;
}

/** One disk with everything it consists of. */
export interface EmulatorDisk {
  /** The VM has to boot from this one, and from no other. */
  readonly boot: boolean;
  /** The image itself first, then its backing files and external data files. */
  readonly files: readonly [EmulatorFile, ...EmulatorFile[]];
}

/** What an emulator's command line is made from. */
export interface EmulatorInput {
  /** In the order of the request. */
  readonly disks: readonly EmulatorDisk[];
  readonly kernel: EmulatorFile | null;
  readonly initrd: EmulatorFile | null;
  readonly firmware: EmulatorFile | null;
  readonly state: EmulatorFile | null;
  readonly action: 'start' | 'restore' | 'migrate_in';
  /** Descriptor numbers of the sockets asked for by {@link Emulator.channels}. */
  readonly channels: Readonly<Record<string, number>>;
}

/** A command line. */
export interface EmulatorCommand {
  /** Without `argv[0]`. */
  readonly args: readonly string[];
  /** Default: the path of the program. */
  readonly argv0?: string;
  /**
   * Descriptors that the program opens a second time, through `/proc/self/fd`, because it takes nothing but
   * a path. The VM's domain needs `file { getattr open read map }` on those; the decision asks for it.
   */
  readonly reopens?: readonly number[];
}

/** Turns what may be started into the arguments of one kind of VMM. Made by `qemu()` and `command()`, or your own. */
export interface Emulator {
  /** Absolute path of the program: an ELF binary, not a script. */
  readonly path: string;
  /** Names of sockets that connect the program to `VirtualMachine.channels`. */
  readonly channels?: readonly string[];
  /** Called once per launch, when the start is allowed and before anything runs. Must not be asynchronous. */
  build(input: EmulatorInput): EmulatorCommand;
}

/** Where one descriptor of the VM comes from, as in `child_process.spawn`. */
export type StdioEntry =
  | 'pipe'
  | 'ignore'
  | 'inherit'
  | number
  | { readonly fd: number }
  | import('node:stream').Stream
  | null
  | undefined;

/** Names of resource limits, as in setrlimit(2) without `RLIMIT_`. */
export type ResourceName =
  | 'as'
  | 'core'
  | 'cpu'
  | 'data'
  | 'fsize'
  | 'locks'
  | 'memlock'
  | 'msgqueue'
  | 'nice'
  | 'nofile'
  | 'nproc'
  | 'rss'
  | 'rtprio'
  | 'rttime'
  | 'sigpending'
  | 'stack';

/** In the unit of the resource (bytes, seconds, numbers). */
export type LimitValue = number | bigint | 'unlimited';

/** Soft and hard limit; one value stands for both. */
export type ResourceLimit = LimitValue | { readonly soft: LimitValue; readonly hard: LimitValue };

/** How the VMM's process is set up. Where an option exists in `child_process.spawn`, it means the same. */
export interface ProcessOptions {
  /**
   * Descriptors from 0 on. `'pipe'` is a connected socket in `vm.stdio`, as in Node. Default `'pipe'` for
   * the first three. Images get numbers beyond them.
   */
  readonly stdio?: 'pipe' | 'ignore' | 'inherit' | readonly StdioEntry[];
  /** The whole environment. Default `{ PATH: '/usr/local/bin:/usr/bin:/bin' }`: nothing is inherited. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Default `'/'`. */
  readonly cwd?: string | URL;
  /** User of the process. Default: this process's. */
  readonly uid?: number;
  /** Group of the process. Default: this process's. */
  readonly gid?: number;
  /** Supplementary groups. Default: none when `uid` or `gid` is set, otherwise this process's. */
  readonly groups?: readonly number[];
  /** A cgroup v2 directory that the process is put into before it runs. */
  readonly cgroup?: string;
  /**
   * Resource limits, by name: `{ nofile: 1024 }`. What is not named is inherited; an exec into another domain sets
   * soft limits back to those of init, unless policy grants `process rlimitinh`.
   */
  readonly rlimits?: Readonly<Partial<Record<ResourceName, ResourceLimit>>>;
  /** A session of its own (setsid(2)): the terminal's signals do not reach it. Default `false`. */
  readonly detached?: boolean;
  /** Gives the launch up, or kills the VM when it runs, as in `child_process`. */
  readonly signal?: AbortSignal;
  /** What `signal` and `timeout` send. Default `'SIGTERM'`. */
  readonly killSignal?: NodeJS.Signals | number;
  /** In milliseconds; then the VM gets `killSignal`. Default: none. */
  readonly timeout?: number;
  /** What becomes of the VM when this process dies, of whatever. Default `'live'`. */
  readonly onManagerExit?: 'live' | 'kill';
}

/** What `launch` takes. */
export interface LaunchOptions extends Omit<StartRequest, 'emulator' | 'launcher'>, ProcessOptions {
  readonly emulator: Emulator;
}
