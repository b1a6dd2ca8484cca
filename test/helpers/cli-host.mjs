// Preloaded into the command line under test (`node --import`): the test addon with the fake libselinux
// takes the place of the shipped one. FAKE_SELINUX_DIR says what host that is; see fake-selinux.ts.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL('../..', import.meta.url));
const directory = `${root}${process.env.VMENTRY_TEST_BUILD ?? 'build/test'}`;
const addon = require(`${directory}/vm_entrypoint_test.node`);
addon.faults.useLibrary(process.env.CLI_LIBRARY ?? `${directory}/libselinux_fake.so`);
addon.faults.setAttributeDirectory(`${process.env.FAKE_SELINUX_DIR}/attr`);

const shipped = require.resolve(require('node-gyp-build').resolve(root));
require.cache[shipped] = Object.assign(Object.create(null), {
  id: shipped,
  filename: shipped,
  loaded: true,
  exports: addon,
});
