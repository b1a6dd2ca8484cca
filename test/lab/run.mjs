#!/usr/bin/env node
/** `npm run lab`: runs one command in the guest and passes its output and exit status through. */

import { constants } from 'node:os';
import { LabError } from './failure.mjs';
import { runInLab } from './lab.mjs';
import { help, parseCommandLine } from './options.mjs';
import { createProgress } from './progress.mjs';

/** @param {NodeJS.Process} process */
async function main(process) {
  const commandLine = parseCommandLine(process.argv.slice(2));
  if (commandLine.help) {
    process.stdout.write(help);
    return 0;
  }
  const interruption = new AbortController();
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.once(name, () =>
      interruption.abort(new LabError(`${name}: the guest was ended`, { status: 128 + constants.signals[name] })),
    );
  }
  const { status } = await runInLab({
    ...commandLine.run,
    collect: false,
    onStdout: (bytes) => process.stdout.write(bytes),
    onStderr: (bytes) => process.stderr.write(bytes),
    progress: createProgress(),
    signal: interruption.signal,
  });
  return status;
}

// A reader that goes away (… | head) ends the output, not the run.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
try {
  process.exitCode = await main(process);
} catch (error) {
  process.stderr.write(
    `lab: ${error instanceof LabError ? error.message : error instanceof Error ? error.stack : error}\n`,
  );
  process.exitCode = error instanceof LabError ? error.status : 125;
}
