// What this host has and lacks for starting VMs under the policy. Every part is collected on its own,
// so that the answer is complete where half of it is missing: no SELinux, no libselinux, no addon.
import { accessSync, closeSync, constants, openSync, readFileSync, readSync, realpathSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Context } from '../types/public.js';
import { qemuProgram } from './emulators/qemu.js';
import { configuredStore, effectiveModule, isCurrent, shippedModule } from './policy-module.js';

type Selinux = typeof import('./selinux.js');

export interface Problem {
  readonly id: string;
  /** With an error no launch can work. */
  readonly severity: 'error' | 'warning';
  readonly message: string;
  /** What to do about it. */
  readonly remedy: string;
}

export interface VmClassStatus {
  readonly present: readonly string[];
  readonly missing: readonly string[];
}

export interface EmulatorStatus {
  readonly path: string;
  /** Where symbolic links end: the file whose label counts. */
  readonly realPath: string;
  readonly context: Context | null;
  /** The kernel judges a script by its own label, and its interpreter then runs in the VM's domain. */
  readonly script: boolean;
}

export interface HostStatus {
  /** Whether a launch could work: no problem is an error. */
  readonly ready: boolean;
  readonly addon: { readonly loaded: boolean; readonly error: string | null };
  readonly selinux: {
    /** Whether libselinux is there. */
    readonly library: boolean;
    readonly enabled: boolean;
    readonly enforcing: boolean | null;
    readonly mls: boolean | null;
    /** What the policy does with classes it does not know; this package refuses either way. */
    readonly unknownClasses: 'allowed' | 'denied' | null;
    readonly policyType: string | null;
    readonly policyVersion: number | null;
  };
  /** `null` where no policy can be asked. */
  readonly vmClass: VmClassStatus | null;
  readonly module: {
    /** `null` where the store cannot be read, as by ordinary users. */
    readonly installed: boolean | null;
    /** Whether it is the one that ships with this package; `null` where that cannot be told. */
    readonly current: boolean | null;
    readonly error: string | null;
  };
  readonly process: {
    readonly context: Context | null;
    readonly noNewPrivileges: boolean | null;
    /** `process:setexec` on itself, without which nothing can be launched. */
    readonly mayChooseContext: boolean | null;
  };
  readonly kvm: {
    readonly node: string;
    readonly exists: boolean;
    readonly context: Context | null;
    /** Whether this process may open it; a confined client should not. */
    readonly accessible: boolean;
    readonly error: string | null;
  };
  readonly emulators: readonly EmulatorStatus[];
  readonly problems: readonly Problem[];
}

const KVM_NODE = '/dev/kvm';
const EMULATORS = [qemuProgram(), 'qemu-kvm', 'kvm', 'firecracker', 'cloud-hypervisor', 'crosvm', 'lkvm'];

function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

function text(path: string): string | null {
  return attempt(() => readFileSync(path, 'utf8'));
}

/** The permissions of class `vm`, in their order, as the shipped module declares them. */
export function vmPermissions(): string[] {
  const declared = /\(class vm \(([^)]*)\)\)/.exec(readFileSync(shippedModule().path, 'utf8'))?.[1];
  return (declared ?? '').split(/\s+/).filter((word) => word !== '');
}

function vmClassOf(selinux: Selinux): VmClassStatus {
  const permissions = vmPermissions();
  const vm = attempt(() => selinux.stringToSecurityClass('vm'));
  const present =
    vm === null ? [] : permissions.filter((name) => attempt(() => selinux.stringToAvPerm(vm, name)) !== null);
  return { present, missing: permissions.filter((name) => !present.includes(name)) };
}

/** The class `vm` of the policy in the running kernel; `null` without SELinux. */
export async function loadedVmClass(): Promise<VmClassStatus | null> {
  const selinux = await import('./selinux.js');
  return attempt(() => selinux.isSelinuxEnabled()) ? vmClassOf(selinux) : null;
}

function selinuxStatus(selinux: Selinux | null): HostStatus['selinux'] {
  const enabled = selinux !== null && attempt(() => selinux.isSelinuxEnabled()) === true;
  const ask = <T>(question: (selinux: Selinux) => T): T | null =>
    selinux !== null && enabled ? attempt(() => question(selinux)) : null;
  const deny = ask((s) => s.securityDenyUnknown());
  return {
    library: selinux !== null && attempt(() => selinux.isSelinuxEnabled()) !== null,
    enabled,
    enforcing: ask((s) => s.securityGetenforce()),
    mls: ask((s) => s.isSelinuxMlsEnabled()),
    unknownClasses: deny === null ? null : deny ? 'denied' : 'allowed',
    policyType: configuredStore(),
    policyVersion: ask((s) => s.securityPolicyvers()),
  };
}

