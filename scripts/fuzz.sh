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

broken=()
for i in "${!targets[@]}"; do
  target=${targets[$i]}
  seen=build/fuzz/corpus/$target log=build/fuzz/$target.log
  mkdir -p "$seen"
  printf '[%d/%d] %s, %s s ... ' $((i + 1)) ${#targets[@]} "$target" "$seconds"
  if build/fuzz/tests/bin/fuzz_"$target" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=4096 -print_final_stats=1 \
    -artifact_prefix=build/fuzz/finds/"$target"- "$seen" tests/fuzz/corpus/"$target" >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "$runs inputs, $(ls "$seen" | wc -l) kept, nothing broke"
  else
    broken+=("$target")
    echo "BROKEN: $(grep -m1 -E 'ERROR:|SUMMARY:|the invariant|runtime error' "$log" || tail -1 "$log") (see $log)"
  fi
done
[ ${#broken[@]} -eq 0 ] || { echo "broken: ${broken[*]}" >&2; exit 1; }
