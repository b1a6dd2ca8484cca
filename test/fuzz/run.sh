#!/usr/bin/env bash
# Runs every fuzz target for a bounded time (seconds each, default 30) from the checked-in seeds. What a run
# discovers stays in build/fuzz/; an input that fails is kept there and named. Needs clang.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-30}
bash test/build-native.sh fuzz
# Memory-backed where there is such a thing: the chain target writes files for each input.
work=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)")
trap 'rm -rf "$work"' EXIT
status=0
for source in test/fuzz/*_fuzz.cc; do
  target=$(basename "$source" .cc)
  found=build/fuzz/corpus/$target
  mkdir -p "$found" "test/fuzz/corpus/$target"
  dictionary=()
  if [ -e "test/fuzz/$target.dict" ]; then dictionary=(-dict="test/fuzz/$target.dict"); fi
  echo "$target: $seconds s"
  TMPDIR=$work "build/fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/$target-" "${dictionary[@]}" \
    "$found" "test/fuzz/corpus/$target" || status=1
done
exit $status
