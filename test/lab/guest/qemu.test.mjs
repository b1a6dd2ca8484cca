// qemu() where SELinux enforces: real machines, started by the manager, each in the domain that policy chose. What the
// domain may not do is not left to QEMU to find out: the start is refused and names the rule.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { securityGetenforce, setfilecon } from 'vm-entrypoint/selinux';
import { bootableImage } from '/project/examples/demo/boot-sector.mjs';
import { countingImage, firmwareImage } from './starts/boot-code.mjs';
import { contextOf, inContext, manager } from './starts/in-context.mjs';
import { loadWith, unload } from './starts/load-policy.mjs';

const directory = '/var/tmp/qemu';
const marker = '[guest] booted from the disk';
const client = contextOf('vm_secret_client_t');
const vmContext = 'unconfined_u:unconfined_r:vm_secret_t:s0';

assert.equal(securityGetenforce(), true, 'this proves nothing unless SELinux enforces');
mkdirSync(directory, { recursive: true });

/** Makes a file and labels it; gives its path. */
function file(name, type, content) {
  const path = `${directory}/${name}`;
  if (content !== undefined) writeFileSync(path, content);
  setfilecon(path, `system_u:object_r:${type}:s0`);
  return path;
}
const raw = file('disk.raw', 'vm_secret_virtdisk_t', bootableImage(marker));
const disk = { path: raw, format: 'raw', readOnly: true };
// What every domain here may write to.
const report = file('report', 'vm_data_virtdisk_t', '');

/** Tries a start that must not come about: gives its error, when nothing ran. */
function refusedStart(options, request, launcher = manager) {
  writeFileSync(report, '');
  const outcome = inContext(
    launcher,
    ({ attempt, qemu }, { options, request, report }) => attempt({ ...request, emulator: qemu(options) }, { report }),
    { options: { memory: 64, ...options }, request, report },
  );
  assert.notEqual(outcome.error, null, `it ran: ${outcome.report}`);
  assert.deepEqual([outcome.children, outcome.report], [[], ''], 'nothing ran');
  return outcome.error;
}
/** The same, refused by policy: gives the checks that did. */
function refused(options, request, launcher) {
  const error = refusedStart(options, request, launcher);
  assert.equal(error.name, 'AccessDeniedError', error.message);
  return error.decision.checks.filter(({ denied }) => denied.length > 0);
}
const asked = (checks) => checks.map(({ question, subject, rule }) => ({ question, subject, rule }));

const boot = (options, request, until, launcher = manager) =>
  inContext(
    launcher,
    ({ boot, qemu }, [options, request, until]) => boot({ ...request, emulator: qemu(options) }, until),
    [{ memory: 64, ...options }, request, until],
  );

test('a qcow2 disk boots, and its monitor answers on a channel of its own', () => {
  execFileSync('qemu-img', ['convert', '-O', 'qcow2', raw, `${directory}/disk.qcow2`]);
  const path = file('disk.qcow2', 'vm_secret_virtdisk_t');
  const seen = inContext(
    manager,
    async ({ start, end, listen, monitor, qemu }, request) => {
      const vm = await start({ ...request, emulator: qemu({ memory: 64, monitor: true }) });
      try {
        const serial = await listen(vm.stdout).until('disk');
        const { greeting, ask } = await monitor(vm);
        const answers = [await ask('query-status'), await ask('query-kvm'), await ask('query-named-block-nodes')];
        return { serial, greeting, answers, context: vm.context };
      } finally {
        await end(vm);
      }
    },
    { client, disks: [{ path, format: 'qcow2' }] },
  );
  assert.ok(seen.serial.includes(marker), seen.serial);
  assert.equal(seen.context, vmContext);
  assert.ok(seen.greeting.QMP.version);
  const [status, kvm, nodes] = seen.answers.map((answer) => answer.return);
  assert.equal(status.status, 'running');
  assert.deepEqual(kvm, { enabled: true, present: true });
  assert.deepEqual(nodes.map((node) => node.drv).toSorted(), ['file', 'qcow2']);
  assert.ok(
    nodes.every(({ file }) => file.startsWith('/dev/fdset/')),
    JSON.stringify(nodes),
  );
});

