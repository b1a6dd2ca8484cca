/**
 * Cleans up after this process even if it is killed with SIGKILL: a shell that outlives it knows which directories to
 * remove and which process groups to end, and acts when the pipe from here closes.
 */

import { spawn } from 'node:child_process';

// --one-file-system: should something still be mounted in there, it belongs to the host and is not to be emptied.
// An ordinary user's image build leaves files of subordinate ids, which only root of a user namespace can remove.
const script = `
trap '' HUP INT TERM
while IFS= read -r line; do
  case $line in
  +*) set -- "$@" "\${line#+}" ;;
  -*) for entry; do shift; [ "$entry" = "\${line#-}" ] || set -- "$@" "$entry"; done ;;
  esac
done
for entry; do
  case $entry in group*) kill -s KILL -- "-\${entry#group }" ;; esac
done
for entry; do
  case $entry in
  directory*)
    set -- --one-file-system -- "\${entry#directory }"
    rm -rf "$@" || unshare --map-root-user --map-auto rm -rf "$@"
    ;;
  esac
done
`;

/** @type {import('node:child_process').ChildProcess | undefined} */
let shell;

/**
 * @param {'directory' | 'group'} kind
 * @param {string | number} what a path without newlines, or the id of a process group
 * @returns {() => void} to be called when the caller has cleaned up itself
 */
export function guard(kind, what) {
  if (shell === undefined) {
    // Its own session, so that Ctrl-C in the terminal does not reach it.
    shell = spawn('sh', ['-c', script], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    shell.on('error', () => {});
    shell.stdin?.on('error', () => {});
    // It must not keep this process alive.
    shell.unref();
    /** @type {import('node:net').Socket | undefined} */ (/** @type {unknown} */ (shell.stdin))?.unref();
  }
  const entry = `${kind} ${what}\n`;
  shell.stdin?.write(`+${entry}`);
  return () => void shell?.stdin?.write(`-${entry}`);
}
