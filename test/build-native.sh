#!/usr/bin/env bash
# Builds the development targets of CMakeLists.txt. Argument: test (default), asan, tsan or fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-test}
options=()
case $kind in
  test) ;;
  asan) options=(-DVMENTRY_SANITIZE=address,undefined) ;;
  tsan) options=(-DVMENTRY_SANITIZE=thread) ;;
  fuzz) options=(-DVMENTRY_FUZZ=ON -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++) ;;
  *) echo "usage: $0 [test|asan|tsan|fuzz]" >&2; exit 2 ;;
esac
cmake -S . -B "build/$kind" "${options[@]}" -Wno-dev > /dev/null
cmake --build "build/$kind" --parallel "$(nproc)" -- --no-print-directory
