#!/usr/bin/env bash
# `npm run demo`: on a machine without SELinux, the whole story in the lab guest; with `-- --host`, on
# a host that has SELinux itself, the part that changes nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash test/setup.sh --demo
bash test/build-shipped.sh
case ${1:-} in
  '') exec node test/lab/run.mjs --timeout 600 -- node /project/examples/demo/guest.mjs ;;
  --host) exec node examples/demo/host.mjs ;;
  *) echo "usage: npm run demo [-- --host]" >&2; exit 2 ;;
esac
