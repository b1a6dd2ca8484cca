#!/usr/bin/env bash
# `npm test`: sets a fresh Debian or Ubuntu machine up, builds everything and runs the tests: all stages but the
# long ones, which `--long` adds. Options are those of test/run.mjs; `--list` only names the stages.
set -euo pipefail
cd "$(dirname "$0")/.."
case " $* " in
  *' --list '*) ;;
  *) bash test/setup.sh ;;
esac
exec node test/run.mjs "$@"
