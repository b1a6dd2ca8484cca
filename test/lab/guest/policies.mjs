// Policies that a test makes from the guest's own and loads into the kernel: in seconds, where semodule takes minutes.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const directory = mkdtempSync('/var/tmp/policies-');
const type = /^SELINUXTYPE=(\w+)$/m.exec(readFileSync('/etc/selinux/config', 'utf8'))[1];
const installed = `/etc/selinux/${type}/policy/${readdirSync(`/etc/selinux/${type}/policy`)[0]}`;
const version = /\d+$/.exec(installed)[0];
const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8' });

let base;
let made = 0;
/**
 * The installed policy with more CIL, or changed, as the bytes of a binary policy. Macros are gone in it, types and
 * attributes are there.
 */
export function compilePolicy(cil = '', change = (text) => text) {
  const path = (name) => join(directory, name);
  if (base === undefined) {
    run('checkpolicy', '-M', '-b', '-C', '-o', path('base.cil'), installed);
    base = readFileSync(path('base.cil'), 'utf8');
  }
  const name = path(`${++made}`);
  writeFileSync(`${name}.changed.cil`, change(base));
  writeFileSync(`${name}.extra.cil`, cil);
  const options = ['-M', 'true', '-c', version, '-U', 'allow', '-o', name, '-f', '/dev/null'];
  run('secilc', ...options, `${name}.changed.cil`, `${name}.extra.cil`);
  return readFileSync(name);
}

/** Loads a binary policy; without one, the installed one again. */
export function loadBinaryPolicy(policy = readFileSync(installed)) {
  // In one write, as load_policy(8) does it.
  const file = openSync('/sys/fs/selinux/load', 'w');
  try {
    const written = writeSync(file, policy);
    if (written !== policy.length) throw new Error(`the kernel took ${written} of ${policy.length} bytes`);
  } finally {
    closeSync(file);
  }
}

/** The policy without class vm, or without one of its permissions. */
export function withoutClassVm(cil, permission) {
  if (permission !== undefined)
    return cil.replaceAll(new RegExp(`^(.*\\bvm \\(.*) ?\\b${permission}\\b(.*)$`, 'gm'), '$1$2');
  return cil
    .split('\n')
    .filter((line) => !/^\(class vm |^\(default\w+ vm |\(vm \(|^\(type(transition|change) \S+ \S+ vm /.test(line))
    .map((line) => (line.startsWith('(classorder ') ? line.replace(/ vm(?=[ )])/, '') : line))
    .join('\n');
}

/**
 * CIL without one permission of the allow rules between two names (types or attributes). A rule that is not there is
 * an error: the test would change nothing.
 */
export function withoutPermission(cil, source, target, objectClass, permission) {
  let found = false;
  const changed = cil.replaceAll(
    new RegExp(`^\\(allow ${source} ${target} \\(${objectClass} \\(([^)]*)\\)\\)\\)$`, 'gm'),
    (rule, list) => {
      const permissions = list.split(' ');
      if (!permissions.includes(permission)) return rule;
      found = true;
      const rest = permissions.filter((name) => name !== permission);
      return rest.length === 0 ? '' : `(allow ${source} ${target} (${objectClass} (${rest.join(' ')})))`;
    },
  );
  if (!found) throw new Error(`no rule allows ${source} ${target} ${objectClass} { ${permission} }`);
  return changed;
}

/** A binary policy with other values of its booleans: whole policies that differ in one rule, compiled once. */
export function withBooleans(policy, values) {
  const changed = Buffer.from(policy);
  for (const [name, value] of Object.entries(values)) {
    // As the kernel's cond_read_bool() reads it: number, state, length of the name, name.
    const at = changed.indexOf(name) - 12;
    if (at < 0 || changed.readUInt32LE(at + 8) !== name.length) throw new Error(`no boolean ${name}`);
    changed.writeUInt32LE(Number(value), at + 4);
  }
  return changed;
}
