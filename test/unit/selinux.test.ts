// The API of vm-entrypoint/selinux against a policy: every function that answers, and its answers.
// They are libsepol's (test/native/fake_libselinux.cc); file labels and sockets are the kernel's own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { startFakeSelinux } from '../helpers/fake-selinux.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
const selinux = await import('../../lib/selinux.js');

const CLIENT = 'user_u:user_r:client_t:s0';
const PLAIN = 'system_u:object_r:plain_t:s0';
const DIRECTORY = 'system_u:object_r:dir_t:s0';

t.test('the running system', async (t) => {
  t.equal(selinux.isSelinuxEnabled(), true);
  t.equal(selinux.isSelinuxMlsEnabled(), true);
  t.equal(selinux.securityDenyUnknown(), false);
  t.equal(selinux.securityRejectUnknown(), false);
  t.ok(selinux.securityPolicyvers() >= 31);
  t.type(selinux.selinuxGetpolicytype(), 'string');
  t.match(selinux.selinuxStatus(), { enforcing: true, denyUnknown: false });
});

t.test('setenforce and policy loads show on the status page', async (t) => {
  const before = selinux.selinuxStatus();
  selinux.securitySetenforce(false);
  t.equal(selinux.securityGetenforce(), false);
  const permissive = selinux.selinuxStatus();
  t.equal(permissive.enforcing, false);
  t.equal(permissive.policyload, before.policyload);
  t.not(permissive.sequence, before.sequence);
  selinux.securitySetenforce(true);
  t.equal(selinux.selinuxStatus().enforcing, true);

  fake.reload({ unknown: 'deny' });
  const loaded = selinux.selinuxStatus();
  t.equal(loaded.policyload, before.policyload + 1);
  t.equal(loaded.denyUnknown, true);
  t.equal(selinux.securityDenyUnknown(), true);
  fake.reload({ unknown: 'reject' });
  t.equal(selinux.securityRejectUnknown(), true);
  fake.reload();
});

t.test('contexts of processes', async (t) => {
  t.equal(selinux.getcon(), 'user_u:user_r:launcher_t:s0-s0:c0.c7');
  t.equal(selinux.getprevcon(), selinux.getcon());
  t.equal(selinux.getpidcon(process.pid), selinux.getcon());

  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
  t.ok(child.pid);
  const pid = child.pid as number;
  fake.setProcess(pid, CLIENT);
  t.equal(selinux.getpidcon(pid), CLIENT);
  child.kill('SIGKILL');
  await once(child, 'exit');
  fake.setProcess(pid, '');
  t.throws(
    () => selinux.getpidprevcon(process.pid),
    { syscall: 'getpidprevcon', code: 'ENOSYS' },
    'a function that is newer than the library',
  );
  t.throws(() => selinux.getpidcon(0x3ffffffe), { syscall: 'getpidcon', code: 'ENOENT', errno: -2 });
});

t.test('contexts of peers', async (t) => {
  const path = join(fake.directory, 'socket');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const socket: Socket = connect(path);
  await once(socket, 'connect');
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  t.equal(selinux.getpeercon(fd), selinux.getcon());
  socket.destroy();
  server.close();

  const file = openSync(join(fake.directory, 'plain'), 'w');
  t.throws(() => selinux.getpeercon(file), { syscall: 'getpeercon', code: 'ENOTSOCK', fd: file });
  closeSync(file);
  const tcp = createServer().listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const tcpFd = (tcp as unknown as { _handle: { fd: number } })._handle.fd;
  t.throws(() => selinux.getpeercon(tcpFd), { syscall: 'getpeercon', code: 'ENOPROTOOPT' });
  tcp.close();
});

t.test('attributes of the thread', async (t) => {
  const attributes = [
    [selinux.getexeccon, selinux.setexeccon, 'setexeccon'],
    [selinux.getfscreatecon, selinux.setfscreatecon, 'setfscreatecon'],
    [selinux.getsockcreatecon, selinux.setsockcreatecon, 'setsockcreatecon'],
    [selinux.getkeycreatecon, selinux.setkeycreatecon, 'setkeycreatecon'],
  ] as const;
  for (const [get, set, name] of attributes) {
    t.equal(get(), null, name);
    set('user_u:user_r:vm_t:s0:c1,c2');
    t.equal(get(), 'user_u:user_r:vm_t:s0:c1,c2', name);
    set(CLIENT);
    t.equal(get(), CLIENT, 'a shorter one replaces all of it');
    for (const [other] of attributes) if (other !== get) t.equal(other(), null, 'the others are not touched');
    set(null);
    t.equal(get(), null, name);
    t.throws(() => set('two words'), { code: 'ERR_SELINUX_CONTEXT_INVALID', syscall: name });
    t.equal(get(), null);
  }
});

