// Loads the native addon: a matching prebuild, or what node-gyp built.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { NativeAddon } from '../types/native.js';
import { createNativeError } from './errors.js';

const require = createRequire(import.meta.url);
const load = require('node-gyp-build') as (directory: string) => NativeAddon;

/** The addon of this environment (main thread or Worker), with its errors connected. */
export const native: NativeAddon = load(fileURLToPath(new URL('..', import.meta.url)));
native.initialize(createNativeError);
