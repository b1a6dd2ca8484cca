// Every call that vm-entrypoint/selinux makes to libselinux and to the kernel, made to fail: each time the
// right error, nothing leaked, and the next call works again.
import { closeSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { startFakeSelinux } from '../helpers/fake-selinux.js';
import { faults } from '../helpers/test-addon.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
const selinux = await import('../../lib/selinux.js');
const { SystemError, VmEntrypointError } = await import('../../lib/errors.js');

const CLIENT = 'user_u:user_r:client_t:s0';
const PLAIN = 'system_u:object_r:plain_t:s0';
const DIRECTORY = 'system_u:object_r:dir_t:s0';
const raw = false;
const path = join(fake.directory, 'file');
writeFileSync(path, '');
writeFileSync(join(fake.directory, 'setrans'), 's0=SystemLow\n');
selinux.setfilecon(path, PLAIN);
const fd = openSync(path, 'r');
t.teardown(() => closeSync(fd));
const table = selinux.selabelOpen();
t.teardown(() => table.close());

const operations: [string, () => unknown][] = [
  ['is_selinux_mls_enabled', () => selinux.isSelinuxMlsEnabled()],
  ['security_deny_unknown', () => selinux.securityDenyUnknown()],
  ['security_reject_unknown', () => selinux.securityRejectUnknown()],
  ['security_getenforce', () => selinux.securityGetenforce()],
  ['security_setenforce', () => selinux.securitySetenforce(true)],
  ['security_policyvers', () => selinux.securityPolicyvers()],
  ['selinux_getpolicytype', () => selinux.selinuxGetpolicytype()],
  ['getcon', () => selinux.getcon({ raw })],
  ['getprevcon', () => selinux.getprevcon({ raw })],
  ['getpidcon', () => selinux.getpidcon(process.pid, { raw })],
  ...(['exec', 'fscreate', 'sockcreate', 'keycreate'] as const).flatMap((name): typeof operations => [
    [`get${name}con`, () => selinux[`get${name}con`]()],
    [`set${name}con`, () => selinux[`set${name}con`](CLIENT)],
    [`set${name}con`, () => selinux[`set${name}con`](null)],
  ]),
  ['setexeccon', () => selinux.setexeccon('user_u:user_r:client_t:SystemLow', { raw })],
  ['security_check_context', () => selinux.securityCheckContext(CLIENT, { raw })],
  ['security_canonicalize_context', () => selinux.securityCanonicalizeContext(CLIENT, { raw })],
  ['getfilecon', () => selinux.getfilecon(path, { raw })],
  ['lgetfilecon', () => selinux.lgetfilecon(path, { raw })],
  ['fgetfilecon', () => selinux.fgetfilecon(fd, { raw })],
  ['setfilecon', () => selinux.setfilecon(path, PLAIN, { raw })],
  ['lsetfilecon', () => selinux.lsetfilecon(path, PLAIN, { raw })],
  ['fsetfilecon', () => selinux.fsetfilecon(fd, PLAIN, { raw })],
  ['selabel_lookup', () => table.lookup('/srv', 0, { raw })],
  ['selabel_open', () => selinux.selabelOpen().close()],
  ['security_compute_av', () => selinux.securityComputeAv(CLIENT, PLAIN, 'file', 'read', { raw })],
  ['security_compute_create', () => selinux.securityComputeCreate(CLIENT, DIRECTORY, 'file', { raw })],
  [
    'security_compute_create',
    () => selinux.securityComputeCreate(CLIENT, DIRECTORY, 'file', { objectName: 'special' }),
  ],
  ['security_compute_relabel', () => selinux.securityComputeRelabel(CLIENT, PLAIN, 'file', { raw })],
  ['security_compute_member', () => selinux.securityComputeMember(CLIENT, DIRECTORY, 'dir', { raw })],
  ['string_to_security_class', () => selinux.stringToSecurityClass('file')],
  ['security_class_to_string', () => selinux.securityClassToString(5)],
  ['security_get_boolean_names', () => selinux.securityGetBooleanNames()],
  ['security_get_boolean_active', () => selinux.securityGetBooleanActive('clients_write_plain')],
  ['security_get_boolean_pending', () => selinux.securityGetBooleanPending('clients_write_plain')],
  ['security_set_boolean', () => selinux.securitySetBoolean('clients_write_plain', true)],
  ['security_commit_booleans', () => selinux.securityCommitBooleans()],
  ['security_set_boolean_list', () => selinux.securitySetBooleanList({ clients_write_plain: true })],
];

/** Calls below an operation that answer for themselves in `syscall`, because they are no part of its C function. */
const helpers = new Set([
  'is_selinux_enabled',
  'selinux_raw_to_trans_context',
  'selinux_trans_to_raw_context',
  'string_to_security_class',
  'security_av_perm_to_string',
  'selinux_flush_class_cache',
]);

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

function thrownBy(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Emptying a cache has no failure that a caller could see. */
const CANNOT_FAIL = new Set(['selinux_flush_class_cache']);

let injected = 0;
for (const [name, operation] of operations) {
  t.test(name, async (t) => {
    operation(); // what is set up once is set up
    faults.clear();
    operation();
    const calls = faults.calls();
    t.ok(Object.keys(calls).length > 0, 'asks somebody');
    const before = descriptors();
    for (const [call, count] of Object.entries(calls)) {
      for (const nth of new Set([0, 1, 2, Math.floor(count / 2), count - 1])) {
        if (nth < 0 || nth >= count) continue;
        for (const code of ['ENOMEM', 'EIO', 'EACCES'] as const) {
          const errno = constants.errno[code];
          faults.clear();
          faults.arm(call, nth, errno);
          const error = thrownBy(operation);
          faults.clear();
          ++injected;
          const what = `${call} #${nth} ${code}`;
          if (error === undefined) {
            t.ok(CANNOT_FAIL.has(call), `${what}: must be an error`);
            continue;
          }
          t.ok(error instanceof VmEntrypointError, `${what}: of this package's classes`);
          t.match(error, { errno: -errno, code }, what);
          t.ok(error instanceof SystemError, `${what}: a system error`);
          const expected = helpers.has(call) && name !== 'security_class_to_string' ? call : name;
          t.equal((error as { syscall?: string }).syscall, expected, `${what}: names the function`);
        }
      }
    }
    t.equal(descriptors(), before, 'no descriptor is left');
    t.equal(thrownBy(operation), undefined, 'and it works again');
    for (const attribute of ['exec', 'fscreate', 'sockcreate', 'keycreate'] as const)
      selinux[`set${attribute}con`](null);
  });
}

t.test('getpeercon', async (t) => {
  const server = createServer().listen(join(fake.directory, 'socket'));
  t.teardown(() => server.close());
  const { connect } = await import('node:net');
  const { once } = await import('node:events');
  const socket = connect(join(fake.directory, 'socket'));
  await once(socket, 'connect');
  const peer = (socket as unknown as { _handle: { fd: number } })._handle.fd;
  faults.arm('getpeercon_raw', 0, constants.errno.EIO);
  t.throws(() => selinux.getpeercon(peer), { syscall: 'getpeercon', code: 'EIO', fd: peer });
  t.equal(selinux.getpeercon(peer), selinux.getcon());
  socket.destroy();
});

t.test('a one-shot look-up closes the table whatever happens', async (t) => {
  faults.arm('selabel_lookup_raw', 0, constants.errno.EIO);
  t.throws(() => selinux.selabelLookup('/srv'), { syscall: 'selabel_lookup', code: 'EIO' });
  t.equal(selinux.selabelLookup('/srv'), PLAIN);
});

t.test('reading an attribute that is set', async (t) => {
  selinux.setexeccon(CLIENT);
  faults.arm('selinux_raw_to_trans_context', 0, constants.errno.EIO);
  t.throws(() => selinux.getexeccon({ raw }), { syscall: 'selinux_raw_to_trans_context', code: 'EIO' });
  t.equal(selinux.getexeccon(), CLIENT);
  selinux.setexeccon(null);
});

t.test('a thread attribute is never left half set', async (t) => {
  // The context was written, and reading it back fails: it must be gone again.
  faults.clear();
  faults.arm('pread', 0, constants.errno.EIO);
  t.throws(() => selinux.setexeccon(CLIENT), { syscall: 'setexeccon', code: 'EIO' });
  faults.clear();
  t.equal(selinux.getexeccon(), null);
});

t.test('the test did what it says', async (t) => {
  t.ok(injected > 300, `${injected} failures`);
});
