// `vm-entrypoint status`: the state of this host as a table, and what to do about each problem.
import { type HostStatus, hostStatus } from '../host-status.js';
import { printable } from '../printable.js';
import type { Command, Input } from './command.js';
import { complain, EXIT, type ExitStatus, print, printJson, style } from './output.js';
import { table, wrap } from './table.js';

type Row = readonly [mark: string, what: string, state: string];

// Which line of the table a problem belongs to.
const LINES: Readonly<Record<string, string>> = {
  addon: 'addon',
  library: 'SELinux',
  'selinux-disabled': 'SELinux',
  permissive: 'SELinux',
  class: 'class vm',
  permissions: 'class vm',
  module: 'module',
  setexec: 'this process',
  'no-new-privileges': 'this process',
  kvm: '/dev/kvm',
  'kvm-label': '/dev/kvm',
  emulator: 'emulators',
  'emulator-script': 'emulators',
};

function selinuxText({
  library,
  enabled,
  enforcing,
  mls,
  unknownClasses,
  policyType,
  policyVersion,
}: HostStatus['selinux']): string {
  if (!library) return 'libselinux is missing';
  if (!enabled) return 'not enabled';
  return [
    enforcing === null ? 'mode unknown' : enforcing ? 'enforcing' : 'permissive',
    `policy ${policyType ?? 'of unknown type'}, version ${policyVersion ?? 'unknown'}`,
    mls === true ? 'with levels' : 'without levels',
    `unknown classes ${unknownClasses ?? 'unknown'}`,
  ].join(', ');
}

function moduleText({ installed, current, error }: HostStatus['module']): string {
  if (installed === null) return `not known: ${error}`;
  if (!installed) return 'not installed';
  return current === null
    ? 'installed, contents not compared'
    : current
      ? 'installed, as shipped'
      : 'installed, differs from the shipped one';
}

function rows(status: HostStatus): Row[] {
  const { addon, selinux, vmClass, module, process: self, kvm, emulators, problems } = status;
  const unknown = new Set<string>();
  const lines: [what: string, state: string][] = [
    ['addon', addon.loaded ? 'loaded' : 'does not load'],
    ['SELinux', addon.loaded ? selinuxText(selinux) : 'not known without the addon'],
    [
      'class vm',
      vmClass === null
        ? 'not known without SELinux'
        : `${vmClass.present.length} of ${vmClass.present.length + vmClass.missing.length} permissions`,
    ],
    ['module', moduleText(module)],
    ['this process', [self.context ?? 'context unknown', ...(self.noNewPrivileges ? ['no_new_privs'] : [])].join(', ')],
    [
      kvm.node,
      kvm.exists
        ? `${kvm.accessible ? 'this process may open it' : `this process may not open it (${kvm.error})`}${kvm.context ? `, ${kvm.context}` : ''}`
        : 'missing',
    ],
    ...(emulators.length === 0 ? ([['emulators', 'none found']] as [string, string][]) : []),
    ...emulators.map(({ path, realPath, context, script }, i): [string, string] => [
      i === 0 ? 'emulators' : '',
      [
        path === realPath ? path : `${path} -> ${realPath}`,
        ...(script ? ['script'] : []),
        ...(context ? [context] : []),
      ].join(', '),
    ]),
  ];
  if (!addon.loaded) unknown.add('SELinux');
  if (vmClass === null) unknown.add('class vm');
  // The class may also have come with another module, or with the base policy.
  if (module.installed !== true) unknown.add('module');
  if (self.context === null) unknown.add('this process');
  return lines.map(([what, state]) => {
    const worst = problems.filter(({ id }) => LINES[id] === what).map(({ severity }) => severity);
    const mark = worst.includes('error') ? 'no' : worst.length > 0 ? '!' : unknown.has(what) ? '?' : 'ok';
    return [what === '' ? '' : mark, what, state];
  });
}

function paint(column: number, text: string): string {
  if (column !== 0) return text;
  return text === 'ok' ? style('green', text) : text === 'no' ? style('red', text) : style('yellow', text);
}

function printStatus(status: HostStatus): void {
  print(...table(null, rows(status), { paint }));
  if (status.problems.length > 0) print('', style('bold', 'What to do'));
  for (const { severity, message, remedy } of status.problems) {
    const colour = severity === 'error' ? 'red' : 'yellow';
    print(`  ${style(colour, severity === 'error' ? 'no' : '! ')} ${printable(message)}`);
    print(...wrap(remedy, 72).map((line) => `       ${line}`));
  }
  print('', status.ready ? 'A launch can work here.' : 'No launch can work here.');
}

async function run(input: Input): Promise<ExitStatus> {
  const status = await hostStatus();
  if (input.json) printJson(status);
  else printStatus(status);
  if (status.ready) return EXIT.done;
  const [first] = status.problems.filter(({ severity }) => severity === 'error');
  complain(`vm-entrypoint status: ${printable(first?.message ?? 'not ready')}`);
  return EXIT.failed;
}

export const command: Command = {
  name: 'status',
  summary: 'Shows what this host has for starting VMs under the policy, what it lacks, and what to do about it',
  usage: ['[--json]'],
  details:
    'Marks: ok, ! (works, but look at it), no (no launch can work), ? (cannot be told here; try as root). ' +
    'Exit status: 0 when a launch could work, 3 otherwise. Changes nothing.',
  options: {},
  examples: [
    ['vm-entrypoint status', 'the first thing to run on a new host'],
    ["vm-entrypoint status --json | jq -r '.problems[].remedy'", 'only what is to be done'],
  ],
  run,
};
