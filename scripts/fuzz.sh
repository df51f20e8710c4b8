#!/usr/bin/env bash
# Lets libFuzzer search the targets of tests/fuzz: fuzz.sh [SECONDS-EACH [TARGET...]], 30 s and all of them by default, as many at
# once as there are cores. Inputs that reach new code stay in build/fuzz/corpus, so a later run goes on from there; what broke
# something is build/fuzz/finds/TARGET-* and, once it is mended, belongs into tests/fuzz/corpus/TARGET. Ends with 1 if anything broke.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-30}
shift || true
scripts/build.sh asan fuzz_targets

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls tests/fuzz/corpus)
memory=/dev/shm
[ -w "$memory" ] || memory=${TMPDIR:-/tmp}
scratch=$(mktemp -d -p "$memory" unmask-fuzz.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch UNMASK_SOURCE_DIR=$PWD OMP_WAIT_POLICY=passive
export LSAN_OPTIONS=suppressions=$PWD/tests/sanitizers/lsan.supp:print_suppressions=0
mkdir -p build/fuzz/finds

# In slices: a target may leave memory behind that it cannot give back (a template's thread over its bounds), and a new process
# starts from all that was found.
search() {  # seconds, target
  local left=$1 target=$2 seen=build/fuzz/corpus/$2 slice runs=0 log=build/fuzz/$2.log
  mkdir -p "$seen"
  while [ "$left" -gt 0 ]; do
    slice=$((left < 60 ? left : 60)) left=$((left - 60))
    build/asan/tests/bin/fuzz_"$target" -max_total_time=$slice -timeout=100 -rss_limit_mb=8192 -malloc_limit_mb=2048 \
      -print_final_stats=1 -artifact_prefix=build/fuzz/finds/"$target"- "$seen" tests/fuzz/corpus/"$target" >"$log" 2>&1 ||
      { echo "$target BROKEN: $(grep -m1 -E 'ERROR:|the invariant|runtime error' "$log" || tail -1 "$log") (see $log)"; return 1; }
    runs=$((runs + $(sed -n 's/^stat::number_of_executed_units: *//p' "$log")))
    [ "$left" -le 0 ] || echo "$target: $runs inputs, $left s to go"
  done
  echo "$target: $runs inputs, $(ls "$seen" | wc -l) kept, nothing broke"
}
export -f search

echo "Fuzzing ${#targets[@]} targets for $seconds s each: ${targets[*]}"
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'search "$1" "$2"' search "$seconds" {}
