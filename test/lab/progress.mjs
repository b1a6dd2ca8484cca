/**
 * Tells a person what the lab is doing: one line that is rewritten on a terminal, plain lines elsewhere. Everything
 * goes to stderr, because stdout belongs to the command in the guest.
 */

/** @typedef {{ step(text: string): void, done(): void, note(text: string): void }} Progress */

/**
 * @param {{ quiet?: boolean, stream?: NodeJS.WriteStream }} [options]
 * @returns {Progress} `step` replaces the current activity (shown with its seconds), `done` ends it, `note` is kept
 */
export function createProgress({ quiet = false, stream = process.stderr } = {}) {
  if (quiet) return { step() {}, done() {}, note() {} };
  const live = stream.isTTY === true && !process.env.CI;
  /** @type {string | undefined} */
  let current;
  let started = 0;
  /** @type {NodeJS.Timeout | undefined} */
  let timer;

  const paint = () => {
    const seconds = Math.round((Date.now() - started) / 1000);
    stream.write(`\r\x1b[Klab: ${current}${seconds > 0 ? ` (${seconds} s)` : ''}`);
  };
  const clear = () => {
    clearInterval(timer);
    clearTimeout(timer);
    timer = undefined;
    if (live && current !== undefined) stream.write('\r\x1b[K');
  };
  return {
    step(text) {
      clear();
      current = text;
      started = Date.now();
      if (live) {
        paint();
        timer = setInterval(paint, 1000);
      } else {
        // What is over within a second is not worth a line in a log.
        timer = setTimeout(() => stream.write(`lab: ${text}\n`), 1000);
      }
      timer.unref();
    },
    done() {
      clear();
      current = undefined;
    },
    note(text) {
      clear();
      stream.write(`lab: ${text}\n`);
      current = undefined;
    },
  };
}
