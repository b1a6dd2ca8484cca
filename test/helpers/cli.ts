// Runs the built command line as a child process, as a user would.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const root: string = fileURLToPath(new URL('../..', import.meta.url));
export const main: string = `${root}dist/cli/main.js`;

export interface Run {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Replaces variables; `undefined` removes one. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Arguments of node itself. */
  readonly node?: readonly string[];
  /** Called with the running child and what it has written to stdout so far. */
  readonly onOutput?: (child: import('node:child_process').ChildProcess, stdout: string) => void;
  readonly cwd?: string;
  /** A program that runs node, with its own arguments. */
  readonly through?: readonly string[];
}

/** Runs `vm-entrypoint` with these arguments. */
export function cli(
  args: readonly string[],
  { env, node = [], onOutput, cwd, through = [] }: RunOptions = {},
): Promise<Run> {
  return new Promise((resolve, reject) => {
    const [program, ...rest] = [...through, process.execPath, ...node, main, ...args];
    const child = spawn(program!, rest, {
      // The test runner's own loader must not come along.
      env: { ...process.env, NODE_OPTIONS: undefined, NO_COLOR: undefined, FORCE_COLOR: undefined, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(cwd !== undefined && { cwd }),
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
      onOutput?.(child, stdout);
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
    });
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
}