t.test('labels of files', async (t) => {
  const path = join(fake.directory, 'labelled');
  const link = join(fake.directory, 'link');
  writeFileSync(path, '');
  symlinkSync(path, link);
  t.equal(selinux.getfilecon(path), null, 'a file without a label');
  selinux.setfilecon(path, PLAIN);
  t.equal(selinux.getfilecon(path), PLAIN);
  t.equal(selinux.getfilecon(link), PLAIN, 'follows a link');
  t.equal(selinux.getfilecon(pathToFileURL(path)), PLAIN, 'file: URL');
  t.equal(selinux.lgetfilecon(link), null, 'does not follow it');
  selinux.lsetfilecon(link, DIRECTORY);
  t.equal(selinux.lgetfilecon(link), DIRECTORY);
  t.equal(selinux.getfilecon(link), PLAIN);

  const fd = openSync(path, 'r');
  t.equal(selinux.fgetfilecon(fd), PLAIN);
  selinux.fsetfilecon(fd, DIRECTORY);
  t.equal(selinux.fgetfilecon(fd), DIRECTORY);
  closeSync(fd);
  const O_PATH = 0o10000000;
  const named = openSync(path, O_PATH | constants.O_NOFOLLOW);
  t.equal(selinux.fgetfilecon(named), DIRECTORY, 'O_PATH');
  closeSync(named);

  const missing = join(fake.directory, 'missing');
  for (const name of ['getfilecon', 'lgetfilecon'] as const) {
    t.throws(() => selinux[name](missing), {
      name: 'SystemError',
      syscall: name,
      code: 'ENOENT',
      errno: -2,
      path: missing,
    });
  }
  for (const name of ['setfilecon', 'lsetfilecon'] as const) {
    t.throws(() => selinux[name](missing, PLAIN), { syscall: name, code: 'ENOENT', path: missing });
    t.throws(() => selinux[name](path, 'a:b:c:s0'), {
      name: 'ContextError',
      syscall: name,
      code: 'ERR_SELINUX_CONTEXT_INVALID',
      path,
    });
  }
  t.throws(() => selinux.fgetfilecon(named), { syscall: 'fgetfilecon', code: 'EBADF', fd: named });
  t.throws(() => selinux.fsetfilecon(named, PLAIN), { syscall: 'fsetfilecon', code: 'EBADF', fd: named });
});

t.test('access vectors', async (t) => {
  const answer = selinux.securityComputeAv(CLIENT, PLAIN, 'file', ['read', 'write', 'unlink']);
  t.strictSame(answer.allowed, ['read', 'write', 'getattr', 'open']);
  t.strictSame(answer.denied, ['unlink']);
  t.strictSame(answer.auditallow, ['read']);
  t.notOk(answer.auditdeny.includes('ioctl'), 'dontaudit');
  t.ok(answer.auditdeny.includes('unlink'));
  t.ok(answer.decided.includes('unlink'));
  t.equal(answer.permissive, false);
  t.equal(answer.objectClass.name, 'file');
  t.equal(answer.bits.allowed & selinux.stringToAvPerm('file', 'read'), selinux.stringToAvPerm('file', 'read'));
  t.strictSame(selinux.securityComputeAv(CLIENT, PLAIN, answer.objectClass.value).allowed, answer.allowed, 'by number');
  t.strictSame(selinux.securityComputeAv(CLIENT, PLAIN, 'file', 'read').denied, []);

  t.strictSame(
    selinux.securityComputeAv(CLIENT, `${PLAIN}:c1`, 'file', 'read').denied,
    ['read'],
    'a constraint on levels withdraws what a rule grants',
  );
  const permissive = selinux.securityComputeAv('user_u:user_r:permissive_t:s0', PLAIN, 'file', 'read');
  t.equal(permissive.permissive, true);
  t.strictSame(permissive.denied, ['read'], 'a permissive type is denied all the same');

  t.throws(() => selinux.securityComputeAv('user_u:user_r:gone_t:s0', PLAIN, 'file'), {
    name: 'ContextError',
    code: 'ERR_SELINUX_CONTEXT_INVALID',
    syscall: 'security_compute_av',
    message: /gone_t/,
  });
  t.throws(() => selinux.securityComputeAv(CLIENT, 'user_u:object_r:gone_t:s0', 'file'), { message: /gone_t/ });
  t.throws(() => selinux.securityComputeAv(CLIENT, PLAIN, 'no_such_class'), { code: 'ERR_SELINUX_CLASS_UNKNOWN' });
  t.throws(() => selinux.securityComputeAv(CLIENT, PLAIN, 999), { code: 'ERR_SELINUX_CLASS_UNKNOWN' });
  t.throws(() => selinux.securityComputeAv(CLIENT, PLAIN, '../booleans'), { code: 'ERR_SELINUX_CLASS_UNKNOWN' });
  t.throws(() => selinux.securityComputeAv(CLIENT, PLAIN, 'file', 'entrypont'), {
    name: 'ContextError',
    code: 'ERR_SELINUX_PERMISSION_UNKNOWN',
  });
  t.throws(
    () => selinux.securityComputeAv(`${CLIENT} ${PLAIN}`, PLAIN, 'file'),
    { code: 'ERR_SELINUX_CONTEXT_INVALID' },
    'a blank would make another question of it',
  );
});

