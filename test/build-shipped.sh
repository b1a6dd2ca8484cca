#!/usr/bin/env bash
# Builds what ships, the addon and dist/, when one is missing or a source is newer. Says so only then.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -f build/Release/vm_entrypoint.node ] || [ ! -f dist/index.js ] ||
  [ -n "$(find native lib types binding.gyp tsconfig.json -newer dist/index.js -print -quit)" ]; then
  echo "Building" >&2
  npm run --silent build
fi
