// A process with a watcher and nothing else: does it end? (test/unit/selinux-watch.test.ts)
import { startFakeSelinux } from './fake-selinux.js';

const fake = startFakeSelinux();
process.on('exit', () => fake.stop());
const selinux = await import('../../lib/selinux.js');
if (process.argv[2] === 'unreferenced') {
  selinux.watch();
} else {
  const watcher = selinux.watch({ interval: 5 }).ref();
  watcher.once('policyload', () => {
    console.log('loaded');
    watcher.close();
  });
  setTimeout(() => fake.reload(), 50);
}
