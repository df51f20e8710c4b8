#!/usr/bin/env bash
# Builds the CUDA variant in the release tree: build/cuda/bin, and the tests and benchmarks that need a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
root=$(scripts/cuda_toolkit.sh)
mkdir -p build/cuda
cmake --preset cuda -DUNMASK_CUDA_ROOT="$root" >build/cuda/configure.log || { cat build/cuda/configure.log; exit 1; }
ninja -C build cuda

# The worker holds what it claims: code for each architecture, and NCCL.
worker=build/cuda/bin/unmask-worker
code=$("$root/bin/cuobjdump" --list-elf "$worker")
for architecture in sm_80 sm_90; do
  [[ $code == *$architecture* ]] || { echo "$worker has no code for $architecture" >&2; exit 1; }
done
symbols=$(nm --dynamic --undefined-only "$worker")
for symbol in ncclCommInitRankConfig ncclAllGather ncclCommAbort; do
  [[ $symbols == *" $symbol"* ]] || { echo "$worker does not link $symbol" >&2; exit 1; }
done
