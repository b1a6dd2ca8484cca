/** One guest: the QEMU process, and the three channels on which its init talks to us. */

import { closeSync, openSync } from 'node:fs';
import { exitStatus, LabError } from './failure.mjs';
import { spawnTied } from './processes.mjs';

/** Console output that is kept for the message about a guest that failed. */
const consoleLimit = 64 * 1024;

/** With half of it a guest once froze. The memory is the host's only as far as the guest touches it. */
const memoryMiB = 2048;

/**
 * @typedef {object} GuestOptions
 * @property {import('./image/build.mjs').Image} image
 * @property {string} job see job.mjs
 * @property {string} marker the end of each output stream
 * @property {readonly import('./shares.mjs').ServedShare[]} shares
 * @property {readonly string[]} disks raw images of the host, attached for reading and writing
 * @property {boolean} verbose kernel messages on the console
 * @property {AbortSignal} signal kills the guest
 * @property {() => void} onReady the command starts
 * @property {(stream: 'stdout' | 'stderr', bytes: Buffer) => void} onOutput
 */

/** The guest did not come as far as the command: worth another attempt. */
export class BootError extends LabError {}

/**
 * Runs the guest to the end of its command.
 *
 * @param {GuestOptions} options
 * @returns {Promise<number>} exit status of the command
 * @throws {BootError} when the guest ends before the command has started
 * @throws {LabError} when it ends before the command has
 */
export async function runGuest({ image, job, marker, shares, disks, verbose, signal, onReady, onOutput }) {
  // The root file system is read through an overlay which QEMU keeps in a deleted temporary file (snapshot=on).
  const root = openSync(image.root, 'r');
  const child = spawnTied(['qemu-system-x86_64', ...qemuArguments({ image, shares, disks, verbose })], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe', root, ...shares.map(({ socket }) => socket)],
  });
  // QEMU has its own copies of these.
  closeSync(root);
  for (const { socket } of shares) socket.destroy();
  const kill = () => child.kill('SIGKILL');
  signal.addEventListener('abort', kill);
  if (signal.aborted) kill();

  let log = '';
  const keepLog = (/** @type {Buffer} */ bytes) => {
    log = (log + bytes.toString('latin1')).slice(-consoleLimit);
  };
  child.stdout?.on('data', keepLog);
  child.stderr?.on('data', keepLog);

  const [, , , control, stdout, stderr] = /** @type {import('node:stream').Duplex[]} */ (
    /** @type {unknown} */ (child.stdio)
  );
  if (!control || !stdout || !stderr) throw new TypeError('the child has no channels');
  let ready = false;
  /** @type {string | undefined} */
  let refusal;
  /** @type {number | undefined} */
  let status;
  const open = new Set(['stdout', 'stderr']);
  const endIfComplete = () => {
    // All is told and synced: nothing in the guest needs an orderly shutdown.
    if (status !== undefined && open.size === 0) kill();
  };

  let pending = '';
  control.on('data', (bytes) => {
    const lines = (pending + bytes.toString()).split('\n');
    pending = lines.pop() ?? '';
    for (const line of lines) {
      if (line === 'ready') {
        ready = true;
        onReady();
      } else if (line.startsWith('exit ')) {
        status = Number(line.slice('exit '.length));
        endIfComplete();
      } else if (line.startsWith('failed ')) {
        refusal = line.slice('failed '.length);
        kill();
      }
    }
  });
  for (const [name, stream] of /** @type {const} */ ([
    ['stdout', stdout],
    ['stderr', stderr],
  ])) {
    const withoutMarker = createMarkerFilter(marker, (bytes) => onOutput(name, bytes));
    stream.on('data', (bytes) => {
      if (!withoutMarker(bytes)) return;
      open.delete(name);
      endIfComplete();
    });
  }
  // A guest that dies resets its channels; its end is reported by the process.
  for (const stream of [control, stdout, stderr]) stream.on('error', () => {});
  control.write(job);

  /** @type {string} */
  const end = await new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, killedBy) => resolve(killedBy ? `signal ${killedBy}` : `status ${code}`));
  });
  signal.removeEventListener('abort', kill);
  // First of all: with the guest gone the daemons of its shares end, too, and that is no failure any more.
  if (status !== undefined && open.size === 0) return status;
  signal.throwIfAborted();
  if (refusal !== undefined) throw new LabError(refusal);
  const consoleEnd = log.trimEnd().split('\n').slice(-40).join('\n');
  const Failure = ready ? LabError : BootError;
  throw new Failure(
    `the guest ended ${ready ? 'before its command did' : 'while booting'} (QEMU: ${end}). Its console:\n${consoleEnd}`,
    { status: exitStatus.labFailed },
  );
}

