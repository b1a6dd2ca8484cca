// vm-entrypoint/selinux on a real SELinux kernel, against the programs of selinux-utils and policycoreutils:
// the same questions, asked of libselinux by somebody else. Runs in the lab's guest, enforcing:
//
//   npm run lab -- -- node test/lab/guest/selinux.test.mjs
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import * as selinux from 'vm-entrypoint/selinux';

const directory = mkdtempSync(join(tmpdir(), 'selinux-'));

/** Output of an oracle, or null when it fails. */
function oracle(program, ...args) {
  const { status, stdout, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (error) throw error;
  return status === 0 ? stdout.trimEnd() : null;
}

/** What the kernel itself says to one line written to a file of selinuxfs; null when it refuses it. */
function kernel(file, ...words) {
  const fd = openSync(`/sys/fs/selinux/${file}`, 'r+');
  try {
    writeSync(fd, words.join(' '));
    const reply = Buffer.alloc(4096);
    return reply.toString('utf8', 0, readSync(fd, reply, 0, reply.length, 0)).replace(/\0$/, '');
  } catch (error) {
    if (['EINVAL', 'EACCES'].includes(error.code)) return null;
    throw error;
  } finally {
    closeSync(fd);
  }
}

const indexOf = (objectClass) => {
  try {
    return Number(readFileSync(`/sys/fs/selinux/class/${objectClass}/index`, 'utf8'));
  } catch {
    return null;
  }
};

/** The answer, or null for the errors by which the kernel says "none" and "unknown". */
function answer(ask) {
  try {
    return ask();
  } catch (error) {
    if (['EACCES', 'ERR_SELINUX_CONTEXT_INVALID', 'ERR_SELINUX_CLASS_UNKNOWN'].includes(error.code)) return null;
    throw error;
  }
}

/** Contexts of the distribution's policy and of the example module, with levels and without. */
const sources = [
  selinux.getcon(),
  'system_u:system_r:init_t:s0',
  'system_u:system_r:kernel_t:s0',
  'unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023',
  'user_u:user_r:user_t:s0',
  'user_u:user_r:vm_unclass_client_t:s0',
  'unconfined_u:unconfined_r:vm_secret_client_t:s0-s0:c0.c5',
  'user_u:user_r:vm_secret_client_t:s0-s0:c0.c5', // more than user_u is cleared for
  'user_u:user_r:vm_topsecret_client_t:s0',
  'system_u:object_r:vm_secret_virtdisk_t:s0',
  'system_u:object_r:vm_topsecret_virtdisk_t:s0:c1,c2',
  'user_u:user_r:no_such_type_t:s0',
  'nonsense',
];
const targets = [
  'system_u:object_r:tmp_t:s0',
  'system_u:object_r:etc_t:s0',
  'system_u:object_r:bin_t:s0',
  'system_u:object_r:kvm_device_t:s0',
  'system_u:object_r:user_home_dir_t:s0',
  'system_u:object_r:vm_unclass_virtdisk_t:s0',
  'system_u:object_r:vm_secret_virtdisk_t:s0:c1,c2',
  'system_u:object_r:vm_data_virtdisk_t:s0',
  'user_u:user_r:vm_secret_t:s0',
  'user_u:user_r:vm_topsecret_t:s0:c1',
  'system_u:system_r:init_t:s0',
  'system_u:object_r:no_such_type_t:s0',
];
const classes = ['file', 'dir', 'process', 'chr_file', 'unix_stream_socket', 'vm', 'no_such_class'];

const questions = sources.flatMap((source) =>
  targets.flatMap((target) => classes.map((objectClass) => [source, target, objectClass])),
);
/** A process a question takes long under emulation: the programs are asked a part of them, the kernel all. */
const forThePrograms = questions.filter((_, index) => index % 17 === 0);

/** `compute_av` prints " { a b }" after a name; " null" for nothing. What is all ones it leaves out. */
function vectors(text) {
  const found = {};
  for (const line of text.split('\n')) {
    const [, name, list] = /^(\w+)=? ?(.*)$/.exec(line) ?? [];
    if (name)
      found[name] = (/\{ ?(.*?) ?\}/.exec(list)?.[1] ?? '')
        .split(' ')
        .filter((word) => word !== '' && !word.startsWith('0x'));
  }
  return found;
}

test('this is an enforcing kernel', () => {
  assert.equal(selinux.isSelinuxEnabled(), true);
  assert.equal(selinux.securityGetenforce(), oracle('getenforce') === 'Enforcing');
  assert.equal(selinux.selinuxStatus().enforcing, selinux.securityGetenforce());
  assert.equal(`${selinux.securityPolicyvers()}`, oracle('policyvers'));
  assert.equal(`${selinux.securityPolicyvers()}`, readFileSync('/sys/fs/selinux/policyvers', 'utf8'));
  assert.equal(selinux.isSelinuxMlsEnabled(), readFileSync('/sys/fs/selinux/mls', 'utf8') === '1');
  assert.equal(selinux.securityDenyUnknown(), readFileSync('/sys/fs/selinux/deny_unknown', 'utf8') === '1');
  assert.equal(selinux.securityRejectUnknown(), readFileSync('/sys/fs/selinux/reject_unknown', 'utf8') === '1');
  assert.equal(selinux.selinuxStatus().denyUnknown, selinux.securityDenyUnknown());
  const configured = /^SELINUXTYPE=(\S+)/m.exec(readFileSync('/etc/selinux/config', 'utf8'));
  assert.equal(selinux.selinuxGetpolicytype(), configured?.[1]);
});

test('the status page agrees with the file that libselinux reads', () => {
  const page = readFileSync('/sys/fs/selinux/status');
  const [version, sequence, enforcing, policyload, denyUnknown] = new Uint32Array(page.buffer, page.byteOffset, 5);
  assert.ok(version >= 1);
  assert.deepEqual(selinux.selinuxStatus(), {
    sequence,
    enforcing: enforcing === 1,
    policyload,
    denyUnknown: denyUnknown === 1,
  });
});

test('access vectors are the kernel’s', () => {
  let granted = 0;
  for (const [source, target, objectClass] of questions) {
    const index = indexOf(objectClass);
    const theirs = index === null ? null : kernel('access', source, target, index, 'ffffffff');
    const ours = answer(() => selinux.securityComputeAv(source, target, objectClass));
    const what = `${source} ${target} ${objectClass}`;
    assert.equal(ours === null, theirs === null, what);
    if (ours === null || theirs === null) continue;
    const [allowed, decided, auditallow, auditdeny, seqno, flags] = theirs.split(' ');
    assert.deepEqual(
      { ...ours.bits, seqno: ours.seqno, flags: ours.flags },
      {
        allowed: Number.parseInt(allowed, 16),
        decided: Number.parseInt(decided, 16),
        auditallow: Number.parseInt(auditallow, 16),
        auditdeny: Number.parseInt(auditdeny, 16),
        seqno: Number(seqno),
        flags: Number.parseInt(flags, 16),
      },
      what,
    );
    if (ours.allowed.length > 0) granted += 1;
  }
  assert.ok(granted > 100, `${granted} questions have something granted`);
});

test('access vectors by name are those of compute_av', () => {
  let compared = 0;
  for (const [source, target, objectClass] of forThePrograms) {
    const theirs = oracle('compute_av', source, target, objectClass);
    const ours = answer(() => selinux.securityComputeAv(source, target, objectClass));
    assert.equal(ours === null, theirs === null, `${source} ${target} ${objectClass}: ${theirs}`);
    if (ours === null) continue;
    const { allowed = [], auditallow = [], auditdeny } = vectors(theirs);
    assert.deepEqual(ours.allowed, allowed, `${source} ${target} ${objectClass}`);
    assert.deepEqual(ours.auditallow, auditallow);
    if (auditdeny) assert.deepEqual(ours.auditdeny, auditdeny);
    compared += 1;
  }
  assert.ok(compared > 25, `${compared}`);
});

for (const [file, ask] of [
  ['create', selinux.securityComputeCreate],
  ['relabel', selinux.securityComputeRelabel],
  ['member', selinux.securityComputeMember],
]) {
  test(`new contexts are those of the kernel and of compute_${file}`, () => {
    const different = new Set();
    for (const [source, target, objectClass] of questions) {
      const index = indexOf(objectClass);
      const theirs = index === null ? null : kernel(file, source, target, index);
      const ours = answer(() => ask(source, target, objectClass));
      assert.equal(ours, theirs, `${source} ${target} ${objectClass}`);
      if (ours !== null) different.add(ours);
    }
    assert.ok(different.size > 20, `${different.size} different answers`);
    for (const question of forThePrograms) {
      assert.equal(
        answer(() => ask(...question)),
        oracle(`compute_${file}`, ...question),
        question.join(' '),
      );
    }
  });
}

test('new contexts by name are those of the kernel', () => {
  // The policy's own rules by name, and names for which there is none.
  const named = [
    ['system_u:system_r:init_t:s0', 'system_u:object_r:device_t:s0', 'chr_file', 'kvm'],
    ['system_u:system_r:kernel_t:s0', 'system_u:object_r:device_t:s0', 'chr_file', 'null'],
    ['system_u:system_r:udev_t:s0', 'system_u:object_r:etc_t:s0', 'file', 'resolv.conf'],
    ['system_u:system_r:initrc_t:s0', 'system_u:object_r:var_run_t:s0', 'dir', 'lock'],
    ['unconfined_u:unconfined_r:unconfined_t:s0', 'system_u:object_r:user_home_dir_t:s0', 'dir', '.ssh'],
    ['unconfined_u:unconfined_r:unconfined_t:s0', 'system_u:object_r:user_home_dir_t:s0', 'dir', 'other'],
    ['unconfined_u:unconfined_r:unconfined_t:s0', 'system_u:object_r:tmp_t:s0', 'dir', '.X11-unix'],
  ];
  let byName = 0;
  for (const [source, target, objectClass, objectName] of named) {
    const theirs = kernel('create', source, target, indexOf(objectClass), objectName);
    const ours = answer(() => selinux.securityComputeCreate(source, target, objectClass, { objectName }));
    assert.equal(ours, theirs, objectName);
    if (ours !== answer(() => selinux.securityComputeCreate(source, target, objectClass))) byName += 1;
  }
  assert.ok(byName > 0, 'some name makes a difference');
});

test('class vm: the domain is the policy’s, with the client’s role and the common level', () => {
  const create = (client, disk) => answer(() => selinux.securityComputeCreate(client, disk, 'vm'));
  assert.equal(
    create(
      'unconfined_u:unconfined_r:vm_secret_client_t:s0-s0:c0.c1023',
      'system_u:object_r:vm_secret_virtdisk_t:s0:c1,c2',
    ),
    'unconfined_u:unconfined_r:vm_secret_t:s0-s0:c1,c2',
  );
  assert.equal(create('user_u:user_r:vm_secret_client_t:s0', 'system_u:object_r:tmp_t:s0'), null, 'no rule');
});

test('contexts are accepted and spelled as the kernel does', () => {
  for (const context of [...sources, ...targets]) {
    const known = spawnSync('compute_av', [context, context, 'file']).status === 0;
    assert.equal(selinux.securityCheckContext(context), known, context);
    assert.equal(answer(() => selinux.securityCanonicalizeContext(context)) !== null, known, context);
  }
  assert.equal(
    selinux.securityCanonicalizeContext('system_u:object_r:tmp_t:s0:c3,c2,c1'),
    'system_u:object_r:tmp_t:s0:c1.c3',
  );
});

test('classes and permissions are those of selinuxfs', () => {
  const root = '/sys/fs/selinux/class';
  for (const name of readdirSync(root)) {
    const value = Number(readFileSync(`${root}/${name}/index`, 'utf8'));
    assert.equal(selinux.stringToSecurityClass(name), value, name);
    assert.equal(selinux.securityClassToString(value), name);
    for (const permission of readdirSync(`${root}/${name}/perms`)) {
      const bit = 2 ** (Number(readFileSync(`${root}/${name}/perms/${permission}`, 'utf8')) - 1);
      assert.equal(selinux.stringToAvPerm(name, permission), bit, `${name} ${permission}`);
      assert.equal(selinux.securityAvPermToString(name, bit), permission);
    }
  }
});

test('contexts of processes', () => {
  assert.equal(selinux.getcon(), readFileSync('/proc/self/attr/current', 'utf8').replace(/\0$/, ''));
  assert.equal(selinux.getprevcon(), readFileSync('/proc/self/attr/prev', 'utf8').replace(/\0$/, ''));
  for (const pid of [1, process.pid, process.ppid]) assert.equal(selinux.getpidcon(pid), oracle('getpidcon', `${pid}`));
  assert.throws(() => selinux.getpidcon(0x3ffffe), { syscall: 'getpidcon', code: 'ENOENT' });
});

test('contexts of peers', async () => {
  const path = join(directory, 'socket');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const other = spawn(
    'runcon',
    [
      '-l',
      's0',
      process.execPath,
      '-e',
      `require('node:net').connect(${JSON.stringify(path)}); setTimeout(() => {}, 60000)`,
    ],
    {
      stdio: 'ignore',
    },
  );
  const [socket] = await accepted;
  assert.equal(selinux.getpeercon(socket._handle.fd), selinux.getpidcon(other.pid));
  other.kill('SIGKILL');
  socket.destroy();
  const own = connect(path);
  await once(own, 'connect');
  assert.equal(selinux.getpeercon(own._handle.fd), selinux.getcon());
  own.destroy();
  server.close();
  const file = openSync(join(directory, 'socket-not'), 'w');
  assert.throws(() => selinux.getpeercon(file), { syscall: 'getpeercon', code: 'ENOTSOCK' });
  closeSync(file);
});

test('labels of files are those of getfilecon', () => {
  for (const path of [
    '/',
    '/etc/passwd',
    '/etc/shadow',
    '/bin/sh',
    '/dev/null',
    '/dev/kvm',
    '/proc/1',
    '/sys/fs/selinux',
    '/tmp',
  ]) {
    const theirs = oracle('getfilecon', path);
    assert.equal(
      answer(() => selinux.getfilecon(path)),
      theirs === null ? null : theirs.split('\t')[1],
      path,
    );
  }
  const path = join(directory, 'file');
  writeFileSync(path, '');
  const label = 'system_u:object_r:vm_data_virtdisk_t:s0:c1,c2';
  selinux.setfilecon(path, label);
  assert.equal(oracle('getfilecon', path)?.split('\t')[1], label);
  const link = join(directory, 'link');
  symlinkSync(path, link);
  assert.equal(selinux.getfilecon(link), label);
  assert.notEqual(selinux.lgetfilecon(link), label);
  const O_PATH = 0o10000000;
  const fd = openSync(path, O_PATH);
  assert.equal(selinux.fgetfilecon(fd), label, 'O_PATH');
  closeSync(fd);
  assert.throws(() => selinux.setfilecon(path, 'system_u:object_r:no_such_type_t:s0'), {
    code: 'ERR_SELINUX_CONTEXT_INVALID',
    syscall: 'setfilecon',
    path,
  });
});

test('labels that policy wants are those of selabel_lookup and matchpathcon', (t) => {
  const table = selinux.selabelOpen();
  t.after(() => table.close());
  const paths = [
    ['/etc/shadow', constants.S_IFREG, 'file'],
    ['/etc', constants.S_IFDIR, 'dir'],
    ['/usr/bin/qemu-system-x86_64', constants.S_IFREG, 'file'],
    ['/dev/kvm', constants.S_IFCHR, 'char'],
    ['/dev/sda', constants.S_IFBLK, 'block'],
    ['/var/lib/libvirt/images/a.img', constants.S_IFREG, 'file'],
    ['/home/user/.ssh/id_rsa', constants.S_IFREG, 'file'],
    ['/proc/1/stat', constants.S_IFREG, 'file'],
    ['/no/such/place', constants.S_IFREG, 'file'],
  ];
  let found = 0;
  for (const [path, mode, type] of paths) {
    const ours = table.lookup(path, mode);
    const theirs = oracle('selabel_lookup', '-b', 'file', '-k', path, '-t', type);
    assert.equal(ours, /Default context:\s*(\S+)/.exec(theirs ?? '')?.[1] ?? null, `${path}: ${theirs}`);
    assert.equal(selinux.selabelLookup(path, mode), ours);
    if (ours !== null) found += 1;
  }
  assert.ok(found >= 6);
  for (const path of ['/etc/shadow', '/bin/sh', '/tmp', '/usr/bin/node', '/etc/alternatives']) {
    const theirs = /^\S+\s+(\S+)$/.exec(oracle('matchpathcon', path) ?? '')?.[1];
    const { mode } = lstatSync(path);
    assert.equal(selinux.matchpathcon(path, mode), theirs === '<<none>>' ? null : (theirs ?? null), path);
  }
});

test('booleans are those of getsebool', () => {
  const theirs = new Map(
    oracle('getsebool', '-a')
      ?.split('\n')
      .map((line) => line.split(' --> ')),
  );
  assert.deepEqual([...selinux.securityGetBooleanNames()].sort(), [...theirs.keys()].sort());
  for (const [name, value] of theirs) {
    assert.equal(selinux.securityGetBooleanActive(name), value === 'on', name);
    assert.equal(selinux.securityGetBooleanPending(name), value === 'on', name);
  }
  const [name, value] = [...theirs][0];
  selinux.securitySetBooleanList({ [name]: value !== 'on' });
  assert.equal(oracle('getsebool', name), `${name} --> ${value === 'on' ? 'off' : 'on'}`);
  selinux.securitySetBoolean(name, value === 'on');
  assert.equal(selinux.securityGetBooleanPending(name), value === 'on');
  assert.notEqual(selinux.securityGetBooleanActive(name), value === 'on');
  selinux.securityCommitBooleans();
  assert.equal(oracle('getsebool', name), `${name} --> ${value}`);
});

test('the exec attribute reaches the child, is the thread’s own, and is gone when it is cleared', async () => {
  const own = selinux.getcon();
  const [user, role, type] = own.split(':');
  const other = selinux.securityCanonicalizeContext(`${user}:${role}:${type}:s0:c7,c9`);
  const inWorker = () => {
    const worker = new Worker(
      `import { parentPort } from 'node:worker_threads';
       import { getexeccon, getcon } from 'vm-entrypoint/selinux';
       parentPort.on('message', () => parentPort.postMessage([getexeccon(), getcon()]));
       parentPort.postMessage('ready');`,
      { eval: true, type: 'module' },
    );
    const ready = once(worker, 'message');
    return {
      ready,
      async ask() {
        await ready;
        const [answers] = await Promise.all([once(worker, 'message'), worker.postMessage('ask')]);
        return answers[0];
      },
      end: () => worker.terminate(),
    };
  };
  const before = inWorker();
  await before.ready;
  assert.equal(selinux.getexeccon(), null);
  selinux.setexeccon(other);
  let meanwhile;
  try {
    assert.equal(selinux.getexeccon(), other);
    assert.equal(oracle('cat', '/proc/self/attr/current')?.replace(/\0$/, ''), other);
    assert.deepEqual(await before.ask(), [null, own], 'a thread that was there does not have it');
    meanwhile = inWorker();
    await meanwhile.ready;
  } finally {
    selinux.setexeccon(null);
  }
  assert.deepEqual(await meanwhile.ask(), [other, own], 'one that was started meanwhile keeps a copy, as documented');
  await Promise.all([before.end(), meanwhile.end()]);
  assert.equal(selinux.getexeccon(), null);
  assert.equal(oracle('cat', '/proc/self/attr/current')?.replace(/\0$/, ''), own);
  assert.throws(() => selinux.setexeccon('user_u:user_r:no_such_type_t:s0'), {
    code: 'ERR_SELINUX_CONTEXT_INVALID',
    syscall: 'setexeccon',
  });
  // Setting the same again after a child's exec must reach the kernel, too.
  for (let i = 0; i < 3; ++i) {
    selinux.setexeccon(other);
    assert.equal(readFileSync('/proc/thread-self/attr/exec', 'utf8').replace(/\0$/, ''), other);
    assert.equal(oracle('cat', '/proc/self/attr/current')?.replace(/\0$/, ''), other);
    selinux.setexeccon(null);
  }
});

test('the other attributes of the thread', () => {
  const label = 'system_u:object_r:vm_data_virtdisk_t:s0:c3';
  selinux.setfscreatecon(label);
  try {
    assert.equal(selinux.getfscreatecon(), label);
    mkdirSync(join(directory, 'created'));
    assert.equal(selinux.getfilecon(join(directory, 'created')), label);
  } finally {
    selinux.setfscreatecon(null);
  }
  mkdirSync(join(directory, 'created-later'));
  assert.notEqual(selinux.getfilecon(join(directory, 'created-later')), label);
  const own = selinux.getcon();
  for (const [get, set] of [
    [selinux.getsockcreatecon, selinux.setsockcreatecon],
    [selinux.getkeycreatecon, selinux.setkeycreatecon],
  ]) {
    set(own);
    assert.equal(get(), own);
    set(null);
    assert.equal(get(), null);
  }
});

test('policy loads and switches of the mode are told at once, by the kernel', async (t) => {
  // Looked at once an hour: what comes sooner was told.
  const watcher = selinux.watch({ interval: 3_600_000 }).ref();
  t.after(() => watcher.close());
  assert.equal(watcher.notified, true);
  const before = watcher.status;
  const loaded = once(watcher, 'policyload', { signal: AbortSignal.timeout(120_000) });
  execFileSync('load_policy');
  const [status] = await loaded;
  assert.equal(status.policyload, before.policyload + 1);
  for (const enforcing of [false, true]) {
    const told = once(watcher, 'setenforce', { signal: AbortSignal.timeout(30_000) });
    selinux.securitySetenforce(enforcing);
    const [now] = await told;
    assert.equal(now, enforcing);
    assert.equal(oracle('getenforce'), enforcing ? 'Enforcing' : 'Permissive');
  }
  const boolean = selinux.securityGetBooleanNames()[0];
  const committed = once(watcher, 'policyload', { signal: AbortSignal.timeout(30_000) });
  selinux.securitySetBooleanList({ [boolean]: selinux.securityGetBooleanActive(boolean) });
  await committed;
});

test('a Worker ends with its watcher open', async () => {
  for (let i = 0; i < 5; ++i) {
    const worker = new Worker(
      `import { parentPort } from 'node:worker_threads';
       import { watch } from 'vm-entrypoint/selinux';
       const watcher = watch().ref();
       watcher.on('policyload', () => parentPort.postMessage('policyload'));
       parentPort.postMessage(watcher.notified);`,
      { eval: true, type: 'module' },
    );
    const [notified] = await once(worker, 'message');
    assert.equal(notified, true);
    if (i === 0) {
      const told = once(worker, 'message');
      execFileSync('load_policy');
      assert.deepEqual(await told, ['policyload']);
    }
    const descriptors = readdirSync('/proc/self/fd').length;
    await worker.terminate();
    await sleep(50);
    assert.ok(readdirSync('/proc/self/fd').length < descriptors, 'its socket is closed');
  }
});

test('a policy module that comes and goes', async (t) => {
  // A class before and behind `vm`, and a domain that can run node but not choose a context.
  const module = join(directory, 'selinux_test.cil');
  writeFileSync(
    module,
    `(class another_class (do))
     (classorder (unordered another_class))
     (type plain_test_t)
     (roletype unconfined_r plain_test_t)
     (typeattributeset domain (plain_test_t))
     (typeattributeset files_unconfined_type (plain_test_t))
     (typeattributeset filesystem_unconfined_type (plain_test_t))
     (typeattributeset devices_unconfined_type (plain_test_t))
     (typeattributeset kern_unconfined (plain_test_t))
     (typeattributeset selinux_unconfined_type (plain_test_t))
     (allow unconfined_t plain_test_t (process (transition siginh rlimitinh noatsecure)))
     (allow plain_test_t unconfined_t (fd (use)))
     (allow plain_test_t unconfined_t (process (sigchld)))
     (allow plain_test_t unconfined_t (fifo_file (getattr read write append ioctl)))
     (allow plain_test_t unconfined_t (unix_stream_socket (getattr read write append ioctl getopt setopt shutdown)))
     (allow plain_test_t file_type (file (entrypoint)))
     (allow plain_test_t self (process (fork execmem getsched setsched getcap signal)))
     (allow plain_test_t self (fifo_file (getattr read write append ioctl)))
     (allow plain_test_t self (unix_stream_socket (create getattr read write append ioctl)))`,
  );
  execFileSync('semodule', ['-X', '90', '-i', module], { stdio: 'inherit' });

  await t.test('class numbers are those of the loaded policy', () => {
    assert.ok(selinux.stringToSecurityClass('another_class') > 0);
    assert.equal(selinux.stringToSecurityClass('vm'), indexOf('vm'));
    const vm = selinux.securityComputeAv('user_u:user_r:vm_secret_client_t:s0', 'user_u:user_r:vm_secret_t:s0', 'vm');
    assert.ok(vm.allowed.includes('start'));
  });

  await t.test('a domain without setexec is refused, and goes on', () => {
    const context = 'unconfined_u:unconfined_r:plain_test_t:s0-s0:c0.c1023';
    assert.deepEqual(selinux.securityComputeAv(context, context, 'process', 'setexec').denied, ['setexec']);
    const script = `
      import * as selinux from 'vm-entrypoint/selinux';
      for (const context of [selinux.getcon(), null]) {
        try { selinux.setexeccon(context); } catch (error) { console.log(error.code, error.syscall, error.errno); }
      }
      console.log(selinux.getexeccon(), selinux.getcon());`;
    const args = [context, process.execPath, '--input-type=module', '-e', script];
    const { stdout, stderr } = spawnSync('runcon', args, { encoding: 'utf8', cwd: process.cwd() });
    assert.equal(stdout, `EACCES setexeccon -13\nEACCES setexeccon -13\nnull ${context}\n`, stderr);
  });

  execFileSync('semodule', ['-X', '90', '-r', 'selinux_test'], { stdio: 'inherit' });
  assert.throws(() => selinux.stringToSecurityClass('another_class'), { code: 'ERR_SELINUX_CLASS_UNKNOWN' });
  assert.equal(selinux.stringToSecurityClass('vm'), indexOf('vm'));
});

test('translated contexts are raw ones where no daemon translates', () => {
  assert.equal(selinux.getcon({ raw: false }), selinux.getcon());
  assert.equal(selinux.getfilecon('/', { raw: false }), selinux.getfilecon('/'));
  assert.equal(selinux.selinuxRawToTransContext('system_u:object_r:tmp_t:s0'), 'system_u:object_r:tmp_t:s0');
});
