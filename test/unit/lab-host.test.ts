// What the lab makes of the machine it runs on: which Debian the guest is, where its packages come from, and
// which packages the machine itself lacks. Debian and Ubuntu differ in all three.
import t from 'tap';
import { LabError } from '../lab/failure.mjs';
import { debianKeyring, missingPackages } from '../lab/host-packages.mjs';
import { sourceLines } from '../lab/image/package-sources.mjs';
import { guestSuite } from '../lab/image/suite.mjs';

const ubuntu = 'PRETTY_NAME="Ubuntu 24.04 LTS"\nID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n';
const debian = (codename: string) => `ID=debian\nVERSION_CODENAME=${codename}\nVERSION_ID="12"\n`;

t.test('on Debian the guest is of the same release', async (t) => {
  t.equal(guestSuite({ osRelease: debian('bookworm'), glibc: '2.36' }), 'bookworm');
  t.equal(guestSuite({ osRelease: debian('trixie'), glibc: '2.41' }), 'trixie');
  t.equal(guestSuite({ osRelease: debian('forky'), glibc: '2.99' }), 'forky', 'one that came later');
});

t.test('elsewhere it is the oldest whose C library runs what was built on the host', async (t) => {
  for (const [glibc, suite] of [
    ['2.31', 'bookworm'],
    ['2.35', 'bookworm'],
    ['2.36', 'bookworm'],
    ['2.37', 'trixie'],
    ['2.39', 'trixie'],
    ['2.41', 'trixie'],
  ] as const) {
    t.equal(guestSuite({ osRelease: ubuntu, glibc }), suite, glibc);
    t.equal(guestSuite({ osRelease: '', glibc }), suite, `${glibc}, on a system that does not say what it is`);
  }
});

t.test('a C library newer than that of any guest is an error that says what to do', async (t) => {
  try {
    guestSuite({ osRelease: ubuntu, glibc: '2.43' });
    t.fail('no error');
  } catch (error) {
    t.ok(error instanceof LabError && error.status === 125);
    t.match((error as Error).message, /glibc 2\.43.*glibc at most 2\.41 \(trixie\)[\s\S]*debian:trixie/);
  }
});

t.test("packages come from the machine's own sources of that release, checked with Debian's keys", async (t) => {
  const targets = [
    'Debian|bookworm|http://mirror.test/debian/|bookworm|main',
    'Debian|bookworm|http://mirror.test/debian/|bookworm|contrib',
    'Debian|bookworm-updates|http://mirror.test/debian/|bookworm-updates|main',
    'Debian|bookworm-security|http://mirror.test/security/|bookworm-security|main',
    'Debian|bookworm-security|http://mirror.test/security/|bookworm-security|main',
    'Debian Backports|bookworm-backports|http://mirror.test/debian/|bookworm-backports|main',
    'Somebody|bookworm|http://somebody.test/|bookworm|main',
    'Ubuntu|noble|http://ubuntu.test/ubuntu/|noble|main',
    '',
  ].join('\n');
  const lines = sourceLines('bookworm', targets);
  t.strictSame(
    lines,
    [
      'http://mirror.test/debian/ bookworm main',
      'http://mirror.test/debian/ bookworm-updates main',
      'http://mirror.test/security/ bookworm-security main',
    ].map((source) => `deb [signed-by=${debianKeyring}] ${source}`),
  );
  t.strictSame(sourceLines('trixie', targets), [], 'another release than the host');
  t.strictSame(sourceLines('bookworm', ''), [], 'a machine without apt');
});

t.test('a machine is missing what it needs and does not have, and nothing else', async (t) => {
  const ask = (building: boolean, asRoot: boolean, ...absent: string[]) =>
    missingPackages({ building, asRoot, present: (program) => !absent.some((name) => program.includes(name)) });
  t.strictSame(ask(true, true), []);
  t.strictSame(ask(true, false), []);
  t.strictSame(ask(true, true, 'mmdebstrap', 'semodule', 'setfiles'), ['mmdebstrap', 'policycoreutils']);
  t.strictSame(ask(false, true, 'mmdebstrap', 'semodule', debianKeyring), [], 'to run an image that is there');
  t.strictSame(ask(true, true, debianKeyring), ['debian-archive-keyring'], 'Ubuntu');
  t.strictSame(ask(true, true, 'fakeroot', 'newuidmap'), [], 'root needs neither');
  t.strictSame(ask(true, false, 'fakeroot', 'newuidmap'), ['uidmap', 'fakeroot']);
  t.strictSame(ask(false, false, 'fakeroot', 'newuidmap'), ['uidmap']);
  t.strictSame(ask(false, true, 'qemu-system-x86_64', 'virtiofsd'), ['qemu-system-x86'], 'may bring virtiofsd along');
  t.strictSame(ask(false, true, 'virtiofsd'), ['virtiofsd'], 'a release with a package of its own');
});
