#!/usr/bin/env bash
# The long forms of tests of tests/reliability: NAME... as in build/tests/bin. All are run, whatever fails; the seed of a
# run is printed, and UNMASK_SEED repeats it. What they draw goes to build/reliability.
set -euo pipefail
cd "$(dirname "$0")/.."
export UNMASK_LONG=1 UNMASK_SOURCE_DIR=$PWD UNMASK_BIN_DIR=$PWD/build/bin OMP_WAIT_POLICY=passive
export UNMASK_PLOTS=$PWD/build/reliability
mkdir -p "$UNMASK_PLOTS"
export UNMASK_SEED=${UNMASK_SEED:-$RANDOM}
failed=()
for test in "$@"; do
  echo "== $test, UNMASK_SEED=$UNMASK_SEED"
  "build/tests/bin/$test" || failed+=("$test")
done
[ ${#failed[@]} -eq 0 ] || { echo "failed with UNMASK_SEED=$UNMASK_SEED: ${failed[*]}" >&2; exit 1; }
