// A decision as people read it: the verdict, the questions by type, the full contexts, the missing rules.
import type { Check, Decision } from '../../types/public.js';
import { decisionSummary, missingRules } from '../denial-message.js';
import { printable } from '../printable.js';
import { print, style } from './output.js';
import { table } from './table.js';

const QUESTIONS: Readonly<Record<Check['question'], string>> = {
  'read-disk': 'client opens',
  'vm-domain': 'VM domain from',
  entrypoint: 'starts the VM',
  start: 'client starts',
  exec: 'launcher execs',
  inherit: 'VM inherits',
};

function typeOf(context: string): string {
  return context.split(':')[2] ?? context;
}

function verdict(check: Check): string {
  if (check.denied.length === 0 && check.invalidContext === null) return 'allowed';
  return check.permissive ? 'permissive' : 'DENIED';
}

/** Whether the check would refuse the start if everything were enforced. */
function failed(check: Check): boolean {
  return verdict(check) !== 'allowed';
}

function paintVerdict(column: number, text: string): string {
  if (column !== 0) return text;
  if (text === 'allowed') return style('green', text);
  return text === 'permissive' ? style('yellow', text) : style('red', text);
}

// Types instead of whole contexts, which would not fit and of which mostly the type matters.
function rights(check: Check): string {
  const denied = new Set(check.denied);
  const granted = check.requested.filter((permission) => !denied.has(permission));
  return [
    `${typeOf(check.source)} -> ${typeOf(check.target)} : ${check.objectClass}`,
    denied.size > 0 ? `denied { ${check.denied.join(' ')} }` : '',
    granted.length > 0 ? `granted { ${granted.join(' ')} }` : '',
    check.constraint ? '(a constraint refuses it: compare level, role and user)' : '',
    check.invalidContext === null ? '' : `(not valid: ${check.invalidContext})`,
    failed(check) && !check.auditable ? '(not in the audit log: dontaudit)' : '',
  ]
    .filter((part) => part !== '')
    .join(' ');
}

/** Prints the decision; with `everything`, also the questions that were answered with yes. */
export function printDecision(decision: Decision, everything: boolean): void {
  const colour = !decision.allowed ? 'red' : decision.evaluated && !decision.checks.some(failed) ? 'green' : 'yellow';
  print(style(['bold', colour], printable(decisionSummary({ ...decision, vmContext: null }))));
  if (decision.vmContext !== null) print(`VM context: ${printable(decision.vmContext)}`);
  if (everything && decision.evaluated)
    print(`Policy: ${decision.enforcing ? 'enforcing' : 'permissive'}, sequence ${decision.policySequence}`);

  const checks = everything ? decision.checks : decision.checks.filter(failed);
  if (checks.length > 0) {
    const rows = checks.map((check) => [verdict(check), QUESTIONS[check.question], check.subject, rights(check)]);
    print('', ...table(null, rows, { paint: paintVerdict, stacked: true }));

    const contexts = [...new Set(checks.flatMap(({ source, target }) => [source, target]))];
    print('', style('bold', 'Contexts'), ...contexts.map((context) => `  ${printable(context)}`));
  }
  const missing = missingRules(decision);
  if (missing.length > 0) print('', style('bold', 'Missing (CIL)'), ...missing.map((rule) => `  ${printable(rule)}`));
}
