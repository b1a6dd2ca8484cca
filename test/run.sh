#!/usr/bin/env bash
# `npm test`: sets a fresh Debian or Ubuntu machine up, builds everything and runs every test.
# Options are those of test/run.mjs: names of stages to run, --list.
set -euo pipefail
cd "$(dirname "$0")/.."
bash test/setup.sh
exec node test/run.mjs "$@"