/** @param {Pick<GuestOptions, 'image' | 'shares' | 'disks' | 'verbose'>} options */
function qemuArguments({ image, shares, disks, verbose }) {
  const kernelArguments = [
    'root=/dev/nvme0n1 rootfstype=ext4 rw init=/usr/lib/vm-entrypoint-lab/init',
    'lsm=selinux enforcing=0 audit_backlog_limit=8192 log_buf_len=4M',
    'console=ttyS0 panic=-1',
    verbose ? 'ignore_loglevel' : 'quiet loglevel=4',
    // Under emulation all processors read one clock, and there is nothing to protect from the guest's own programs.
    'tsc=reliable mitigations=off',
    // Self-tests of the cryptographic modules take over a second; waiting for grace periods adds up, too.
    'cryptomgr.notests=1 rcupdate.rcu_expedited=1 init_on_alloc=0',
  ].join(' ');
  return [
    [
      '-machine',
      'q35,memory-backend=memory,sata=off,smbus=off,i8042=off',
      '-accel',
      'tcg,thread=multi',
      '-cpu',
      'EPYC,+svm',
      '-smp',
      '2',
    ],
    ['-m', `${memoryMiB}`, '-object', `memory-backend-memfd,id=memory,size=${memoryMiB}M,share=on`],
    ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-nic', 'none'],
    ['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
    ['-kernel', image.kernel, '-append', kernelArguments],
    // NVMe is built into Debian's kernel: no initramfs is needed to find the root file system.
    ['-add-fd', 'fd=6,set=1'],
    ['-drive', 'file=/dev/fdset/1,if=none,id=root,format=raw,snapshot=on', '-device', 'nvme,drive=root,serial=root'],
    ['-device', 'virtio-serial-pci'],
    ...['control', 'stdout', 'stderr'].flatMap((name, index) => [
      ['-chardev', `socket,id=${name},fd=${3 + index}`],
      ['-device', `virtserialport,chardev=${name},name=lab.${name},nr=${index + 1}`],
    ]),
    ...shares.flatMap(({ tag }, index) => [
      ['-chardev', `socket,id=${tag},fd=${7 + index}`],
      ['-device', `vhost-user-fs-pci,chardev=${tag},tag=${tag}`],
    ]),
    // Programs know the first disk of a machine as its system disk; ours begin with vdb.
    ...(disks.length > 0
      ? [
          ['-blockdev', 'null-co,node-name=vda,size=1048576,read-zeroes=on'],
          ['-device', 'virtio-blk-pci,drive=vda'],
        ]
      : []),
    ...disks.flatMap((path, index) => [
      [
        '-blockdev',
        JSON.stringify({ driver: 'raw', 'node-name': `disk${index}`, file: { driver: 'file', filename: path } }),
      ],
      ['-device', `virtio-blk-pci,drive=disk${index}`],
    ]),
  ].flat();
}

/**
 * Passes bytes on up to the marker which ends the stream. Only what may be the beginning of the marker is held back.
 *
 * @param {string} marker
 * @param {(bytes: Buffer) => void} pass
 * @returns {(bytes: Buffer) => boolean} takes the next bytes; true at the end of the stream
 */
export function createMarkerFilter(marker, pass) {
  const end = Buffer.from(marker);
  let held = Buffer.alloc(0);
  return (bytes) => {
    const all = held.length > 0 ? Buffer.concat([held, bytes]) : bytes;
    const at = all.length - end.length;
    if (at >= 0 && all.subarray(at).equals(end)) {
      if (at > 0) pass(all.subarray(0, at));
      return true;
    }
    let keep = Math.min(end.length - 1, all.length);
    while (keep > 0 && !end.subarray(0, keep).equals(all.subarray(all.length - keep))) keep--;
    if (all.length > keep) pass(all.subarray(0, all.length - keep));
    held = Buffer.from(all.subarray(all.length - keep));
    return false;
  };
}
