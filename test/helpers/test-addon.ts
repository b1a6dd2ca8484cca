// Import this before 'vm-entrypoint': it puts the test addon (fault injection, a choice of libselinux)
// where lib/native.ts looks for the shipped one. It works through require.cache, so that the shipped
// code needs no switch for it.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { NativeAddon } from '../../types/native.js';

/** What only the test addon has. */
export interface Faults {
  /**
   * Makes call number `nth` (0: the next) of `name` fail with the positive `errno`, and with `lasting` all later ones.
   * -2 in place of an errno: it waits until `release`, and then goes on.
   */
  arm(name: string, nth: number, errno: number, lasting?: boolean): void;
  clear(): void;
  /** Calls made since `clear`, by name. */
  calls(): Record<string, number>;
  /** Whether a call waits now. */
  paused(): boolean;
  release(): void;
  /** Before the first SELinux call of the process. */
  useLibrary(path: string): void;
  /** Loads a binary policy into the stand-in for libselinux, as into a kernel: 0 or a positive errno. */
  loadPolicy(image: Buffer): number;
  /** Loads a shared library before the code under test looks for the name it has inside. */
  preload(path: string): void;
  /** Files of this directory stand in for /proc/thread-self/attr; '' ends that. */
  setAttributeDirectory(path: string): void;
}

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL('../..', import.meta.url));
const directory = process.env.VMENTRY_TEST_BUILD ?? 'build/test';
/** Its path, for Workers. */
export const testAddon: string = `${root}${directory}/vm_entrypoint_test.node`;
const shippedAddon = (require('node-gyp-build') as { resolve(directory: string): string }).resolve(root);

export const addon = require(testAddon) as NativeAddon & { readonly faults: Faults };
export const faults: Faults = addon.faults;
/** The fake libselinux of test/native/, which answers from a policy through libsepol. */
export const fakeLibrary: string = `${root}${directory}/libselinux_fake.so`;

/** A libaudit that writes its records to the file FAKE_AUDIT_LOG. */
export const fakeAudit: string = `${root}${directory}/libaudit_fake.so`;

const shipped = require.resolve(shippedAddon);
require.cache[shipped] = Object.assign(Object.create(null), {
  id: shipped,
  filename: shipped,
  loaded: true,
  exports: addon,
});
