#!/usr/bin/env bash
# clang-format over the native sources. --write formats in place; otherwise a difference is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(find native test bench -name node_modules -prune -o \( -name '*.cc' -o -name '*.h' -o -name '*.c' \) -print | sort)
if [ "${1:-}" = --write ]; then
  clang-format -i "${files[@]}"
else
  clang-format --dry-run -Werror "${files[@]}"
fi
