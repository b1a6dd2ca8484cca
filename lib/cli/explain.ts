// `vm-entrypoint explain`: the same as `check`, with every question that was asked.
import { answer } from './check.js';
import type { Command } from './command.js';
import { DECIDE_OPTIONS, START_OPTIONS } from './start-options.js';

export const command: Command = {
  name: 'explain',
  summary: 'Asks the policy as check does, and shows every question, its verdict and the missing rules',
  usage: ['--disk PATH,format=F[,boot][,readonly]... [OPTIONS]'],
  details: 'The missing rules are printed as CIL, ready for a module of your own. Exit status as for check.',
  options: { ...START_OPTIONS, ...DECIDE_OPTIONS },
  examples: [
    ['vm-entrypoint explain --disk /vm/web.qcow2,format=qcow2', 'every question for this process and this disk'],
    [
      "vm-entrypoint explain --disk /vm/web.raw,format=raw --json | jq -r '.missing[]' >> site.cil",
      'collect the missing rules for review',
    ],
  ],
  run: (input) => answer(input, true),
};