function processStatus(selinux: Selinux | null, enabled: boolean): HostStatus['process'] {
  const flag = /^NoNewPrivs:\s*(\d)/m.exec(text('/proc/self/status') ?? '')?.[1];
  const context = selinux !== null && enabled ? attempt(() => selinux.getcon()) : null;
  const mayChooseContext =
    selinux === null || context === null
      ? null
      : attempt(() => {
          const { denied, permissive } = selinux.securityComputeAv(context, context, 'process', 'setexec');
          return denied.length === 0 || permissive;
        });
  return { context, noNewPrivileges: flag === undefined ? null : flag === '1', mayChooseContext };
}

function labelOf(selinux: Selinux | null, path: string): Context | null {
  return selinux === null ? null : attempt(() => selinux.getfilecon(path));
}

function kvmStatus(selinux: Selinux | null): HostStatus['kvm'] {
  const exists = attempt(() => statSync(KVM_NODE).isCharacterDevice()) === true;
  let error: string | null = null;
  try {
    // Opening is the only true answer: access(2) knows nothing of the device's own refusals.
    closeSync(openSync(KVM_NODE, constants.O_RDWR));
  } catch (failure) {
    error = (failure as NodeJS.ErrnoException).code ?? String(failure);
  }
  return {
    node: KVM_NODE,
    exists,
    context: exists ? labelOf(selinux, KVM_NODE) : null,
    accessible: error === null,
    error,
  };
}

function isScript(path: string): boolean {
  const fd = attempt(() => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  if (fd === null) return false;
  const start = Buffer.alloc(2);
  const length = attempt(() => readSync(fd, start, 0, 2, 0));
  closeSync(fd);
  return length === 2 && start.toString('latin1') === '#!';
}

function findEmulators(selinux: Selinux | null): EmulatorStatus[] {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/libexec'].filter((directory) =>
    directory.startsWith('/'),
  );
  const found = new Map<string, EmulatorStatus>();
  for (const path of EMULATORS.flatMap((name) => directories.map((directory) => join(directory, name)))) {
    if (attempt(() => accessSync(path, constants.X_OK)) === null || attempt(() => statSync(path).isFile()) !== true)
      continue;
    const realPath = attempt(() => realpathSync(path)) ?? path;
    // /bin is often a link to /usr/bin: the same program once.
    if (found.has(realPath)) continue;
    found.set(realPath, { path, realPath, context: labelOf(selinux, realPath), script: isScript(realPath) });
  }
  return [...found.values()];
}

async function moduleStatus(signal: AbortSignal | undefined): Promise<HostStatus['module']> {
  try {
    const module = shippedModule();
    const effective = await effectiveModule(module.name, signal === undefined ? {} : { signal });
    return {
      installed: effective?.enabled === true,
      current: effective === undefined ? null : isCurrent(module, [effective]),
      error: null,
    };
  } catch (error) {
    if (signal?.aborted) throw error;
    return { installed: null, current: null, error: (error as Error).message };
  }
}

function whySelinuxIsOff(): Problem {
  const problem = {
    id: 'selinux-disabled',
    severity: 'error' as const,
    message: 'SELinux is not enabled in this kernel',
  };
  const active = text('/sys/kernel/security/lsm')?.trim().split(',') ?? [];
  if (active.includes('selinux')) {
    return {
      ...problem,
      message: 'SELinux is in this kernel, but this process does not see it',
      remedy:
        'In a container mount selinuxfs on /sys/fs/selinux; elsewhere install a policy, and look at /etc/selinux/config.',
    };
  }
  if (/^# CONFIG_SECURITY_SELINUX is not set$/m.test(text(`/boot/config-${release()}`) ?? '')) {
    return {
      ...problem,
      message: 'This kernel was built without SELinux',
      remedy: 'Boot a kernel with CONFIG_SECURITY_SELINUX=y.',
    };
  }
  return {
    ...problem,
    remedy:
      'Debian, Ubuntu: install selinux-basics and selinux-policy-default, run selinux-activate, reboot. ' +
      'Elsewhere: boot with security=selinux selinux=1, and SELINUX=enforcing in /etc/selinux/config.',
  };
}

