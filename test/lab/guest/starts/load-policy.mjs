// More rules in the running kernel, without semodule's minutes: the policy that is loaded, taken apart and put together
// again with them.
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8' });
const directory = mkdtempSync('/var/tmp/load-policy-');
const path = (name) => join(directory, name);

/** Loads the installed policy and these CIL statements. Macros are gone by then: only rules. `load_policy` undoes it. */
export function loadWith(rules) {
  if (!existsSync(path('base.cil'))) {
    run('checkpolicy', '-M', '-b', '-C', '-o', path('base.cil'), '/etc/selinux/default/policy/policy.33');
  }
  writeFileSync(path('more.cil'), rules.join('\n'));
  const options = ['-M', 'true', '-c', '33', '-U', 'allow', '-o', path('policy.33'), '-f', '/dev/null'];
  run('secilc', ...options, path('base.cil'), path('more.cil'));
  // In one write, as load_policy(8) does it.
  const policy = readFileSync(path('policy.33'));
  const file = openSync('/sys/fs/selinux/load', 'w');
  const written = writeSync(file, policy);
  closeSync(file);
  if (written !== policy.length) throw new Error(`${written} of ${policy.length} bytes of policy were loaded`);
}

export const unload = () => run('load_policy');
