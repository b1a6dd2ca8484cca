// `vm-entrypoint policy`: shows, installs and removes the modules that ship with the package.
import { readFileSync } from 'node:fs';
import {
  BASE_MODULE,
  configuredStore,
  exampleNames,
  installModules,
  removeModules,
  type ShippedModule,
  shippedModule,
  type TransactionOptions,
} from '../policy-module.js';
import { type Command, type Input, oneOf, UsageError } from './command.js';
import { complain, EXIT, type ExitStatus, print, printJson } from './output.js';

const ACTIONS = ['show', 'install', 'remove'] as const;
const FIRST_WORD_MS = 3000;
const WORD_EVERY_MS = 15_000;

/** Runs a transaction: says on stderr that it is still going on, and that it cannot be interrupted. */
async function patiently<T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const started = Date.now();
  const tell = () =>
    complain(`${what}: semodule is rebuilding the policy (${Math.round((Date.now() - started) / 1000)} s)`);
  const onSignal = () => {
    controller.abort();
    complain(`${what}: waiting for semodule, which finishes what it has begun`);
  };
  const first = setTimeout(tell, FIRST_WORD_MS);
  const again = setInterval(tell, WORD_EVERY_MS);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(first);
    clearInterval(again);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, onSignal);
  }
}

function chosenModules(input: Input): ShippedModule[] {
  const examples = input.texts('example').map((name) => oneOf('--example', name, exampleNames()));
  return [...new Set([BASE_MODULE, ...examples])].map((name) => shippedModule(name));
}

function show(input: Input): ExitStatus {
  const modules = chosenModules(input);
  // With --example it is the example one wants to see, not what it stands on.
  const shown = modules.length > 1 ? modules.slice(1) : modules;
  if (input.json) printJson(shown.map((module) => ({ ...module, text: readFileSync(module.path, 'utf8') })));
  else if (input.flag('path')) print(...shown.map(({ path }) => path));
  else process.stdout.write(shown.map(({ path }) => readFileSync(path, 'utf8')).join('\n'));
  return EXIT.done;
}

/** Whether the store that was changed is the one the running kernel has its policy from. */
function isRunning({ store, root }: TransactionOptions): boolean {
  return root === undefined && (store === undefined || store === configuredStore());
}

async function change(action: 'install' | 'remove', input: Input, options: TransactionOptions): Promise<ExitStatus> {
  const modules = chosenModules(input);
  const names = modules.map(({ name }) => name);
  const changed = await patiently(`vm-entrypoint policy ${action}`, (signal) =>
    action === 'install'
      ? installModules(modules, { ...options, signal })
      : // What uses the class goes before what declares it.
        removeModules(names.toReversed(), { ...options, signal }),
  );

  const next: string[] = [];
  const running = isRunning(options);
  if (running && options.reload !== false) {
    const { loadedVmClass } = await import('../host-status.js');
    const vmClass = await loadedVmClass();
    if (action === 'install' && vmClass !== null && vmClass.missing.length > 0) {
      throw Object.assign(
        new Error(`the loaded policy lacks ${vmClass.missing.map((name) => `vm:${name}`).join(', ')}`),
        {
          code: 'ERR_POLICY_NOT_LOADED',
          hint: "Load the new policy: 'semodule -R'.",
        },
      );
    }
    if (vmClass === null) next.push('SELinux is not enabled in this kernel: the module takes effect when it is.');
  } else if (changed) {
    next.push(
      running
        ? "The kernel still has the old policy: 'semodule -R' loads the new one."
        : 'The running kernel was left alone.',
    );
  }
  if (action === 'install') {
    if (modules.length === 1)
      next.push('Nothing is granted yet: write a module for your site, docs/policy.md has one to begin with.');
    next.push(
      "Label the images ('semanage fcontext -a -t TYPE PATH', 'restorecon PATH'), then ask 'vm-entrypoint check'.",
    );
  }

  if (input.json) printJson({ action, changed, modules, next });
  else {
    const done = action === 'install' ? 'installed' : 'removed';
    print(
      `${names.join(', ')}: ${changed ? done : `nothing to do, ${action === 'install' ? 'already installed' : 'not installed'}`}`,
    );
    for (const line of next) print(`  ${line}`);
  }
  return EXIT.done;
}

async function run(input: Input): Promise<ExitStatus> {
  const [word] = input.positionals;
  if (word === undefined) throw new UsageError(`which of ${ACTIONS.join(', ')}?`);
  const action = oneOf('the action', word, ACTIONS);
  const wrong = (action === 'show' ? ['store', 'root', 'noreload'] : ['path']).find(
    (name) => input.text(name) !== undefined,
  );
  if (wrong !== undefined) throw new UsageError(`--${wrong} does not go with 'policy ${action}'`);
  if (action === 'show') return show(input);
  const [store, root] = [input.text('store'), input.text('root')];
  return await change(action, input, {
    ...(store !== undefined && { store }),
    ...(root !== undefined && { root }),
    reload: !input.flag('noreload'),
  });
}

export const command: Command = {
  name: 'policy',
  summary: 'Shows, installs or removes the policy module with the class vm and its macros',
  usage: [
    'show [--example NAME] [--path]',
    'install [--example NAME] [--store NAME] [--root DIR] [-n]',
    'remove [--example NAME] [--store NAME] [--root DIR] [-n]',
  ],
  details:
    'install and remove need root and semodule(8). All modules of one command are changed in one transaction, ' +
    'which takes from seconds to minutes; once begun it is finished. The base module alone grants nothing.',
  options: {
    example: {
      type: 'string',
      multiple: true,
      value: 'NAME',
      help: `also an example module: ${exampleNames().join(', ')}`,
    },
    path: { type: 'boolean', help: 'show: where the file is, instead of what it says' },
    store: { type: 'string', value: 'NAME', help: 'the policy store, such as default, mls or targeted' },
    root: { type: 'string', value: 'DIR', help: 'the root directory of an image that is being built' },
    noreload: { type: 'boolean', short: 'n', help: 'leave the policy in the kernel as it is' },
  },
  positionals: 1,
  examples: [
    ['vm-entrypoint policy show | less', 'read what would be installed'],
    ['sudo vm-entrypoint policy install', 'add the class and the macros to the policy'],
    ['sudo vm-entrypoint policy install --example three_levels', 'with a site of three levels to try things on'],
    ['sudo vm-entrypoint policy remove --example three_levels', 'remove both again'],
  ],
  run,
};
