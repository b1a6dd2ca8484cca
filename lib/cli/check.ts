// `vm-entrypoint check`: may this VM start, and in which domain.
import { decide } from '../decide.js';
import { denialMessage, missingRules } from '../denial-message.js';
import { printable } from '../printable.js';
import type { Command, Input } from './command.js';
import { printDecision } from './decision-text.js';
import { complain, EXIT, type ExitStatus, printJson } from './output.js';
import { DECIDE_OPTIONS, START_OPTIONS, startRequest } from './start-options.js';

/** Asks the policy and prints its answer: for `check` and `explain`. */
export async function answer(input: Input, everything: boolean): Promise<ExitStatus> {
  const decision = decide(startRequest(input));
  if (input.json) printJson(everything ? { ...decision, missing: missingRules(decision) } : decision);
  else printDecision(decision, everything);
  if (decision.allowed) return EXIT.done;
  complain(`vm-entrypoint ${input.command.name}: ERR_SELINUX_DENIED: ${printable(denialMessage(decision))}`);
  return EXIT.denied;
}

export const command: Command = {
  name: 'check',
  summary: 'Asks the policy whether this VM may start, and in which domain; starts nothing',
  usage: ['--disk PATH,format=F[,boot][,readonly]... [OPTIONS]'],
  details:
    'Exit status: 0 allowed, 1 denied, 2 wrong usage, 3 could not be evaluated. In permissive mode the ' +
    'answer is "allowed", and what would have been denied is listed all the same.',
  options: { ...START_OPTIONS, ...DECIDE_OPTIONS },
  examples: [
    ['vm-entrypoint check --disk /vm/web.qcow2,format=qcow2', 'may this process start a VM from this disk'],
    [
      'vm-entrypoint check --client user_u:user_r:user_t:s0 --emulator /usr/bin/qemu-system-x86_64 --disk /vm/web.raw,format=raw',
      "and in the name of a client, with the questions about the emulator's file",
    ],
    ['vm-entrypoint check --disk-context system_u:object_r:web_disk_t:s0 --json', 'a label instead of an image'],
  ],
  run: (input) => answer(input, false),
};
