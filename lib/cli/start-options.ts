// The options that describe a start, shared by `check`, `explain` and `launch`.
import type { BlobRequest, DiskRequest, StartRequest } from '../../types/public.js';
import { didYouMean, type Input, type OptionSpec, oneOf, UsageError } from './command.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const FORMATS = ['raw', 'qcow2'] as const;
const SWITCHES = { on: true, off: false } as const;

/** For every command that starts, or asks about starting, a VM. */
export const START_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  disk: {
    type: 'string',
    multiple: true,
    value: 'PATH,format=F[,boot][,readonly]',
    help: 'an image; F is raw or qcow2 and is never guessed. With several disks one says boot: its label chooses the domain. Write a comma in PATH twice',
  },
  client: { type: 'string', value: 'CONTEXT', help: 'on whose behalf; default: the context of this process' },
  kernel: { type: 'string', value: 'PATH', help: 'a kernel the VM boots directly' },
  initrd: { type: 'string', value: 'PATH', help: 'its initial RAM disk' },
  firmware: { type: 'string', value: 'PATH', help: 'firmware that is not part of the emulator' },
  state: { type: 'string', value: 'PATH', help: 'saved state to begin from' },
  action: {
    type: 'string',
    value: 'ACTION',
    help: 'start, restore or migrate_in; default: restore with --state, else start',
  },
  rule: { type: 'string', value: 'RULE', help: 'which rule chooses the domain: transition (default) or change' },
  selinux: {
    type: 'string',
    value: 'MODE',
    help: 'require (default) fails without SELinux; prefer asks the policy where there is one; off asks nothing',
  },
};

/** Only for deciding: what cannot be launched. */
export const DECIDE_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  'disk-context': {
    type: 'string',
    multiple: true,
    value: 'CONTEXT[,class=C][,boot][,readonly]',
    help: 'an image that need not exist: only its label; C is file (default) or blk_file',
  },
  emulator: {
    type: 'string',
    value: 'PATH',
    help: "the VMM program; adds the questions about the emulator's file",
  },
  launcher: { type: 'string', value: 'CONTEXT', help: 'who would exec; default: the context of this process' },
};

function setSwitch(
  disk: { boot?: boolean; readOnly?: boolean },
  option: string,
  key: string,
  value: string | undefined,
): void {
  const on = SWITCHES[oneOf(`${option}: ${key}`, value ?? 'on', ['on', 'off'])];
  if (key === 'boot') disk.boot = on;
  else disk.readOnly = on;
}

/** Parses `PATH,format=F[,boot][,readonly]`, with QEMU's rule for commas. */
export function parseDisk(text: string): DiskRequest {
  // A doubled comma stands for itself. No argument of a process can hold a NUL, so it can mark the place.
  const parts = text.replaceAll(',,', '\0').split(',');
  const [path = '', ...words] = parts.map((part) => part.replaceAll('\0', ','));
  if (path === '') throw new UsageError(`--disk '${text}': the path comes first`);
  const disk: { path: string; format?: DiskRequest['format']; boot?: boolean; readOnly?: boolean } = { path };
  for (const word of words) {
    const [key = '', value] = word.split('=', 2);
    if (key === 'format' && value !== undefined) disk.format = oneOf('--disk: format', value, FORMATS);
    else if (key === 'boot' || key === 'readonly') setSwitch(disk, '--disk', key, value);
    else {
      const near = didYouMean(key, ['format', 'boot', 'readonly']);
      throw new UsageError(
        `--disk '${text}': unknown part '${word}'${near}${near ? '' : "; a comma in the path is written ',,'"}`,
      );
    }
  }
  const { format } = disk;
  if (format === undefined) {
    throw new UsageError(
      `--disk '${path}': format=raw or format=qcow2 is missing; it is never guessed, since a guest can write any header`,
    );
  }
  return { ...disk, format };
}

/** Parses `CONTEXT[,class=C][,boot][,readonly]`; the commas between categories belong to the context. */
export function parseDiskContext(text: string): DiskRequest {
  const parts = text.split(',');
  const first = parts.findIndex((part, i) => i > 0 && !/^c\d+(\.c\d+)?(-s\d+.*)?$/.test(part));
  const context = parts.slice(0, first === -1 ? undefined : first).join(',');
  const disk: { context: string; objectClass?: 'file' | 'blk_file'; boot?: boolean; readOnly?: boolean } = { context };
  for (const word of first === -1 ? [] : parts.slice(first)) {
    const [key = '', value] = word.split('=', 2);
    if (key === 'class' && value !== undefined)
      disk.objectClass = oneOf('--disk-context: class', value, ['file', 'blk_file']);
    else if (key === 'boot' || key === 'readonly') setSwitch(disk, '--disk-context', key, value);
    else
      throw new UsageError(
        `--disk-context '${text}': unknown part '${word}'${didYouMean(key, ['class', 'boot', 'readonly'])}`,
      );
  }
  // Nothing is opened, so no header is read: the format plays no part.
  return { ...disk, format: 'raw' };
}

/** Builds the request from the parsed options. What it means is checked by the library. */
export function startRequest(input: Input): StartRequest {
  const disks = [...input.texts('disk').map(parseDisk), ...input.texts('disk-context').map(parseDiskContext)];
  if (disks.length === 0 && input.text('kernel') === undefined) {
    throw new UsageError('no disk: --disk PATH,format=F names one');
  }
  if (disks.length > 1 && !disks.some(({ boot }) => boot)) {
    throw new UsageError('with several disks one must say boot: its label chooses the domain of the VM');
  }
  const request: Mutable<StartRequest> = { disks };
  for (const role of ['kernel', 'initrd', 'firmware', 'state'] as const) {
    const path = input.text(role);
    if (path !== undefined) request[role] = { path } satisfies BlobRequest;
  }
  const [client, launcher, emulator] = ['client', 'launcher', 'emulator'].map((name) => input.text(name));
  const [action, rule, selinux] = ['action', 'rule', 'selinux'].map((name) => input.text(name));
  if (client !== undefined) request.client = client;
  if (launcher !== undefined) request.launcher = launcher;
  if (emulator !== undefined) request.emulator = { path: emulator };
  if (action !== undefined) request.action = oneOf('--action', action, ['start', 'restore', 'migrate_in']);
  else if (request.state !== undefined) request.action = 'restore';
  if (rule !== undefined) request.rule = oneOf('--rule', rule, ['transition', 'change']);
  if (selinux !== undefined) request.selinux = oneOf('--selinux', selinux, ['require', 'prefer', 'off']);
  return request;
}
