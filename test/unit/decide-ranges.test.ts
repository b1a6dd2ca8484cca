// Ranges that do not meet: the kernel answers EINVAL although it knows both contexts, which is a refusal and no failure.
import t from 'tap';
import type { StartRequest } from '../../types/public.js';
import { cli, root } from '../helpers/cli.js';
import { startFakeSelinux } from '../helpers/fake-selinux.js';

const fake = startFakeSelinux();
t.teardown(() => fake.stop());
const { decide, prepareDecision, VERDICT } = await import('../../lib/decide.js');
const { missingRules } = await import('../../lib/denial-message.js');
const selinux = await import('../../lib/selinux.js');

const CLIENT = 'user_u:user_r:client_t:s0';
const label = (type: string): string => `system_u:object_r:${type}:s1`;
const about = (type: string): StartRequest => ({
  disks: [{ context: label(type), format: 'raw', readOnly: true }],
  client: CLIENT,
});
const domain = (request: StartRequest) => decide(request).checks.find(({ question }) => question === 'vm-domain');

t.test('a disk above the clearance: refused for want of a domain, and the ranges are the reason', async (t) => {
  t.throws(() => selinux.securityComputeCreate(CLIENT, label('disk_t'), 'vm'), {
    code: 'EINVAL',
    syscall: 'security_compute_create',
    message: /their ranges do not meet/,
  });
  const decision = decide(about('disk_t'));
  t.match(decision, { allowed: false, evaluated: true, refusal: 'no-transition', vmContext: null });
  t.match(domain(about('disk_t')), { constraint: true, rule: null, invalidContext: null, source: CLIENT });
  t.match(missingRules(decision).join('\n'), /; the type rule is there, .*: their ranges do not meet/);
  t.equal(prepareDecision(about('disk_t')).verdict() & VERDICT.noTransition, VERDICT.noTransition);
});

t.test('a type rule that is missing too is named beside it', async (t) => {
  const rule = '(typetransition client_t nobody_t vm DOMAIN)';
  t.match(domain(about('nobody_t')), { constraint: true, rule });
  t.match(missingRules(decide(about('nobody_t'))).join('\n'), new RegExp(`${rule.replace(/[()]/g, '\\$&')} ; and `));
});

t.test('the command line: denied, and not "could not be evaluated"', async (t) => {
  const args = ['explain', '--client', CLIENT, '--disk-context', `${label('disk_t')},readonly`];
  const { status, stdout, stderr } = await cli(args, {
    node: ['--import', `${root}test/helpers/cli-host.mjs`],
    env: { FAKE_SELINUX_DIR: fake.directory },
  });
  t.equal(status, 1, stderr);
  t.match(stdout, /^refused: policy names no domain/);
  t.match(stdout, /their ranges do not meet/);
});