t.test('unknown classes and permissions are errors whatever the policy says about unknown ones', async (t) => {
  for (const unknown of ['allow', 'deny'] as const) {
    fake.reload({ files: ['test/fixtures/policy/base.cil'], unknown });
    t.equal(selinux.securityDenyUnknown(), unknown === 'deny');
    t.throws(() => selinux.securityComputeAv(CLIENT, PLAIN, 'vm', 'start'), { code: 'ERR_SELINUX_CLASS_UNKNOWN' });
    t.throws(() => selinux.stringToSecurityClass('vm'), { code: 'ERR_SELINUX_CLASS_UNKNOWN' });
    t.throws(() => selinux.stringToAvPerm('file', 'launch'), { code: 'ERR_SELINUX_PERMISSION_UNKNOWN' });
  }
  fake.reload();
  t.ok(selinux.stringToSecurityClass('vm') > 0, 'a class that a module brings is seen');
});

t.test('new contexts', async (t) => {
  const create = selinux.securityComputeCreate;
  t.equal(create(CLIENT, DIRECTORY, 'file'), 'user_u:object_r:created_t:s0');
  t.equal(create(CLIENT, DIRECTORY, 'file', { objectName: 'special' }), 'user_u:object_r:special_t:s0');
  t.equal(create(CLIENT, DIRECTORY, 'file', { objectName: 'other' }), 'user_u:object_r:created_t:s0');
  t.equal(create(CLIENT, PLAIN, 'file'), 'user_u:object_r:plain_t:s0', 'no rule: the type of the target');
  t.equal(
    create('system_u:system_r:init_t:s0', 'system_u:object_r:qemu_exec_t:s0', 'process'),
    'system_u:system_r:launcher_t:s0-s0:c0.c3',
    'with a range_transition',
  );
  t.equal(
    create('user_u:user_r:client_t:s0-s0:c0.c7', 'system_u:object_r:disk_t:s0:c1,c2', 'vm'),
    'user_u:user_r:vm_t:s0-s0:c1,c2',
    'class vm: role of the client, level from both',
  );
  t.equal(selinux.securityComputeRelabel(CLIENT, PLAIN, 'file'), 'user_u:object_r:changed_t:s0');
  t.equal(selinux.securityComputeMember(CLIENT, DIRECTORY, 'dir'), 'system_u:object_r:member_t:s0');
  t.throws(() => create(CLIENT, 'system_u:object_r:nobody_t:s0', 'vm'), {
    name: 'SystemError',
    code: 'EACCES',
    syscall: 'security_compute_create',
    message: /no valid context/,
  });
  t.throws(() => selinux.securityComputeRelabel(CLIENT, 'x:y:z:s0', 'file'), {
    code: 'ERR_SELINUX_CONTEXT_INVALID',
    syscall: 'security_compute_relabel',
  });
  t.throws(() => selinux.securityComputeMember('x:y:z:s0', PLAIN, 'file'), {
    code: 'ERR_SELINUX_CONTEXT_INVALID',
    syscall: 'security_compute_member',
  });
});

