// Runs a function of a test in another context: the manager's, or a client's.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const tools = fileURLToPath(new URL('./tools.mjs', import.meta.url));
const EVERY_CATEGORY = 's0-s0:c0.c1023';

/** The context of a program in this domain, of the user and role of this guest's administrator. */
export const contextOf = (type, range = EVERY_CATEGORY) => `unconfined_u:unconfined_r:${type}:${range}`;

/**
 * Calls `work(tools, argument)` in a process of its own in that context and gives its result. Only text goes there and
 * back: the function sees nothing of the file that it is written in, and argument and result are JSON.
 */
export function inContext(context, work, argument = null) {
  const script = `
    import * as tools from '${tools}';
    const result = await (${work})(tools, ${JSON.stringify(argument)});
    console.log(JSON.stringify(result ?? null));`;
  const { status, signal, stdout, stderr } = spawnSync(
    'runcon',
    [context, process.execPath, '--input-type=module', '-e', script],
    { cwd: '/project', encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 150_000, killSignal: 'SIGKILL' },
  );
  if (status !== 0) throw new Error(`as ${context}: ${signal ?? status}\n${stdout}${stderr}`);
  return JSON.parse(stdout);
}

export const manager = contextOf('vm_manager_t');
