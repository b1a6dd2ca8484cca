#!/usr/bin/env bash
# `npm run demo`: on a machine without SELinux, the whole story in the lab guest; with `-- --host`, on
# a host that has SELinux itself, the part that changes nothing: nothing is set up or built for it.
set -euo pipefail
cd "$(dirname "$0")/../.."
case ${1:-} in
  '') ;;
  --host) exec node examples/demo/host.mjs ;;
  *) echo "usage: npm run demo [-- --host]" >&2; exit 2 ;;
esac
bash test/setup.sh --demo
# The addon and the TypeScript are built when there is none, or when a source is newer.
if [ ! -f build/Release/vm_entrypoint.node ] || [ ! -f dist/index.js ] ||
  [ -n "$(find native lib types binding.gyp -newer dist/index.js -print -quit)" ]; then
  echo "Building" >&2
  npm run --silent build
fi
exec node test/lab/run.mjs --timeout 600 -- node /project/examples/demo/guest.mjs
