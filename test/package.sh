#!/usr/bin/env bash
# The package as its users get it: packed with a prebuilt addon, installed into an empty project with
# no compiler on PATH, loaded, and asked one question; then built from source in the same place.
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
npm run --silent build
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
import { decide } from 'vm-entrypoint';
import * as selinux from 'vm-entrypoint/selinux';
if (typeof decide !== 'function' || typeof selinux.isSelinuxEnabled() !== 'boolean') throw new Error('not loaded');
console.log('loaded');
JS
PATH="$work/bin" node use.mjs | grep -qx loaded
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
echo "the packed package loads, runs and type-checks"
