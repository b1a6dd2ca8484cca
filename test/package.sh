#!/usr/bin/env bash
# The package as its users get it: packed with a prebuilt addon, installed into an empty project with
# no compiler on PATH, loaded, and asked one question; then, without the prebuilt addon, built from
# source in the same place and asked again.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# In a copy: prebuildify empties build/, where other tests have their programs.
mkdir "$work/source"
git ls-files -z | tar -c --null -T - | tar -x -C "$work/source"
ln -s "$root/node_modules" "$work/source/node_modules"
cd "$work/source"

npx prebuildify --napi --strip --tag-libc -t "$(node -p process.versions.node)" > "$work/prebuildify.log" 2>&1 ||
  { cat "$work/prebuildify.log"; exit 1; }
# Its prepack makes dist/.
npm pack --silent --pack-destination "$work" > /dev/null
tar -tzf "$work"/*.tgz | sort > "$work/files"
for wanted in dist/index.js dist/index.d.ts dist/cli/main.js policy/vm_entrypoint.cil types/native.d.ts types/public.d.ts; do
  grep -qx "package/$wanted" "$work/files" || { echo "missing in the package: $wanted"; exit 1; }
done
if grep -qE '^package/(test|bench|build)/' "$work/files"; then echo "files of the tests are in the package"; exit 1; fi

mkdir "$work/bin" "$work/user"
for program in node npm sh env; do ln -s "$(command -v $program)" "$work/bin/$program"; done
cd "$work/user"
echo '{ "type": "module" }' > package.json
PATH="$work/bin" npm install --silent --no-audit --no-fund "$work"/*.tgz
cat > use.mjs <<'JS'
import assert from 'node:assert/strict';
import { decide, SelinuxUnavailableError, VmEntrypointError } from 'vm-entrypoint';
import { isSelinuxEnabled } from 'vm-entrypoint/selinux';

const request = { disks: [{ context: 'system_u:object_r:virt_image_t:s0', format: 'raw' }] };
if (isSelinuxEnabled()) {
  // That this host's policy has no class `vm`, or not this context, is an answer too.
  try {
    assert.equal(typeof decide(request).allowed, 'boolean');
  } catch (error) {
    if (!(error instanceof VmEntrypointError)) throw error;
  }
} else {
  assert.throws(
    () => decide(request),
    (error) => error instanceof SelinuxUnavailableError && error.code === 'ERR_SELINUX_DISABLED',
  );
}
assert.equal(decide({ ...request, selinux: 'off' }).evaluated, false);
console.log('answered');
JS
PATH="$work/bin" node use.mjs | grep -qx answered
test -e node_modules/.bin/vm-entrypoint
PATH="$work/bin" node_modules/.bin/vm-entrypoint --help > /dev/null
# An editor sees the same names: the types of the packed package compile in a strict project.
cat > use.ts <<'TS'
import { decide, launch, qemu, type Decision } from 'vm-entrypoint';
const decision: Decision = decide({ disks: [{ path: '/vm/a.raw', format: 'raw' }] });
export const allowed: boolean = decision.allowed;
export const started: Promise<{ pid: number }> = launch({ disks: [{ path: '/vm/a.raw', format: 'raw' }], emulator: qemu() });
TS
ln -s "$root/node_modules/@types" node_modules/@types 2> /dev/null || true
"$root/node_modules/.bin/tsc" --noEmit --strict --module nodenext --target es2022 --lib es2023,esnext.disposable --types node use.ts

rm -r node_modules/vm-entrypoint/prebuilds
if node use.mjs > /dev/null 2>&1; then echo "another addon than the prebuilt one was loaded"; exit 1; fi
# What npm does at the installation where no prebuilt addon fits; here with a compiler on PATH.
npm_config_jobs=max npm rebuild --foreground-scripts vm-entrypoint > "$work/rebuild.log" 2>&1 ||
  { tail -n 40 "$work/rebuild.log"; exit 1; }
test -e node_modules/vm-entrypoint/build/Release/vm_entrypoint.node ||
  { tail -n 40 "$work/rebuild.log"; echo "nothing was built from source"; exit 1; }
node use.mjs | grep -qx answered
echo "the packed package loads, answers, type-checks, and builds from source"
