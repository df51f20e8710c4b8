#!/usr/bin/env bash
# Builds the benchmarks, gets the peers, makes the checkpoint, measures everything: build/bench/report.md and plots beside it.
# Needs no GPU. UNMASK_BENCH_ROUNDS=60 for a quieter answer on a noisy machine.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${UNMASK_BUILD:-build}
if [ -f "$build/build.ninja" ]; then cmake -DUNMASK_BENCH=ON "$build" >/dev/null; else cmake --preset release -DUNMASK_BENCH=ON; fi
ninja -C "$build" unmask-bench unmask-make-checkpoint
mkdir -p "$build/bench"
[ -f "$build/bench/model/config.json" ] ||
  "$build/bin/unmask-make-checkpoint" --preset bench --out "$build/bench/model"
bench/peers/fetch.sh "$build"
if [ -x "$build/peers/venv/bin/python" ]; then
  echo "The reference's loop, proven on the recorded cases:"
  "$build/peers/venv/bin/python" bench/reference/check.py
fi
exec python3 bench/run.py "$build"
