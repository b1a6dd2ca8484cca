// What test programs print, as counts and failures. Nothing that ran may vanish: a program that ended badly, or that
// said nothing, is a failure.

/**
 * @typedef {{ name: string, detail: string }} Failure
 * @typedef {{ passed: number, failed: number, skipped: number, failures: Failure[], skips: string[] }} Results
 */

const DETAIL_LINES = 40;
const SUMMARY_DETAIL_LINES = 12;

/** @returns {Results} */
export const none = () => ({ passed: 0, failed: 0, skipped: 0, failures: [], skips: [] });

/** @returns {Results} */
export const passed = () => ({ ...none(), passed: 1 });

/** One failure. @param {string} name @param {string} detail @returns {Results} */
export const failure = (name, detail) => ({ ...none(), failed: 1, failures: [{ name, detail }] });

/** @param {Results} a @param {Results} b @returns {Results} */
export function add(a, b) {
  return {
    passed: a.passed + b.passed,
    failed: a.failed + b.failed,
    skipped: a.skipped + b.skipped,
    failures: [...a.failures, ...b.failures],
    skips: [...a.skips, ...b.skips],
  };
}

/** The end of a text, where errors are. @param {string} text @param {number} lines */
export function lastLines(text, lines = DETAIL_LINES) {
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}

/** @param {string} name @param {string} text @param {number | string} status */
function crashed(name, text, status) {
  return failure(name, `ended with ${status}\n${lastLines(text)}`);
}

/**
 * TAP as tap and node:test write it. Points that failed only because one inside of them did are left out.
 *
 * @param {string} text
 * @returns {{ failures: Failure[], skips: string[] }}
 */
export function tapFailures(text) {
  const lines = text.split('\n');
  /** @type {Failure[]} */
  const failures = [];
  /** @type {string[]} */
  const skips = [];
  /** Depths at which a point failed inside of the one that has not ended yet. @type {Set<number>} */
  const failedBelow = new Set();
  for (let i = 0; i < lines.length; i++) {
    const point = /^( *)(not ok|ok) \d+(?: - (.*))?$/.exec(lines[i].trimEnd());
    if (!point) continue;
    const depth = point[1].length;
    const name = (point[3] ?? '').replace(/ # time=.*$/, '');
    const deeper = [...failedBelow].filter((other) => other > depth);
    for (const other of deeper) failedBelow.delete(other);
    if (/# SKIP\b/i.test(name)) skips.push(name);
    if (point[2] === 'ok' || /# TODO\b/i.test(name)) continue;
    failedBelow.add(depth);
    if (deeper.length > 0) continue;
    const detail = [];
    if (/^ *---$/.test(lines[i + 1] ?? '')) {
      for (let j = i + 2; j < lines.length && !/^ *\.\.\.$/.test(lines[j]); j++) detail.push(lines[j]);
    }
    failures.push({ name, detail: detail.slice(0, DETAIL_LINES).join('\n') });
  }
  return { failures, skips };
}

/**
 * Counts, with a failure for whatever the counts do not explain.
 *
 * @param {string} name
 * @param {{ passed: number, failed: number, skipped: number }} counts
 * @param {{ failures: Failure[], skips: string[] }} found
 * @param {string} text
 * @param {number | string} status
 * @returns {Results}
 */
function checked(name, counts, found, text, status) {
  const results = { ...none(), ...counts, ...found };
  if (counts.failed > 0 && found.failures.length === 0) {
    results.failures.push({ name, detail: lastLines(text) });
  }
  if (counts.failed === 0 && found.failures.length > 0) results.failed = found.failures.length;
  if (results.failed === 0 && status !== 0) return add(results, crashed(name, text, status));
  if (results.failed === 0 && results.passed === 0) return add(results, failure(name, 'ran no test'));
  results.failures = results.failures.map((one) => ({ ...one, name: `${name}: ${one.name}` }));
  return results;
}

/** The TAP of `tap --reporter=tap`. @param {string} name @param {string} text @param {number | string} status */
export function tapResults(name, text, status) {
  const footer = [...text.matchAll(/^# \{ (.*?) \}$/gm)].at(-1)?.[1];
  if (footer === undefined) return crashed(name, text, status);
  const count = (/** @type {string} */ key) => Number(new RegExp(`\\b${key}: (\\d+)`).exec(footer)?.[1] ?? 0);
  const counts = { passed: count('pass'), failed: count('fail'), skipped: count('skip') };
  return checked(name, counts, tapFailures(text), text, status);
}

/** The TAP of `node --test-reporter=tap`. @param {string} name @param {string} text @param {number | string} status */
export function nodeTestResults(name, text, status) {
  const count = (/** @type {string} */ key) =>
    Number([...text.matchAll(new RegExp(`^# ${key} (\\d+)\\r?$`, 'gm'))].at(-1)?.[1] ?? Number.NaN);
  const counts = { passed: count('pass'), failed: count('fail') + count('cancelled'), skipped: count('skipped') };
  if (Object.values(counts).some(Number.isNaN)) return crashed(name, text, status);
  return checked(name, counts, tapFailures(text), text, status);
}

/** What a doctest program prints. @param {string} name @param {string} text @param {number | string} status */
export function doctestResults(name, text, status) {
  const found = /test cases:\s+(\d+)\s+\|\s+(\d+) passed\s+\|\s+(\d+) failed\s+\|\s+(\d+) skipped/.exec(text);
  if (found === null) return crashed(name, text, status);
  const counts = { passed: Number(found[2]), failed: Number(found[3]), skipped: Number(found[4]) };
  const failures = text
    .split(/^=+$/m)
    .filter((part) => /\bERROR: /.test(part))
    .map((part) => ({
      name: /TEST CASE: +(.*)/.exec(part)?.[1] ?? 'a test case',
      detail: part.trim().split('\n').slice(0, DETAIL_LINES).join('\n'),
    }));
  return checked(name, counts, { failures, skips: [] }, text, status);
}

/** The last lines of a run: everything that failed or was skipped, and the counts. @param {Results} total */
export function summary(total) {
  const lines = [];
  for (const skip of total.skips) lines.push(`skipped: ${skip}`);
  for (const { name, detail } of total.failures) {
    lines.push(`FAILED: ${name}`);
    for (const line of detail.split('\n').filter(Boolean).slice(0, SUMMARY_DETAIL_LINES)) lines.push(`    ${line}`);
  }
  lines.push(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return lines;
}
