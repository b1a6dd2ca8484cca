// One process in the manager's domain: four Workers launch a trivial emulator at once, each for its
// own context. Prints one JSON object with what was seen.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { command, launch } from 'vm-entrypoint';
import { getexeccon } from 'vm-entrypoint/selinux';

const CONCURRENCY = 4;

async function launchMany({ client, disk, emulator, launches }) {
  const seen = new Map();
  let started = 0;
  const lane = async () => {
    while (started < launches) {
      started += 1;
      const vm = await launch({
        client,
        disks: [{ path: disk, format: 'raw', readOnly: true }],
        emulator: command({ path: emulator, args: ({ disks }) => [String(disks[0].files[0].fd)] }),
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const exited = new Promise((resolve) => vm.once('close', resolve));
      const report = await text(vm.stdout);
      // Its context, and that it could read the image it was given.
      const said = /context=(\S+) .* read=0 /.exec(report)?.[1] ?? report;
      await exited;
      const key = `${said} ${vm.context === said} ${vm.exitCode}`;
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  return { seen: Object.fromEntries(seen), execAttribute: getexeccon() };
}

const state = () => ({
  descriptors: readdirSync('/proc/self/fd').length,
  threads: readdirSync('/proc/self/task').length,
  // Of this process: children that were not reaped.
  zombies: readdirSync('/proc').filter((pid) => {
    try {
      const [, parent] = /^\d+ \(.*\) Z (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'latin1')) ?? [];
      return Number(parent) === process.pid;
    } catch {
      return false;
    }
  }).length,
  sockets: readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length,
});

if (isMainThread) {
  const { jobs } = JSON.parse(process.argv[2]);
  const run = (job) =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url), { workerData: job });
      let result;
      worker.on('message', (message) => {
        result = message;
      });
      worker.on('error', reject);
      worker.on('exit', () => resolve(result));
    });
  // Once before counting, so that what is made once in a process is there.
  await Promise.all(jobs.map((job) => run({ ...job, launches: 2 })));
  const before = state();
  const results = await Promise.all(jobs.map(run));
  // A thread that has done its work may still be on its way out.
  let after = state();
  for (let i = 0; i < 50 && after.threads > before.threads; ++i) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    after = state();
  }
  console.log(JSON.stringify({ results, before, after, execAttribute: getexeccon() }));
} else {
  parentPort.postMessage(await launchMany(workerData));
}
