// Runs the stages of the tests and adds their counts up. The last line is `N passed, N failed, N skipped`; before it
// stands every failure once more, with what it said.
//
//   node test/run.mjs              every stage but the long ones
//   node test/run.mjs [STAGE…]     only these stages, in their order
//   node test/run.mjs --long …     the long ones too, and more of what takes as long as one lets it: fuzzing
//   node test/run.mjs --list       names the stages
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { add, failure, none, summary } from './runner/results.mjs';
import { stages } from './runner/stages.mjs';

const args = process.argv.slice(2);
if (args.includes('--list')) {
  for (const { name, about, long } of stages) console.log(`${name.padEnd(10)} ${about}${long ? ' (long)' : ''}`);
  process.exit(0);
}
const long = args.includes('--long');
const names = args.filter((arg) => arg !== '--long');
const unknown = names.find((arg) => !stages.some(({ name }) => name === arg));
if (unknown !== undefined) {
  console.error(`unknown stage '${unknown}'; known are ${stages.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
if (!existsSync(fileURLToPath(new URL('../node_modules', import.meta.url)))) {
  console.error('run `npm test`, which sets the machine up first');
  process.exit(3);
}

const seconds = (/** @type {number} */ since) => Math.round((Date.now() - since) / 1000);
let total = none();

/** @param {import('./runner/stages.mjs').Stage} stage */
async function runStage({ name, about, run }) {
  const started = Date.now();
  const say = (/** @type {string} */ line) => console.log(`${name}: ${line}`);
  console.log(`== ${name}: ${about}`);
  let result = await run({ say, long });
  if (result.passed === 0 && result.failed === 0) result = add(result, failure(name, 'ran no test'));
  console.log(
    `== ${name}: ${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped (${seconds(started)} s)`,
  );
  total = add(total, result);
}

const started = Date.now();
const wanted = stages.filter((stage) => (names.length === 0 ? long || !stage.long : names.includes(stage.name)));
// A guest keeps two processors busy. Where there are more, the stages that run in guests go beside those that do not,
// once the programs are built that they run.
const beside = availableParallelism() >= 4 ? wanted.filter(({ inGuest }) => inGuest) : [];
let guests = Promise.resolve();
for (const stage of wanted.filter((stage) => !beside.includes(stage))) {
  await runStage(stage);
  if (stage.name === 'native') guests = inTurn(beside.splice(0));
}
await guests;
await inTurn(beside);

/** @param {import('./runner/stages.mjs').Stage[]} list */
async function inTurn(list) {
  for (const stage of list) await runStage(stage);
}

console.log(`== all: ${seconds(started)} s`);
for (const line of summary(total)) console.log(line);
process.exitCode = total.failed === 0 ? 0 : 1;
