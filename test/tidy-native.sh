#!/usr/bin/env bash
# clang-tidy over the native sources that ship; .clang-tidy says what is looked for.
set -euo pipefail
cd "$(dirname "$0")/.."
# For the compiler's options (compile_commands.json); nothing is built.
cmake -S . -B build/test -Wno-dev > /dev/null
find native -name '*.cc' -print0 | sort -z | xargs -0 -P "$(nproc)" -n 1 clang-tidy --quiet -p build/test