t.test('checking and spelling contexts', async (t) => {
  t.equal(selinux.securityCheckContext(CLIENT), true);
  for (const wrong of [
    'nonsense',
    'user_u:user_r:plain_t:s0',
    'user_u:user_r:client_t:s9',
    `${CLIENT} x`,
    `${CLIENT}\n`,
  ]) {
    t.equal(selinux.securityCheckContext(wrong), false, JSON.stringify(wrong));
    t.throws(() => selinux.securityCanonicalizeContext(wrong), {
      code: 'ERR_SELINUX_CONTEXT_INVALID',
      syscall: 'security_canonicalize_context',
    });
  }
  t.equal(selinux.securityCanonicalizeContext(`${CLIENT}:c3,c1,c2`), `${CLIENT}:c1.c3`);
});

t.test('translated contexts', async (t) => {
  writeFileSync(join(fake.directory, 'setrans'), 's0:c1=Company Confidential\ns0=SystemLow\n');
  const raw = false;
  const secret = `${CLIENT}:c1`;
  const translated = 'user_u:user_r:client_t:Company Confidential';
  t.equal(selinux.selinuxRawToTransContext(secret), translated);
  t.equal(selinux.selinuxTransToRawContext(translated), secret);
  t.equal(selinux.securityCanonicalizeContext(translated, { raw }), translated);
  t.equal(selinux.securityCheckContext(translated, { raw }), true);
  t.equal(selinux.securityCheckContext(translated), false, 'raw unless asked otherwise');
  const file = join(fake.directory, 'confidential');
  writeFileSync(file, '');
  selinux.setfilecon(file, 'system_u:object_r:plain_t:Company Confidential', { raw });
  t.equal(selinux.getfilecon(file), `${PLAIN}:c1`);
  t.equal(selinux.getfilecon(file, { raw }), 'system_u:object_r:plain_t:Company Confidential');
  selinux.setexeccon(translated, { raw });
  t.equal(selinux.getexeccon(), secret);
  t.equal(selinux.getexeccon({ raw }), translated);
  selinux.setexeccon(null);
  t.equal(
    selinux.securityComputeCreate('user_u:user_r:client_t:SystemLow', 'system_u:object_r:dir_t:SystemLow', 'file', {
      raw,
    }),
    'user_u:object_r:created_t:SystemLow',
  );
  t.strictSame(selinux.securityComputeAv(translated, PLAIN, 'file', 'read', { raw }).denied, []);
  fake.setContext(secret);
  t.equal(selinux.getcon({ raw }), translated);
  t.equal(selinux.getprevcon({ raw }), translated);
  t.equal(selinux.getpidcon(process.pid, { raw }), translated);
});

t.test('classes and permissions', async (t) => {
  const file = selinux.stringToSecurityClass('file');
  t.equal(selinux.securityClassToString(file), 'file');
  t.equal(selinux.stringToAvPerm(file, 'ioctl'), 1);
  t.equal(selinux.stringToAvPerm('file', 'read'), 2);
  t.equal(selinux.securityAvPermToString(file, 2), 'read');
  t.equal(selinux.securityAvPermToString('vm', selinux.stringToAvPerm('vm', 'debug')), 'debug');
  t.throws(() => selinux.securityAvPermToString('vm', 3), { code: 'ERR_SELINUX_PERMISSION_UNKNOWN' }, 'not one bit');
  t.throws(() => selinux.securityAvPermToString('vm', 0x80000000), { code: 'ERR_SELINUX_PERMISSION_UNKNOWN' });
  t.throws(() => selinux.securityClassToString(999), { code: 'ERR_SELINUX_CLASS_UNKNOWN' });
});

t.test('class numbers are those of the policy that is loaded', async (t) => {
  const before = selinux.stringToSecurityClass('vm');
  t.strictSame(selinux.securityComputeAv(CLIENT, 'user_u:user_r:vm_t:s0', 'vm', 'start').denied, []);
  // Another class takes the number that `vm` had.
  fake.reload({
    files: [
      'test/fixtures/policy/base.cil',
      'test/fixtures/policy/another_class.cil',
      'policy/vm_entrypoint.cil',
      'test/fixtures/policy/vm.cil',
    ],
  });
  t.not(selinux.stringToSecurityClass('vm'), before);
  t.equal(selinux.securityClassToString(before), 'another');
  t.strictSame(selinux.securityComputeAv(CLIENT, 'user_u:user_r:vm_t:s0', 'vm', 'start').denied, []);
  fake.reload();
});

