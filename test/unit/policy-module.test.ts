// The shipped policy modules: what they say (read as s-expressions), and what they do (compiled by
// secilc on a small reference policy and queried with the SELinux project's own tools, so that
// nothing of this package judges itself).

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

type Node = string | Node[];

const policyDirectory = join(import.meta.dirname, '../../policy');
const modulePath = join(policyDirectory, 'vm_entrypoint.cil');
const examplePath = join(policyDirectory, 'examples/three_levels.cil');

const permissions = [
  'entrypoint',
  'start',
  'stop',
  'reset',
  'suspend',
  'resume',
  'save',
  'restore',
  'snapshot',
  'migrate_out',
  'migrate_in',
  'monitor',
  'control',
  'console',
  'attach',
  'define',
  'undefine',
  'debug',
];

/** Reads CIL as nested lists. Strings do not occur in the modules, so quoting is an error. */
function parse(text: string): Node[] {
  const stack: Node[][] = [[]];
  for (const [token] of text.replace(/;.*$/gm, '').matchAll(/[()"]|[^\s()"]+/g)) {
    const top = stack.at(-1);
    if (top === undefined) throw new Error('unbalanced )');
    if (token === '"') throw new Error('quoted string');
    else if (token === '(') stack.push([]);
    else if (token === ')') {
      stack.pop();
      stack.at(-1)?.push(top);
    } else top.push(token);
  }
  if (stack.length !== 1) throw new Error('unbalanced (');
  return stack[0] as Node[];
}

/** All statements with that keyword, at any depth. */
function statements(nodes: Node[], keyword: string): Node[][] {
  return nodes.flatMap((node) =>
    typeof node === 'string' ? [] : [...(node[0] === keyword ? [node] : []), ...statements(node, keyword)],
  );
}

function hasTool(name: string, ...args: string[]): boolean {
  return spawnSync(name, args, { stdio: 'ignore' }).error === undefined;
}

const tools = ['secilc', 'checkpolicy', 'sepol_check_access', 'sepol_compute_relabel'];
const missing = tools.filter((tool) => !hasTool(tool, '-h'));
const compiled =
  missing.length > 0 ? { skip: `not installed: ${missing.join(', ')} (Debian: secilc checkpolicy sepol-utils)` } : {};

