// Where SELinux is off: the running kernel's questions are refused with a reason, and what concerns files
// alone still works.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startFakeSelinux } from '../helpers/fake-selinux.js';

const fake = startFakeSelinux({ disabled: true });
t.teardown(() => fake.stop());
const selinux = await import('../../lib/selinux.js');

const CONTEXT = 'user_u:user_r:client_t:s0';
const disabled = { name: 'SelinuxUnavailableError', code: 'ERR_SELINUX_DISABLED', message: /boot with/ };

t.test('says so', async (t) => {
  t.equal(selinux.isSelinuxEnabled(), false);
  t.equal(selinux.isSelinuxMlsEnabled(), false);
});

const refused: [string, () => unknown][] = [
  ['securityDenyUnknown', () => selinux.securityDenyUnknown()],
  ['securityRejectUnknown', () => selinux.securityRejectUnknown()],
  ['securityGetenforce', () => selinux.securityGetenforce()],
  ['securitySetenforce', () => selinux.securitySetenforce(true)],
  ['securityPolicyvers', () => selinux.securityPolicyvers()],
  ['selinuxStatus', () => selinux.selinuxStatus()],
  ['watch', () => selinux.watch()],
  ['getcon', () => selinux.getcon()],
  ['getprevcon', () => selinux.getprevcon()],
  ['getpidcon', () => selinux.getpidcon(process.pid)],
  ['getpeercon', () => selinux.getpeercon(0)],
  ['getexeccon', () => selinux.getexeccon()],
  ['setexeccon', () => selinux.setexeccon(CONTEXT)],
  ['setexeccon(null)', () => selinux.setexeccon(null)],
  ['getfscreatecon', () => selinux.getfscreatecon()],
  ['setfscreatecon', () => selinux.setfscreatecon(CONTEXT)],
  ['getsockcreatecon', () => selinux.getsockcreatecon()],
  ['setsockcreatecon', () => selinux.setsockcreatecon(CONTEXT)],
  ['getkeycreatecon', () => selinux.getkeycreatecon()],
  ['setkeycreatecon', () => selinux.setkeycreatecon(CONTEXT)],
  ['securityCheckContext', () => selinux.securityCheckContext('nonsense')],
  ['securityCanonicalizeContext', () => selinux.securityCanonicalizeContext(CONTEXT)],
  ['securityComputeAv', () => selinux.securityComputeAv(CONTEXT, CONTEXT, 'process')],
  ['securityComputeCreate', () => selinux.securityComputeCreate(CONTEXT, CONTEXT, 'process')],
  ['securityComputeRelabel', () => selinux.securityComputeRelabel(CONTEXT, CONTEXT, 'process')],
  ['securityComputeMember', () => selinux.securityComputeMember(CONTEXT, CONTEXT, 'process')],
  ['stringToSecurityClass', () => selinux.stringToSecurityClass('process')],
  ['securityGetBooleanNames', () => selinux.securityGetBooleanNames()],
  ['securityGetBooleanActive', () => selinux.securityGetBooleanActive('x')],
  ['securitySetBoolean', () => selinux.securitySetBoolean('x', true)],
  ['securityCommitBooleans', () => selinux.securityCommitBooleans()],
];
for (const [name, call] of refused) t.test(`${name} is refused`, async (t) => void t.throws(call, disabled));

t.test('files are only files', async (t) => {
  const file = join(fake.directory, 'file');
  writeFileSync(file, '');
  t.equal(selinux.getfilecon(file), null);
  t.type(selinux.selinuxGetpolicytype(), 'string');
  t.equal(selinux.selinuxRawToTransContext(CONTEXT), CONTEXT);
  t.equal(selinux.selabelLookup('/srv'), 'system_u:object_r:plain_t:s0');
});
