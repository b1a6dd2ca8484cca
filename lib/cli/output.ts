// Where the command line writes: text for people, JSON for programs, and nothing that could drive a terminal.
import { styleText } from 'node:util';

/** Exit statuses of every subcommand; `launch` passes on the VM's own once it runs. */
export const EXIT = { done: 0, denied: 1, usage: 2, failed: 3 } as const;
export type ExitStatus = number;

/** The width to lay text out for. A pipe gets the same layout as a terminal of 80 columns. */
export function columns(): number {
  // A terminal that has not been told its size says 0.
  return Math.max(40, process.stdout.columns || 80);
}

type Format = Parameters<typeof styleText>[0];

/** Styles a text for standard output, only on a terminal and unless the user asked for none (https://no-color.org). */
export function style(format: Format, text: string): string {
  const wanted = process.stdout.isTTY && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  return wanted ? styleText(format, text) : text;
}

/** Writes lines to standard output. */
export function print(...lines: string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** Writes lines to standard error. */
export function complain(...lines: string[]): void {
  process.stderr.write(`${lines.join('\n')}\n`);
}

/**
 * A reader that goes away (`| head`) ends the output, not the command: its verdict is still the exit
 * status. Any other failure to write means that the answer did not arrive.
 */
export function guardOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') return;
      process.exitCode = EXIT.failed;
      if (stream !== process.stderr) complain(`vm-entrypoint: cannot write the output: ${error.message}`);
    });
  }
}
