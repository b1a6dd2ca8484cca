/**
 * Builds the guest's image in two stages. The first unpacks Debian packages and takes about a minute; the second adds
 * the policy modules of the project, labels every file and makes the file system, in seconds. So a change of a policy
 * module does not fetch packages again.
 */

import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { guard } from '../guard.mjs';
import { ensureHostPackages } from '../host-packages.mjs';
import { withLock } from '../lock.mjs';
import { run } from '../processes.mjs';
import { cacheDirectory, cachedStage, keyOf } from './cache.mjs';
import { extractKernel } from './kernel.mjs';
import { packageSources } from './package-sources.mjs';
import { recipe } from './recipe.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const project = fileURLToPath(new URL('../../../', import.meta.url));

/** @typedef {'default' | 'mls'} Policy */
/** @typedef {{ kernel: string, root: string }} Image paths of the kernel and of the root file system (raw, read-only) */
/** @typedef {{ progress: import('../progress.mjs').Progress, signal?: AbortSignal }} BuildOptions */

/**
 * The image for a policy; built if it is not in the cache.
 *
 * @param {Policy} policy
 * @param {BuildOptions} options
 * @returns {Promise<Image>}
 */
export async function image(policy, options) {
  const modules = policyModules();
  const node = realpathSync(process.execPath);
  const contents = (/** @type {string} */ path) => createHash('sha256').update(readFileSync(path)).digest('hex');
  const packagesRecipe = { ...recipe(), kernel: contents(join(here, 'kernel.mjs')) };
  const packagesKey = keyOf(packagesRecipe);
  const key = keyOf({
    packagesKey,
    policy,
    modules: modules.map((path) => [path.slice(project.length), contents(path)]),
    scripts: ['compose.sh', 'fstab', 'init.sh', 'lab.cil'].map((name) => contents(join(here, name))),
    node: [node, process.version, statSync(node).size],
  });
  const directory = await cachedStage(
    {
      name: policy,
      key,
      keep: 3,
      build: async (output) => {
        await withPackages(true, options);
        const packages = await packagesStage(packagesKey, options);
        await compose({ packages, policy, modules, node, output }, options);
      },
    },
    options,
  );
  return { kernel: join(directory, 'vmlinux'), root: join(directory, 'root.ext4') };
}

/**
 * The host's programs for building (or only for running), installed if need be.
 * @param {boolean} building
 * @param {BuildOptions} options
 */
export async function withPackages(building, { progress, signal }) {
  const onWait = () => progress.step('waiting for another run which installs packages');
  await withLock(join(cacheDirectory(), 'host-packages.lock'), { onWait, signal }, () =>
    ensureHostPackages({ building, progress, signal }),
  );
}

/** The project's policy modules: the shipped one first, then the examples in order. */
function policyModules() {
  const examples = join(project, 'policy', 'examples');
  return [
    join(project, 'policy', 'vm_entrypoint.cil'),
    ...(existsSync(examples)
      ? readdirSync(examples)
          .filter((name) => name.endsWith('.cil'))
          .sort()
      : []
    ).map((name) => join(examples, name)),
  ].filter((path) => existsSync(path));
}

/**
 * First stage: `packages.tar` and the kernel.
 *
 * @param {string} key
 * @param {BuildOptions} options
 */
function packagesStage(key, { progress, signal }) {
  const build = async (/** @type {string} */ output) => {
    const { suite, packages, excludedPaths } = recipe();
    const sources = await packageSources(suite);
    const what = `building the guest's packages (Debian ${suite}; a minute or two, once)`;
    progress.step(what);
    const tar = join(output, 'packages.tar');
    // mmdebstrap would leave its tree behind when it is killed. In a user namespace it is not the user who writes
    // there, so the place must be open to others, which the cache is not.
    const scratch = mkdtempSync(join(process.env.TMPDIR ?? '/var/tmp', 'vm-entrypoint-lab-'));
    chmodSync(scratch, 0o755);
    const release = guard('directory', scratch);
    await run(
      [
        // As root it mounts directories of the host in the new tree. In a mount namespace they go away with it, even
        // when it is killed; in ours, removing the tree would empty the host's /dev/shm.
        ...(process.getuid?.() === 0 ? ['unshare', '--mount', '--propagation', 'private'] : []),
        'mmdebstrap',
        `--mode=${await bootstrapMode(signal)}`,
        '--variant=essential',
        '--format=tar',
        // Device nodes are devtmpfs's; an ordinary user could not unpack them.
        '--skip=output/dev',
        ...sources.options,
        ...excludedPaths.map((path) => `--dpkgopt=path-exclude=${path}`),
        `--include=${packages.join(',')}`,
        // The kernel boots without an initramfs: making one would take a third of the time.
        '--essential-hook=mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/kernel/postinst.d"',
        '--customize-hook=rm -f "$1"/boot/initrd* "$1"/etc/apt/apt.conf.d/99mmdebstrap',
        suite,
        tar,
        ...sources.lines,
      ],
      {
        env: { ...process.env, INITRD: 'No', LC_ALL: 'C.UTF-8', TMPDIR: scratch },
        signal,
        onLine: (line) => {
          const step = /^I: (.*)\.\.\.$/.exec(line)?.[1];
          if (step) progress.step(`${what}: ${step}`);
        },
      },
    );
    rmSync(scratch, { recursive: true, force: true });
    release();
    progress.step('unpacking the kernel');
    const boot = (await run(['tar', '--list', '--file', tar, '--wildcards', './boot/vmlinuz-*'])).trim().split('\n');
    await run(['tar', '--extract', '--file', tar, '--directory', output, '--strip-components=2', ...boot], { signal });
    const compressed = readdirSync(output).find((name) => name.startsWith('vmlinuz-'));
    writeFileSync(join(output, 'vmlinux'), extractKernel(readFileSync(join(output, compressed ?? ''))));
  };
  return cachedStage({ name: 'packages', key, keep: 1, build }, { progress, signal });
}

/**
 * Root builds plainly, others in a user namespace, and where those are switched off with faked chroot calls.
 * @param {AbortSignal} [signal]
 */
async function bootstrapMode(signal) {
  if (process.getuid?.() === 0) return 'root';
  try {
    await run(['unshare', '--map-root-user', '--map-auto', 'true'], { signal });
    return 'unshare';
  } catch {
    signal?.throwIfAborted();
    return 'fakechroot';
  }
}

/**
 * Second stage: see compose.sh.
 *
 * @param {{ packages: string, policy: Policy, modules: string[], node: string, output: string }} parts
 * @param {BuildOptions} options
 */
async function compose({ packages, policy, modules, node, output }, { progress, signal }) {
  const script = [join(here, 'compose.sh'), join(packages, 'packages.tar'), policy, here, node, output];
  await run(
    [...(process.getuid?.() === 0 ? [] : ['fakeroot', '--']), 'sh', ...script, join(here, 'lab.cil'), ...modules],
    {
      signal,
      onLine: (line) => {
        if (line.startsWith('step: ')) progress.step(line.slice('step: '.length));
      },
    },
  );
  await run(['ln', join(packages, 'vmlinux'), join(output, 'vmlinux')]);
}
