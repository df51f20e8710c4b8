#!/usr/bin/env bash
# Lets libFuzzer search the targets of tests/fuzz: fuzz.sh [SECONDS-EACH [TARGET...]], 30 s and all of them by default. Inputs that
# reach new code stay in build/fuzz/corpus, so a later run goes on from there; what broke something is build/fuzz/finds/TARGET-*
# and, once it is mended, belongs into tests/fuzz/corpus/TARGET. Ends with 1 if anything broke.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-30}
shift || true
command -v clang++ >/dev/null || { echo "fuzz.sh: there is no clang++; 'scripts/setup.sh clang' installs it" >&2; exit 69; }
[ -f build/fuzz/build.ninja ] || cmake --preset fuzz
ninja -C build/fuzz fuzz_targets

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls tests/fuzz/corpus)
memory=/dev/shm
[ -w "$memory" ] || memory=${TMPDIR:-/tmp}
scratch=$(mktemp -d -p "$memory" unmask-fuzz.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch UNMASK_SOURCE_DIR=$PWD OMP_WAIT_POLICY=passive
mkdir -p build/fuzz/finds

# In slices: a target may leave memory behind that it cannot give back (a template's thread over its bounds), and a new process
# starts from all that was found.
search() {  # target seconds
  local target=$1 left=$2 seen=build/fuzz/corpus/$1 slice runs=0 log=build/fuzz/$1.log
  mkdir -p "$seen"
  while [ "$left" -gt 0 ]; do
    slice=$((left < 60 ? left : 60)) left=$((left - 60))
    build/fuzz/tests/bin/fuzz_"$target" -max_total_time=$slice -timeout=25 -rss_limit_mb=8192 -malloc_limit_mb=2048 \
      -print_final_stats=1 -artifact_prefix=build/fuzz/finds/"$target"- "$seen" tests/fuzz/corpus/"$target" >"$log" 2>&1 ||
      { echo "BROKEN: $(grep -m1 -E 'ERROR:|the invariant|runtime error' "$log" || tail -1 "$log") (see $log)"; return 1; }
    runs=$((runs + $(sed -n 's/^stat::number_of_executed_units: *//p' "$log")))
    [ "$left" -gt 0 ] && printf '%d inputs, %d s to go ... ' "$runs" "$left"
  done
  echo "$runs inputs, $(ls "$seen" | wc -l) kept, nothing broke"
}

broken=()
for i in "${!targets[@]}"; do
  printf '[%d/%d] %s, %s s ... ' $((i + 1)) ${#targets[@]} "${targets[$i]}" "$seconds"
  search "${targets[$i]}" "$seconds" || broken+=("${targets[$i]}")
done
[ ${#broken[@]} -eq 0 ] || { echo "broken: ${broken[*]}" >&2; exit 1; }