// A policy with the constraints and the types of the distribution's which matter here. Written out
// instead of taken from a package, so that the tests mean the same on every machine.
const classes = `
(class process (fork transition sigchld sigkill sigstop signull signal getsched setsched getpgid
  setpgid getcap getattr setexec setfscreate siginh setrlimit rlimitinh dyntransition setcurrent
  execmem setsockcreate getrlimit noatsecure))
(class process2 (nnp_transition nosuid_transition))
(class capability (setuid setgid kill sys_ptrace sys_resource audit_write dac_read_search))
(class netlink_audit_socket (create getattr ioctl read write bind connect getopt setopt shutdown
  nlmsg_relay))
(class security (compute_av compute_create compute_relabel check_context))
(class filesystem (associate getattr))
(class fd (use))
${['file', 'blk_file', 'chr_file', 'lnk_file', 'fifo_file', 'sock_file', 'anon_inode']
  .map(
    (name) => `(class ${name} (ioctl read write create getattr setattr lock relabelfrom relabelto
  append map unlink link rename execute open execute_no_trans entrypoint))`,
  )
  .join('\n')}
(class dir (ioctl read write create getattr setattr lock unlink rename open add_name remove_name
  reparent search rmdir))
${['unix_stream_socket', 'unix_dgram_socket']
  .map(
    (name) => `(class ${name} (ioctl read write create getattr setattr append bind connect listen
  accept getopt setopt shutdown sendto connectto))`,
  )
  .join('\n')}
(classorder (process process2 capability netlink_audit_socket security filesystem fd file blk_file chr_file lnk_file fifo_file
  sock_file anon_inode dir unix_stream_socket unix_dgram_socket))
`;
const frame = `${classes}
(sid kernel) (sidorder (kernel)) (sidcontext kernel (system_u system_r kernel_t ((s0) (s0))))
(sensitivity s0) (sensitivityorder (s0))
${Array.from({ length: 8 }, (_, i) => `(category c${i})`).join(' ')}
(categoryorder (c0 c1 c2 c3 c4 c5 c6 c7)) (sensitivitycategory s0 (range c0 c7))
(role object_r) (role system_r) (role staff_r) (roleallow system_r staff_r)
(type kernel_t) (roletype system_r kernel_t)
(user system_u) (userrole system_u system_r) (userrole system_u object_r)
(user staff_u) (userrole staff_u staff_r) (userrole staff_u object_r)
(userlevel system_u (s0)) (userrange system_u ((s0) (s0 (range c0 c7))))
(userlevel staff_u (s0)) (userrange staff_u ((s0) (s0 (range c0 c7))))
`;
const bare = `${frame}(allow kernel_t self (process (fork)))`;
const reference = `${frame}
(typeattribute domain) (typeattribute file_type) (typeattribute virt_domain)
(typeattribute virt_image_type) (typeattribute mcs_constrained_type)
(typeattribute process_user_target) (typeattribute can_change_process_identity)
(typeattribute can_change_process_role)
${['kvm_device_t', 'device_t', 'qemu_exec_t', 'lib_t', 'virt_content_t', 'unconfined_t']
  .map((type) => `(type ${type}) (roletype object_r ${type})`)
  .join('\n')}
(roletype system_r unconfined_t)
(typeattributeset file_type (qemu_exec_t lib_t virt_content_t))
(typeattributeset virt_image_type (virt_content_t))
(allow domain lib_t (file (getattr open read map execute)))
(allow virt_domain virt_image_type (file (getattr open read)))
(allow unconfined_t kvm_device_t (chr_file (getattr open read write ioctl)))
(mlsconstrain (file (read write open)) (or (dom h1 h2) (neq t1 mcs_constrained_type)))
(mlsconstrain (process (transition)) (or (dom h1 h2) (neq t1 mcs_constrained_type)))
(constrain (process (transition)) (or (eq u1 u2)
  (and (eq t1 can_change_process_identity) (eq t2 process_user_target))))
(constrain (process (transition)) (or (eq r1 r2)
  (and (eq t1 can_change_process_role) (eq t2 process_user_target))))
`;

interface Policy {
  /** Whether all of the comma-separated permissions are granted. */
  allows(source: string, target: string, tclass: string, perms: string): boolean;
  /** The new `vm` context by type_transition, or null where the policy gives none. */
  transition(source: string, target: string): string | null;
  /** The new `vm` context by type_change, or null where the policy gives none. */
  change(source: string, target: string): string | null;
}

/** Runs secilc. Resolves neverallow rules, as libsemanage does with expand-check=1. */
function compile(directory: string, ...sources: string[]): { status: number | null; stderr: string } {
  const files = sources.map((source, index) => {
    const path = join(directory, `${index}.cil`);
    writeFileSync(path, source);
    return path;
  });
  const output = join(directory, 'policy');
  const contexts = join(directory, 'file_contexts');
  return spawnSync('secilc', ['-M', 'true', '-c', '33', '-o', output, '-f', contexts, ...files], {
    encoding: 'utf8',
  });
}