// A file of an initial file system, in the form `newc` of cpio.
function member(name, mode, content = Buffer.alloc(0)) {
  const pad = (buffer) => Buffer.concat([buffer, Buffer.alloc(-buffer.length & 3)]);
  const fields = [0, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
  return Buffer.concat([pad(Buffer.from(header)), pad(content)]);
}
const kernelName = readdirSync('/boot').find((name) => name.startsWith('vmlinuz-'));
const initrd = Buffer.concat([
  member('proc', 0o040755),
  member('init', 0o100755, readFileSync('/project/build/test/guest_init')),
  member('TRAILER!!!', 0),
]);
const kernelOptions = { memory: 128, append: 'console=ttyS0 quiet test=by-descriptor' };
const kernelFile = (name, type) => {
  copyFileSync(`/boot/${kernelName}`, `${directory}/${name}`);
  return { path: file(name, type) };
};
const bootFiles = {
  kernel: kernelFile('kernel', 'vm_boot_file_t'),
  initrd: { path: file('initrd', 'vm_boot_file_t', initrd) },
};

test('a kernel and its initrd boot, opened by the VM itself through its descriptors', () => {
  const seen = boot(kernelOptions, { client, disks: [], ...bootFiles }, '[end]');
  assert.match(seen.serial, /\[initrd\] process 1 of a kernel with: console=ttyS0 quiet test=by-descriptor/);
  assert.deepEqual([seen.context, seen.running], [vmContext, vmContext]);
});

test('a kernel of a type that the VM may not open is refused, and the rule that open_boot_file has is named', () => {
  // An image type: readable for the client, an entrypoint, and for the VM a descriptor only.
  const checks = refused(kernelOptions, {
    client,
    disks: [],
    kernel: kernelFile('kernel-image', 'vm_secret_virtdisk_t'),
    initrd: bootFiles.initrd,
  });
  assert.deepEqual(asked(checks), [
    {
      question: 'inherit',
      subject: `${directory}/kernel-image`,
      rule: '(allow vm_secret_t vm_secret_virtdisk_t (file (open map)))',
    },
  ]);
});

test('an initrd beside a disk is an entrypoint, too', () => {
  const path = file('initrd-data', 'vm_data_virtdisk_t', initrd);
  const checks = refused(kernelOptions, { client, disks: [disk], kernel: bootFiles.kernel, initrd: { path } });
  assert.deepEqual(
    asked(checks).find(({ question }) => question === 'entrypoint'),
    { question: 'entrypoint', subject: path, rule: '(allow vm_data_virtdisk_t vm_secret_t (vm (entrypoint)))' },
  );
});

test('firmware runs in place of the machine’s own, from a descriptor that the VM could not open', () => {
  const path = file('firmware', 'vm_secret_virtdisk_t', firmwareImage('[firmware] by descriptor'));
  const seen = boot({}, { client, disks: [disk], firmware: { path } }, 'descriptor');
  assert.match(seen.serial, /^\[firmware\] by descriptor/);
  assert.equal(seen.running, vmContext);
  assert.equal(seen.files[path], 'r');
});

test('firmware that is no entrypoint is refused', () => {
  const path = file('firmware-data', 'vm_data_virtdisk_t', firmwareImage('[firmware] MUST NEVER RUN'));
  const checks = refused({}, { client, disks: [disk], firmware: { path } });
  assert.deepEqual(asked(checks), [
    { question: 'entrypoint', subject: path, rule: '(allow vm_data_virtdisk_t vm_secret_t (vm (entrypoint)))' },
  ]);
});

test('a saved state goes on where it was saved, once policy says that the client may restore', (t) => {
  const counting = {
    path: file('counting.raw', 'vm_secret_virtdisk_t', countingImage()),
    format: 'raw',
    readOnly: true,
  };
  const state = file('state', 'vm_secret_virtdisk_t', '');
  const saved = inContext(
    manager,
    async ({ start, end, listen, monitor, qemu, openSync }, { request, state }) => {
      const vm = await start({ ...request, emulator: qemu({ memory: 64, monitor: true }) });
      try {
        const serial = listen(vm.stdout);
        await serial.until('>');
        for (const digit of ['1', '2', '3']) {
          vm.stdin.write('.');
          await serial.until(digit);
        }
        const { ask, give } = await monitor(vm);
        const given = await give(openSync(state, 'r+'), 'getfd', { fdname: 'state' });
        const begun = await ask('migrate', { uri: 'fd:state' });
        let progress = {};
        while (!['completed', 'failed'].includes(progress.status)) {
          await new Promise((resolve) => setTimeout(resolve, 100));
          progress = (await ask('query-migrate')).return;
        }
        return { serial: serial.text, given, begun, status: progress.status };
      } finally {
        await end(vm);
      }
    },
    { request: { client, disks: [counting] }, state },
  );
  assert.deepEqual(saved, { serial: '>123', given: { return: {} }, begun: { return: {} }, status: 'completed' });

  const request = { client, disks: [counting], state: { path: state }, action: 'restore' };
  const rule = '(allow vm_secret_client_t vm_secret_t (vm (restore)))';
  const checks = refused({}, request);
  assert.deepEqual(
    checks.map(({ question, denied, rule }) => ({ question, denied, rule })),
    [{ question: 'start', denied: ['restore'], rule }],
  );

  loadWith([rule]);
  t.after(unload);
  const restored = inContext(
    manager,
    async ({ start, end, listen, monitor, qemu }, request) => {
      const vm = await start({ ...request, emulator: qemu({ memory: 64, monitor: true }) });
      try {
        const serial = listen(vm.stdout);
        const { ask } = await monitor(vm);
        // Until then a byte would get lost: the state has the serial port as it was.
        while ((await ask('query-status')).return.status === 'inmigrate') {
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        vm.stdin.write('.');
        return { serial: await serial.until('4'), context: vm.context };
      } finally {
        await end(vm);
      }
    },
    request,
  );
  assert.deepEqual(restored, { serial: '4', context: vmContext });
});

test('a state that is no entrypoint is refused', () => {
  const path = file('state-data', 'vm_data_virtdisk_t', 'no state at all');
  const checks = refused({}, { client, disks: [disk], state: { path }, action: 'restore' });
  assert.deepEqual(
    asked(checks).map(({ question, rule }) => [question, rule]),
    [
      ['entrypoint', '(allow vm_data_virtdisk_t vm_secret_t (vm (entrypoint)))'],
      ['start', '(allow vm_secret_client_t vm_secret_t (vm (restore)))'],
    ],
  );
});

test('a VM starts in its control group', () => {
  const cgroup = '/sys/fs/cgroup/vm-of-a-test';
  mkdirSync(cgroup);
  try {
    const seen = inContext(
      manager,
      async ({ start, end, listen, qemu, readFileSync }, [request, marker]) => {
        const vm = await start({ ...request, emulator: qemu({ memory: 64 }) });
        try {
          await listen(vm.stdout).until(marker);
          const read = (path) => readFileSync(path, 'utf8').trim();
          return {
            pid: vm.pid,
            of: read(`/proc/${vm.pid}/cgroup`),
            members: read(`${request.cgroup}/cgroup.procs`).split('\n').map(Number),
            manager: read('/proc/self/cgroup'),
          };
        } finally {
          await end(vm);
        }
      },
      [{ client, disks: [disk], cgroup }, marker],
    );
    assert.deepEqual([seen.of, seen.manager], ['0::/vm-of-a-test', '0::/']);
    // KVM's kernel threads for this VM are there as well.
    assert.ok(seen.members.includes(seen.pid), JSON.stringify(seen));

    // A launcher without the macro launcher_with_cgroups.
    const error = refusedStart({}, { disks: [disk], cgroup }, client);
    assert.deepEqual([error.name, error.code], ['SystemError', 'EACCES'], error.message);
    assert.match(error.message, /cgroup\.procs/);
  } finally {
    rmdirSync(cgroup);
  }
});

test('a client of another user and role gets a VM of that user and role, from a launcher for users only', () => {
  const path = file('unclass.raw', 'vm_unclass_virtdisk_t', bootableImage(marker));
  const disks = [{ path, format: 'raw' }];
  const request = { client: 'user_u:user_r:vm_unclass_client_t:s0', disks };
  const context = 'user_u:user_r:vm_unclass_t:s0';
  // Debian's policy lets the role of services, and not that of administrators, change to this one.
  const service = (type) => `system_u:system_r:${type}:s0-s0:c0.c1023`;
  const seen = boot({}, request, marker, service('vm_manager_t'));
  assert.deepEqual([seen.context, seen.running], [context, context]);
  assert.ok(seen.serial.includes(marker));

  const refusals = (launcher) =>
    refused({}, request, launcher).map(({ question, target, denied, constraint }) => [
      question,
      target,
      denied,
      constraint,
    ]);
  const transition = [['exec', context, ['transition'], true]];
  assert.deepEqual(refusals(manager), transition, 'a role that may not change to that one');
  // The client's own domain may start the same VM, but not for another user.
  const own = boot({}, { disks }, marker, service('vm_unclass_client_t'));
  assert.equal(own.running, 'system_u:system_r:vm_unclass_t:s0');
  assert.deepEqual(refusals(service('vm_unclass_client_t')), transition, 'no launcher for users');
});