t.test('file contexts', async (t) => {
  const { S_IFREG, S_IFDIR, S_IFBLK, S_IFLNK } = constants;
  using table = selinux.selabelOpen();
  t.equal(table.lookup('/srv', S_IFDIR), PLAIN);
  t.equal(table.lookup('/srv/images/a', S_IFREG), 'system_u:object_r:secret_t:s0');
  t.equal(
    table.lookup('/srv/images/a', S_IFREG | 0o644),
    'system_u:object_r:secret_t:s0',
    'permission bits do not matter',
  );
  t.equal(table.lookup('/srv/images/special', S_IFBLK), 'system_u:object_r:special_t:s0');
  t.equal(table.lookup('/srv/none'), null, '<<none>>');
  t.equal(table.lookup('/nothing/says/so'), null);
  table.close();
  table.close();
  t.throws(() => table.lookup('/srv'), { name: 'StateError', code: 'ERR_CLOSED' });

  const own = join(fake.directory, 'own_contexts');
  writeFileSync(own, `${fake.directory}/real -d system_u:object_r:dir_t:s0\n`);
  using ownTable = selinux.selabelOpen(own);
  t.equal(ownTable.lookup(`${fake.directory}/real`, S_IFDIR), DIRECTORY);
  t.throws(() => selinux.selabelOpen(join(fake.directory, 'none_here')), { syscall: 'selabel_open', code: 'ENOENT' });

  symlinkSync('/srv', join(fake.directory, 'to-srv'));
  t.equal(selinux.selabelLookup(join(fake.directory, 'to-srv')), null);
  t.equal(selinux.matchpathcon('/srv'), PLAIN);
  t.equal(selinux.matchpathcon(join(fake.directory, 'to-srv')), PLAIN, 'follows links');
  t.equal(selinux.matchpathcon(join(fake.directory, 'to-srv'), S_IFLNK), null, 'but not the last one of a link');
  t.equal(selinux.matchpathcon('/srv/not/there'), PLAIN, 'also where nothing exists');
});

t.test('booleans', async (t) => {
  const SECRET = 'system_u:object_r:secret_t:s0';
  const reads = (): readonly string[] => selinux.securityComputeAv(CLIENT, SECRET, 'file').allowed;
  t.strictSame(selinux.securityGetBooleanNames().sort(), ['clients_read_secret', 'clients_write_plain']);
  t.equal(selinux.securityGetBooleanActive('clients_read_secret'), false);
  t.strictSame(reads(), []);
  selinux.securitySetBoolean('clients_read_secret', true);
  t.equal(selinux.securityGetBooleanPending('clients_read_secret'), true);
  t.equal(selinux.securityGetBooleanActive('clients_read_secret'), false);
  t.strictSame(reads(), [], 'only pending');
  const { policyload } = selinux.selinuxStatus();
  selinux.securityCommitBooleans();
  t.equal(selinux.securityGetBooleanActive('clients_read_secret'), true);
  t.strictSame(reads(), ['read', 'getattr', 'open']);
  t.equal(selinux.selinuxStatus().policyload, policyload + 1, 'counts as a policy load');

  selinux.securitySetBooleanList({ clients_read_secret: false, clients_write_plain: false });
  t.strictSame(reads(), []);
  t.notOk(selinux.securityComputeAv(CLIENT, PLAIN, 'file').allowed.includes('write'));
  t.throws(() => selinux.securitySetBooleanList({ clients_write_plain: true, no_such: true }), {
    syscall: 'security_set_boolean_list',
    code: 'ENOENT',
  });
  t.equal(selinux.securityGetBooleanActive('clients_write_plain'), false, 'all or none');
  for (const name of ['no_such', '../enforce', '.', 'a/b']) {
    t.throws(() => selinux.securityGetBooleanActive(name), { syscall: 'security_get_boolean_active', code: 'ENOENT' });
    t.throws(() => selinux.securityGetBooleanPending(name), {
      syscall: 'security_get_boolean_pending',
      code: 'ENOENT',
    });
    t.throws(() => selinux.securitySetBoolean(name, true), { syscall: 'security_set_boolean', code: 'ENOENT' });
  }
});

t.test('short names are the same functions', async (t) => {
  t.equal(selinux.computeAv, selinux.securityComputeAv);
  t.equal(selinux.computeCreate, selinux.securityComputeCreate);
  t.equal(selinux.computeRelabel, selinux.securityComputeRelabel);
  t.equal(selinux.computeMember, selinux.securityComputeMember);
  t.equal(selinux.checkContext, selinux.securityCheckContext);
  t.equal(selinux.canonicalizeContext, selinux.securityCanonicalizeContext);
  t.equal(selinux.getenforce, selinux.securityGetenforce);
  t.equal(selinux.setenforce, selinux.securitySetenforce);
});