function load(directory: string, ...sources: string[]): Policy {
  const { status, stderr } = compile(directory, ...sources);
  if (status !== 0) throw new Error(`secilc: ${stderr}`);
  const path = join(directory, 'policy');

  // checkpolicy -d is a menu: 2 turns a context into a number, 3 asks for the transition of two
  // numbers, 1 turns the answer back into a context.
  const menu = (...input: (string | number)[]): string =>
    spawnSync('checkpolicy', ['-b', '-M', '-d', path], {
      input: `${input.join('\n')}\nq\n`,
      encoding: 'utf8',
    }).stdout;
  const sidsIn = (text: string): string[] => [...text.matchAll(/^sid (\d+)$/gm)].map((m) => m[1] ?? '');

  return {
    allows(source, target, tclass, perms) {
      const run = spawnSync('sepol_check_access', [path, source, target, tclass, perms], { encoding: 'utf8' });
      if (run.status === 0) return true;
      if (/denied by/.test(run.stdout)) return false;
      throw new Error(`sepol_check_access ${source} ${target}: ${run.stdout}${run.stderr}`);
    },
    transition(source, target) {
      const known = [2, source, 2, target];
      const [from, to] = sidsIn(menu(...known));
      if (from === undefined || to === undefined) throw new Error(`unknown context ${source} ${target}`);
      const answer = sidsIn(menu(...known, 3, from, to, 'vm')).at(2);
      if (answer === undefined) return null;
      const context = /^scontext (\S+)$/m.exec(menu(...known, 3, from, to, 'vm', 1, answer));
      if (!context?.[1]) throw new Error('no context for the new sid');
      return context[1];
    },
    change(source, target) {
      const run = spawnSync('sepol_compute_relabel', [path, source, target, 'vm'], { encoding: 'utf8' });
      return run.status === 0 ? run.stdout.trim() : null;
    },
  };
}

const vmModule = readFileSync(modulePath, 'utf8');
const example = readFileSync(examplePath, 'utf8');
const wide = 's0-s0:c0.c7';
const client = (level: string, range = wide): string => `system_u:system_r:vm_${level}_client_t:${range}`;
const disk = (type: string, range = 's0'): string => `system_u:object_r:${type}:${range}`;
const vm = (level: string, range = 's0'): string => `system_u:system_r:vm_${level}_t:${range}`;

t.test('the class has its permissions in their fixed order', (t) => {
  const source = parse(vmModule);
  t.same(statements(source, 'class'), [['class', 'vm', permissions]]);
  t.same(statements(source, 'classorder'), [['classorder', ['unordered', 'vm']]]);
  t.end();
});

t.test('the defaults make a missing rule a refusal and the level an intersection', (t) => {
  const source = parse(vmModule);
  t.same(statements(source, 'defaultuser'), [['defaultuser', 'vm', 'source']]);
  t.same(statements(source, 'defaultrole'), [['defaultrole', 'vm', 'source']]);
  t.same(statements(source, 'defaultrange'), [['defaultrange', 'vm', 'glblub']]);
  t.end();
});

