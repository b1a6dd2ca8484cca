/** The runner's command line. */

import { exitStatus, LabError } from './failure.mjs';

export const help = `usage: npm run lab -- [OPTION]… -- COMMAND [ARGUMENT]…

Runs COMMAND as root in a fresh guest whose kernel has SELinux (enforcing) and KVM. The project is at /project, which
is also the working directory. The first run builds the guest's image, which takes a minute or two.

  --permissive              SELinux permissive
  --policy default|mls      Debian's policy of that name, with the modules of policy/ (default: default)
  --context CONTEXT         context of COMMAND (default: an administrator's login)
  --mount HOSTDIR:GUESTDIR  shows a directory of the host, writable; may be repeated
  --disk HOSTFILE           attaches a raw image for writing, /dev/vdb and following; may be repeated
  --timeout SECONDS         limit for boot and COMMAND together (default: 600)
  --help

Progress goes to stderr, before COMMAND starts; each line of it begins with "lab: ".

Exit status: that of COMMAND (128 + N after signal N), or 2 wrong usage, 3 packages are missing on this machine, 124
time limit, 125 the guest could not be built or run, 130 and 143 interrupted.
`;

/**
 * @typedef {object} CommandLine
 * @property {boolean} help
 * @property {Pick<import('./lab.mjs').LabOptions,
 *   'command' | 'args' | 'policy' | 'permissive' | 'context' | 'mounts' | 'disks' | 'timeoutMs'>} run
 */

/**
 * @param {readonly string[]} words
 * @returns {CommandLine}
 * @throws {LabError} with status 2 when the words make no sense
 */
export function parseCommandLine(words) {
  const wrong = (/** @type {string} */ message) => new LabError(`${message}\n\n${help}`, { status: exitStatus.usage });
  const flags = { help: false, permissive: false };
  /** @type {{ source: string, directory: string }[]} */
  const mounts = [];
  /** @type {string[]} */
  const disks = [];
  /** @type {Pick<import('./lab.mjs').LabOptions, 'policy' | 'context' | 'timeoutMs'>} */
  const values = {};
  let at = 0;
  for (; at < words.length && words[at] !== '--'; at++) {
    const [name = '', inline] = splitOnce(/** @type {string} */ (words[at]), '=');
    if (/^--(help|permissive)$/.test(name) && inline === undefined) {
      flags[/** @type {keyof typeof flags} */ (name.slice(2))] = true;
      continue;
    }
    if (!/^--(policy|context|mount|disk|timeout)$/.test(name)) throw wrong(`unknown option ${words[at]}`);
    const value = inline ?? words[++at];
    if (!value || value === '--') throw wrong(`${name} needs a value`);
    if (name === '--policy') {
      if (value !== 'default' && value !== 'mls') throw wrong(`there is no policy ${value}`);
      values.policy = value;
    } else if (name === '--context') {
      values.context = value;
    } else if (name === '--mount') {
      const [source = '', directory] = splitOnce(value, ':');
      if (!source || !directory?.startsWith('/')) throw wrong(`--mount wants HOSTDIR:GUESTDIR, not ${value}`);
      mounts.push({ source, directory });
    } else if (name === '--disk') {
      disks.push(value);
    } else {
      const seconds = Number(value);
      if (!(seconds > 0 && seconds <= 86_400)) throw wrong(`--timeout wants seconds, not ${value}`);
      values.timeoutMs = seconds * 1000;
    }
  }
  const [command = '', ...args] = words.slice(at + 1);
  if (!command && !flags.help) throw wrong('no command');
  return { help: flags.help, run: { command, args, permissive: flags.permissive, mounts, disks, ...values } };
}

/**
 * @param {string} text
 * @param {string} separator
 * @returns {string[]}
 */
function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}
