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
bash test/build-shipped.sh
exec node test/lab/run.mjs --timeout 600 -- node /project/examples/demo/guest.mjs