t.test('the README documents every macro, and no other', (t) => {
  const readme = readFileSync(join(policyDirectory, 'README.md'), 'utf8');
  const documented = [...readme.matchAll(/^\| `\((\w+) [^`]*\)` \|/gm)].map((match) => match[1]);
  const defined = statements(parse(vmModule), 'macro').map((macro) => macro[1]);
  t.ok(defined.length > 0);
  t.same(documented.toSorted(), defined.toSorted());
  t.end();
});

t.test('the module compiles on a policy which has none of the types it knows', compiled, (t) => {
  t.equal(compile(t.testdir(), bare, vmModule, example).stderr, '');
  t.end();
});

t.test('a client of one level starts what it may, in the domain of its level', compiled, (t) => {
  const policy = load(t.testdir(), reference, vmModule, example);
  const levels = ['unclass', 'secret', 'topsecret'];
  for (const [rank, level] of levels.entries()) {
    for (const [height, of] of levels.entries()) {
      const image = disk(`vm_${of}_virtdisk_t`);
      const name = `${level} client, ${of} disk`;
      const mayBoot = height <= rank;
      t.ok(policy.allows(client(level), image, 'file', 'getattr'), `${name}: see`);
      t.equal(policy.allows(client(level), image, 'file', 'open'), mayBoot, `${name}: open`);
      t.equal(policy.allows(client(level), image, 'file', 'read'), mayBoot, `${name}: read`);
      t.equal(policy.allows(client(level), image, 'file', 'write'), height === rank, `${name}: write`);
      t.equal(policy.allows(image, vm(level), 'vm', 'entrypoint'), mayBoot, `${name}: entrypoint`);
      const ruled = level !== 'unclass' || of === 'unclass';
      t.equal(policy.transition(client(level), image), ruled ? vm(level) : null, `${name}: transition`);
      t.equal(policy.change(client(level), image), ruled ? vm(level) : null, `${name}: change`);
      t.equal(policy.allows(vm(level), image, 'file', 'getattr,read'), mayBoot, `${name}: VM reads`);
      t.equal(policy.allows(vm(level), image, 'file', 'write'), height === rank, `${name}: VM writes`);
    }
    t.ok(policy.allows(client(level), vm(level), 'vm', 'start'), `${level}: start`);
    t.ok(policy.allows(client(level), vm(level), 'process', 'transition'), `${level}: exec`);
    t.ok(policy.allows(vm(level), disk('qemu_exec_t'), 'file', 'entrypoint,execute'), `${level}: emulator`);
  }
  t.end();
});

t.test('a VM domain opens no image, and no client opens /dev/kvm', compiled, (t) => {
  const policy = load(t.testdir(), reference, vmModule, example);
  const kvm = disk('kvm_device_t');
  for (const level of ['unclass', 'secret', 'topsecret']) {
    for (const type of ['unclass', 'secret', 'topsecret', 'data', 'sealed'].map((d) => `vm_${d}_virtdisk_t`)) {
      for (const tclass of ['file', 'blk_file']) {
        t.notOk(policy.allows(vm(level), disk(type), tclass, 'open'), `${level} VM, ${type}:${tclass}`);
      }
    }
    t.ok(policy.allows(vm(level), kvm, 'chr_file', 'open,read,write,ioctl'), `${level} VM, kvm`);
    for (const permission of ['open', 'read', 'write', 'ioctl']) {
      t.notOk(policy.allows(client(level), kvm, 'chr_file', permission), `${level} client, kvm ${permission}`);
    }
    t.notOk(policy.allows(vm(level), vm(level), 'process', 'dyntransition'));
    t.notOk(policy.allows(client(level), disk('qemu_exec_t'), 'file', 'execute_no_trans'));
  }
  t.end();
});

t.test('a label without a rule boots nowhere, although everybody reads it', compiled, (t) => {
  const policy = load(t.testdir(), reference, vmModule, example);
  for (const level of ['unclass', 'secret', 'topsecret']) {
    t.ok(policy.allows(client(level), disk('lib_t'), 'file', 'getattr,open,read'));
    t.equal(policy.transition(client(level), disk('lib_t')), null);
    t.equal(policy.change(client(level), disk('lib_t')), null);
    t.notOk(policy.allows(disk('lib_t'), vm(level), 'vm', 'entrypoint'));
  }
  t.end();
});

t.test('readable without entrypoint, and entrypoint without readable', compiled, (t) => {
  const policy = load(t.testdir(), reference, vmModule, example);
  const data = disk('vm_data_virtdisk_t');
  const sealed = disk('vm_sealed_virtdisk_t');
  t.equal(policy.transition(client('secret'), data), vm('secret'));
  t.ok(policy.allows(client('secret'), data, 'file', 'getattr,open,read,write'));
  t.notOk(policy.allows(data, vm('secret'), 'vm', 'entrypoint'));
  t.equal(policy.transition(client('secret'), sealed), vm('secret'));
  t.notOk(policy.allows(client('secret'), sealed, 'file', 'read'));
  t.ok(policy.allows(sealed, vm('secret'), 'vm', 'entrypoint'));
  t.end();
});

t.test('categories of the disk bind its VM and the clients', compiled, (t) => {
  const policy = load(t.testdir(), reference, vmModule, example);
  const mine = disk('vm_secret_virtdisk_t', 's0:c1,c2');
  const other = disk('vm_secret_virtdisk_t', 's0:c3,c4');
  const confined = vm('secret', 's0-s0:c1,c2');
  t.equal(policy.transition(client('secret'), mine), confined);
  t.ok(policy.allows(confined, mine, 'file', 'read,write'));
  t.notOk(policy.allows(confined, other, 'file', 'read'));
  // type_change ignores the default range: the VM gets the client's low level, which reads nothing.
  t.equal(policy.change(client('secret'), mine), vm('secret'));
  t.notOk(policy.allows(vm('secret'), mine, 'file', 'read'));
  // A client without the category, and so a VM without it.
  t.notOk(policy.allows(client('secret', 's0-s0:c5'), mine, 'file', 'read'));
  t.equal(policy.transition(client('secret', 's0-s0:c5'), mine), vm('secret'));
  t.end();
});

t.test('a manager starts VMs for users of other roles, and none in its own name', compiled, (t) => {
  const policy = load(t.testdir(), reference, vmModule, example);
  const manager = `system_u:system_r:vm_manager_t:${wide}`;
  const of = (type: string): string => `staff_u:staff_r:${type}:s0`;
  t.equal(policy.transition(of('vm_secret_client_t'), disk('vm_secret_virtdisk_t')), of('vm_secret_t'));
  t.ok(policy.allows(manager, of('vm_secret_t'), 'process', 'transition'));
  t.notOk(policy.allows(`system_u:system_r:vm_secret_client_t:${wide}`, of('vm_secret_t'), 'process', 'transition'));
  t.equal(policy.transition(manager, disk('vm_secret_virtdisk_t')), null);
  t.notOk(policy.allows(manager, of('vm_secret_t'), 'vm', 'start'));
  t.end();
});

t.test('the site module of the README does what the README says', compiled, (t) => {
  const readme = readFileSync(join(policyDirectory, 'README.md'), 'utf8');
  const site = /```lisp\n([^`]+)```/.exec(readme)?.[1];
  if (site === undefined) throw new Error('no site module in the README');
  t.ok(site.split('\n').filter((line) => line.startsWith('(')).length <= 14);
  const program = '(roletype system_r webmgr_t) (type webmgr_t)';
  const policy = load(t.testdir(), reference, vmModule, program, site);
  const manager = `system_u:system_r:webmgr_t:${wide}`;
  const image = disk('web_disk_t', 's0:c1,c2');
  const guest = policy.transition(manager, image);
  t.equal(guest, 'system_u:system_r:web_vm_t:s0-s0:c1,c2');
  if (guest === null) throw new Error('unreachable');
  t.ok(policy.allows(manager, image, 'file', 'getattr,open,read,write'));
  t.ok(policy.allows(image, guest, 'vm', 'entrypoint'));
  t.ok(policy.allows(manager, guest, 'vm', 'start,stop'));
  t.ok(policy.allows(manager, guest, 'process', 'transition,sigkill'));
  t.ok(policy.allows(guest, image, 'file', 'getattr,read,write,lock'));
  t.notOk(policy.allows(guest, image, 'file', 'open'));
  t.notOk(policy.allows(manager, guest, 'vm', 'control'));
  t.end();
});

t.test('a site module which breaks a guarantee does not compile', compiled, (t) => {
  for (const [name, site] of [
    ['a VM domain that opens images', '(allow vm_secret_t vm_secret_virtdisk_t (file (open)))'],
    ['a VM domain that opens block devices', '(allow vm_secret_t vm_data_virtdisk_t (blk_file (open)))'],
    ['a VM domain that changes its context', '(allow vm_secret_t self (process (setcurrent)))'],
    ['a client with /dev/kvm', '(call vm_entrypoint.client (unconfined_t))'],
  ] as const) {
    const { status, stderr } = compile(t.testdir(), reference, vmModule, example, site);
    t.not(status, 0, name);
    t.match(stderr, /neverallow check failed/, name);
  }
  t.end();
});
