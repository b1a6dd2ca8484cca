// How an error reaches the user: one line, a hint what to do, and the same as JSON.
import { inspect } from 'node:util';
import { printable } from '../printable.js';
import { UsageError } from './command.js';
import { complain, EXIT, type ExitStatus, printJson } from './output.js';

const HINTS: readonly (readonly [code: string, hint: string])[] = [
  ['ERR_USAGE', "'vm-entrypoint COMMAND --help' shows the options."],
  ['ERR_SELINUX_LIBRARY', 'Install libselinux (Debian, Ubuntu: libselinux1; Fedora: libselinux).'],
  ['ERR_SELINUX_DISABLED', "SELinux is not enabled in this kernel; 'vm-entrypoint status' says what is missing."],
  ['ERR_SELINUX_CLASS_UNKNOWN', "The loaded policy has no class 'vm': run 'vm-entrypoint policy install' as root."],
  [
    'ERR_SELINUX_PERMISSION_UNKNOWN',
    "The loaded class 'vm' is older than this program: run 'vm-entrypoint policy install' as root.",
  ],
  ['ERR_SELINUX_CONTEXT_INVALID', "The loaded policy does not accept this context: look its type up with 'seinfo -t'."],
  ['ERR_SELINUX_DENIED', "'vm-entrypoint explain' with the same options lists every question and the missing rules."],
  ['ERR_SELINUX_POLICY_CHANGED', 'The policy was being reloaded: try again.'],
  ['ERR_DISK_UNLABELED', "Give the image a label: 'semanage fcontext -a -t TYPE PATH', then 'restorecon PATH'."],
  [
    'ERR_DISK_FORMAT_MISMATCH',
    "The image does not have the declared format: correct 'format=', after finding out who wrote it.",
  ],
  ['ERR_DISK_BACKING_CHAIN', "'qemu-img info --backing-chain PATH' shows the chain."],
  ['ERR_DISK_CHANGED', 'The image was replaced or relabelled during the start: find out by whom.'],
  ['ERR_LAUNCH_DESCRIPTORS', 'The kernel took descriptors away from the VM: ausearch -m AVC says which.'],
  ['ERR_DLOPEN_FAILED', "The native addon does not load here: 'npm rebuild vm-entrypoint' builds it for this machine."],
  ['ERR_ACCESS_DENIED', 'Node runs with --permission: allow addons and child processes.'],
];

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : 'ERR_UNEXPECTED';
}

/** The error as `--json` prints it below the key `error`. */
export function describe(error: unknown): Record<string, unknown> {
  const { name, message, errno, syscall, path, decision, output, hint } = (
    error instanceof Error ? error : new Error(inspect(error))
  ) as Error & Record<string, unknown>;
  const known = hint ?? HINTS.find(([code]) => codeOf(error).startsWith(code))?.[1];
  // `undefined` members are left out by JSON.stringify.
  return { code: codeOf(error), name, message, errno, syscall, path, hint: known, output, decision };
}

/** Reports an error and returns the exit status that belongs to it. */
export function report(where: string, error: unknown, json: boolean): ExitStatus {
  const description = describe(error);
  const { code, hint } = description as { code: string; hint?: string };
  const message = String(description.message);
  if (json) printJson({ error: description });
  complain(`${where}: ${printable(message.startsWith(code) ? message : `${code}: ${message}`)}`);
  // What another program wrote, such as semodule.
  for (const line of Array.isArray(description.output) ? description.output : [])
    complain(`  | ${printable(String(line))}`);
  if (hint !== undefined) complain(`  ${printable(hint)}`);
  // A bug is worth its stack; everything else was meant for the user.
  if (code === 'ERR_UNEXPECTED' && error instanceof Error)
    complain(printable(error.stack ?? '').replaceAll('\\x0a', '\n'));

  if (error instanceof UsageError || /^ERR_(INVALID_ARG|OUT_OF_RANGE)/.test(code)) return EXIT.usage;
  return code === 'ERR_SELINUX_DENIED' ? EXIT.denied : EXIT.failed;
}
