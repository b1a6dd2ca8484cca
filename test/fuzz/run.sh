#!/usr/bin/env bash
# Runs every fuzz target for a bounded time (seconds each, default 30) from the checked-in seeds. What a run
# discovers stays in build/fuzz/; an input that fails is kept there and named. Needs clang.
#
# Says one line a target, and at the end what matters of those that failed; build/fuzz/TARGET.log has everything.
# Little else is printed, so that a summary of the last lines shows the failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-30}
bash test/build-native.sh fuzz > /dev/null
# Memory-backed where there is such a thing: the chain target writes files for each input.
work=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)")
trap 'rm -rf "$work"' EXIT
failed=()
for source in test/fuzz/*_fuzz.cc; do
  target=$(basename "$source" .cc)
  found=build/fuzz/corpus/$target
  log=build/fuzz/$target.log
  mkdir -p "$found" "test/fuzz/corpus/$target"
  status=0
  TMPDIR=$work "build/fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/$target-" -dict=test/fuzz/qcow2.dict \
    "$found" "test/fuzz/corpus/$target" > "$log" 2>&1 || status=$?
  if [ "$status" = 0 ]; then
    inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "ok $target (${inputs:-no} inputs in $seconds s)"
  else
    echo "FAILED $target (status $status)"
    failed+=("$target")
  fi
done
for target in "${failed[@]}"; do
  echo "$target:"
  grep -a -m 10 -E 'ERROR:|runtime error:|SUMMARY:|ALARM|Test unit written to' "build/fuzz/$target.log" ||
    tail -n 10 "build/fuzz/$target.log"
done
[ ${#failed[@]} = 0 ]
