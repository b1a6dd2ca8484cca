// What the error of a refused start carries besides its text.
import t from 'tap';
import type { StartRequest } from '../../types/public.js';
import { startFakeSelinux } from '../helpers/fake-selinux.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
const { decide } = await import('../../lib/decide.js');
const { denialMessage, refusingChecks } = await import('../../lib/denial-message.js');
const { AccessDeniedError, PolicyChangedError, SystemError, VmEntrypointError } = await import('../../lib/errors.js');

const client = 'user_u:user_r:client_t:s0-s0:c0.c7';
const emulator = { context: 'system_u:object_r:qemu_exec_t:s0' };
const disk = (type: string): StartRequest['disks'] => [
  { context: `system_u:object_r:${type}:s0`, format: 'raw', readOnly: true },
];
const refused = (request: StartRequest): InstanceType<typeof AccessDeniedError> => {
  const decision = decide(request);
  t.equal(decision.allowed, false);
  return new AccessDeniedError(decision, denialMessage(decision));
};

t.test('the check that the message names, in the words of an AVC record', async (t) => {
  const request = { client, emulator, disks: disk('data_t') };
  const error = refused(request);
  t.match(error, {
    name: 'AccessDeniedError',
    code: 'ERR_SELINUX_DENIED',
    scontext: 'system_u:object_r:data_t:s0',
    tclass: 'vm',
    requested: ['entrypoint'],
    denied: ['entrypoint'],
    permissive: false,
    policySequence: decide(request).policySequence,
  });
  t.match(error.tcontext, /^user_u:user_r:vm_t:s0/);
  const { scontext, tcontext, tclass, denied } = error;
  t.ok(
    error.message.startsWith(
      `denied { ${denied.join(' ')} } scontext=${scontext} tcontext=${tcontext} tclass=${tclass}`,
    ),
    error.message,
  );
});

t.test('only some of what was requested is denied', async (t) => {
  // data_t may be read by this client, and locked, and not be written.
  const disks = [{ context: 'system_u:object_r:data_t:s0', format: 'raw' }] as const;
  t.match(refused({ client, emulator, disks }), {
    scontext: client,
    tclass: 'file',
    requested: ['getattr', 'open', 'read', 'write', 'lock'],
    denied: ['write'],
  });
});

t.test('no domain, and a context that nobody knows', async (t) => {
  t.match(refused({ client, emulator, disks: disk('nobody_t') }), {
    scontext: client,
    tcontext: 'system_u:object_r:nobody_t:s0',
    tclass: 'vm',
    requested: ['type_transition'],
    denied: ['type_transition'],
  });
  t.match(refused({ client: 'no:such:context:s0', emulator, disks: disk('disk_t') }), {
    scontext: 'no:such:context:s0',
    denied: Array,
  });
});

t.test('a denial that is not enforced is passed over', async (t) => {
  // Permissive are the denials of this client; the disk's are not.
  const permissive = 'user_u:user_r:permissive_t:s0';
  fake.reload({ cil: '(typetransition permissive_t data_t vm vm_t)' });
  t.teardown(() => fake.reload());
  const decision = decide({ client: permissive, emulator, disks: disk('data_t') });
  t.ok(decision.checks.some((check) => check.denied.length > 0 && check.permissive));
  const error = refused({ client: permissive, emulator, disks: disk('data_t') });
  t.equal(error.permissive, false);
  t.equal(error.scontext, refusingChecks(decision)[0]?.source);
  t.not(error.scontext, permissive);
});

t.test('info is all of it in one frozen object', async (t) => {
  const error = refused({ client, emulator, disks: disk('data_t') });
  t.ok(error instanceof VmEntrypointError);
  t.ok(Object.isFrozen(error.info));
  const { decision, scontext, tcontext, tclass, requested, denied, permissive, policySequence } = error;
  t.same(error.info, {
    ...{ name: 'AccessDeniedError', code: 'ERR_SELINUX_DENIED', decision, policySequence },
    ...{ scontext, tcontext, tclass, requested, denied, permissive },
  });
  t.same(new SystemError('EACCES', 'text', { errno: -13, syscall: 'openat', path: '/a' }).info, {
    ...{ name: 'SystemError', code: 'EACCES', errno: -13, syscall: 'openat', path: '/a' },
  });
  t.same(new PolicyChangedError('ERR_SELINUX_POLICY_CHANGED', 'text').info, {
    ...{ name: 'PolicyChangedError', code: 'ERR_SELINUX_POLICY_CHANGED', retryable: true },
  });
  t.notOk(Object.keys(error).includes('info'), 'and is not printed twice');
});