function findProblems(status: Omit<HostStatus, 'ready' | 'problems'>): Problem[] {
  const { addon, selinux, vmClass, module, process: self, kvm, emulators } = status;
  const problems: Problem[] = [];
  const add = (severity: Problem['severity'], id: string, message: string, remedy: string) =>
    problems.push({ id, severity, message, remedy });

  if (!addon.loaded) {
    add(
      'error',
      'addon',
      `The native addon does not load: ${addon.error}`,
      "Build it for this machine: 'npm rebuild vm-entrypoint'.",
    );
  } else if (!selinux.library) {
    add(
      'error',
      'library',
      'libselinux.so.1 is missing or too old',
      'Debian, Ubuntu: install libselinux1. Fedora: libselinux.',
    );
  } else if (!selinux.enabled) {
    problems.push(whySelinuxIsOff());
  }
  if (selinux.enabled && selinux.enforcing === false) {
    add(
      'warning',
      'permissive',
      'SELinux is permissive: nothing is refused',
      "'setenforce 1', and SELINUX=enforcing in /etc/selinux/config.",
    );
  }
  if (vmClass !== null && vmClass.present.length === 0) {
    const remedy =
      module.installed === true
        ? "The module is installed but not loaded: 'semodule -R' as root."
        : "'vm-entrypoint policy install' as root.";
    add('error', 'class', "The loaded policy has no class 'vm'", remedy);
  } else if (vmClass !== null && vmClass.missing.length > 0) {
    const missing = vmClass.missing.join(' ');
    add(
      'error',
      'permissions',
      `The loaded class 'vm' lacks { ${missing} }`,
      "It is of an older version: 'vm-entrypoint policy install' as root.",
    );
  } else if (module.installed === true && module.current === false) {
    add(
      'warning',
      'module',
      'The installed module is not the one that ships with this version',
      "'vm-entrypoint policy install' as root.",
    );
  }
  if (self.mayChooseContext === false) {
    add(
      selinux.enforcing === false ? 'warning' : 'error',
      'setexec',
      'This process may not choose the context of what it execs (process:setexec)',
      'Run the launcher in a domain declared by the macro vm_entrypoint.launcher.',
    );
  }
  if (self.noNewPrivileges === true) {
    add(
      'warning',
      'no-new-privileges',
      'This process has no_new_privs: it reaches another domain only with process2:nnp_transition',
      'Grant it with the macro vm_entrypoint.launch_restricted, or remove NoNewPrivileges= from the service.',
    );
  }
  if (!kvm.exists) {
    add(
      'warning',
      'kvm',
      'There is no /dev/kvm: VMs run by translation, slowly',
      'Load kvm-intel or kvm-amd; switch virtualization on in the firmware.',
    );
  }
  if (
    selinux.enabled &&
    kvm.exists &&
    kvm.context !== null &&
    !/:(kvm_device_t|svirt_[a-z_]+)(:|$)/.test(kvm.context)
  ) {
    add(
      'warning',
      'kvm-label',
      `/dev/kvm has the label ${kvm.context}`,
      "'restorecon /dev/kvm' as root; VM domains may use kvm_device_t only.",
    );
  }
  if (emulators.length === 0) {
    add(
      'warning',
      'emulator',
      'No known emulator is on PATH',
      'Debian, Ubuntu: install qemu-system-x86. Any other program can be named by its path.',
    );
  }
  for (const { path, script } of emulators) {
    if (!script) continue;
    add(
      'warning',
      'emulator-script',
      `${path} is a script`,
      'Launch the program it calls: the kernel would judge the label of the script.',
    );
  }
  return problems;
}

/**
 * Collects the state of this host. Reads only.
 *
 * @throws `AbortError` when the signal fires; everything else that fails is part of the answer
 */
export async function hostStatus({ signal }: { signal?: AbortSignal } = {}): Promise<HostStatus> {
  let selinux: Selinux | null = null;
  let addon: HostStatus['addon'] = { loaded: true, error: null };
  try {
    selinux = await import('./selinux.js');
  } catch (error) {
    addon = { loaded: false, error: (error as Error).message };
  }
  const state = selinuxStatus(selinux);
  const found = {
    addon,
    selinux: state,
    vmClass: selinux !== null && state.enabled ? vmClassOf(selinux) : null,
    module: await moduleStatus(signal),
    process: processStatus(selinux, state.enabled),
    kvm: kvmStatus(selinux),
    emulators: findEmulators(selinux),
  };
  const problems = findProblems(found);
  return { ready: !problems.some(({ severity }) => severity === 'error'), ...found, problems };
}
