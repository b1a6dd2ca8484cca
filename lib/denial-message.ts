// A decision in words: the one line of an error, and the lines of an explanation. In the order of an
// AVC record, so that what is known from the audit log can be searched for.
import type { Check, Context, Decision } from '../types/public.js';
import { printable } from './printable.js';

/**
 * One denial as the audit log writes it:
 * `denied { entrypoint } scontext=… tcontext=… tclass=vm`, with ` permissive=1` where it is not enforced.
 *
 * For the question which domain the VM gets, and for contexts that the policy does not know, what is
 * said instead is what happened. One line whatever the contexts are: a caller may hand in any text as one.
 */
export function denialText(check: Check): string {
  return printable(wordsFor(check));
}

function wordsFor(check: Check): string {
  const contexts = `scontext=${check.source} tcontext=${check.target} tclass=${check.objectClass}`;
  if (check.invalidContext !== null) return `context ${check.invalidContext} unknown to the policy ${contexts}`;
  if (check.question === 'vm-domain') return `no ${check.requested.join(' ')} to a VM domain ${contexts}`;
  return `denied { ${check.denied.join(' ')} } ${contexts}${check.permissive ? ' permissive=1' : ''}`;
}

/** The checks that refuse the start: denied and enforced. The reason that has to be dealt with first comes first. */
export function refusingChecks(decision: Decision): Check[] {
  const rank = (check: Check): number => (check.invalidContext !== null ? 0 : check.question === 'vm-domain' ? 1 : 2);
  return decision.checks
    .filter((check) => check.denied.length > 0 && !check.permissive)
    .sort((a, b) => rank(a) - rank(b));
}

/**
 * The message of the error for a refused start: its first reason, how many more there are, and what is
 * missing.
 */
export function denialMessage(decision: Decision): string {
  const [first, ...others] = refusingChecks(decision);
  if (first === undefined) return 'the start is refused';
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  const missing = missingFor(first);
  return `${denialText(first)}${more}${missing === null ? '' : `; missing: ${missing}`}`;
}

/** The fields that a constraint compares and that differ between two contexts. */
function differences(source: Context, target: Context): string {
  const split = (context: Context): (string | undefined)[] => {
    const [user, role, , ...range] = context.split(':');
    return [user, role, range.join(':')];
  };
  const [a, b] = [split(source), split(target)];
  const names = ['user', 'role', 'level'].filter((_, i) => a[i] !== b[i]);
  return names.length === 0 ? 'user, role or level' : names.join(', ');
}

/**
 * What would have to be added to the policy for one refused check, as a CIL statement; a comment (`; …`)
 * where no statement can do it. `null` for a granted check.
 */
export function missingFor(check: Check): string | null {
  // In one line: after a line break, what follows `;` would be a statement and no comment any more.
  return check.denied.length === 0 ? null : printable(ruleFor(check));
}

function ruleFor(check: Check): string {
  if (check.invalidContext !== null) return `; the loaded policy does not know the context ${check.invalidContext}`;
  if (check.rule !== null && !check.constraint) return check.rule;
  const where = `${check.source} → ${check.target}`;
  if (check.question === 'vm-domain') {
    const refused = `no valid context comes out of ${where}: their ranges do not meet, or the user may not have it`;
    return check.rule === null ? `; the type rule is there, but ${refused}` : `${check.rule} ; and ${refused}`;
  }
  const refused = `; a constraint on the ${differences(check.source, check.target)} refuses ${where}`;
  return check.rule === null ? refused : `${check.rule} ${refused}`;
}

/** What is missing for a decision, each once, in the order of the questions. Denials in permissive mode count. */
export function missingRules(decision: Decision): string[] {
  return [...new Set(decision.checks.map(missingFor).filter((rule) => rule !== null))];
}

/** One line: what was decided. */
export function decisionSummary(decision: Decision): string {
  if (!decision.evaluated)
    return 'allowed without being evaluated: SELinux enforcement is switched off for this request';
  const domain = decision.vmContext === null ? '' : ` as ${decision.vmContext}`;
  const permissive = decision.checks.some((check) => check.denied.length > 0 && check.permissive);
  if (decision.allowed) return `allowed${domain}${permissive ? ', only because it is not enforced' : ''}`;
  const reasons = {
    denied: 'policy denies it',
    'no-transition': 'policy names no domain for this client and this disk',
    'invalid-context': 'policy does not know one of the contexts',
  };
  return `refused: ${reasons[decision.refusal ?? 'denied']}`;
}
