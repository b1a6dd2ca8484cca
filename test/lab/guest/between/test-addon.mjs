// Import this before 'vm-entrypoint': the addon with fault injection takes the place of the shipped one. It talks to
// the guest's own libselinux.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const root = '/project/';
const addon = require(`${root}build/test/vm_entrypoint_test.node`);
const shipped = require.resolve(require('node-gyp-build').resolve(root));
require.cache[shipped] = Object.assign(Object.create(null), {
  id: shipped,
  filename: shipped,
  loaded: true,
  exports: addon,
});
export const { faults } = addon;
