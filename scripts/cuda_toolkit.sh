#!/usr/bin/env bash
# Prints the root of a CUDA toolkit with cuBLASLt and NCCL (bin/nvcc, include, lib): the machine's own, else NVIDIA's
# wheels, which it installs once under build/cuda/toolkit. UNMASK_CUDA_ROOT names one by hand.
set -euo pipefail
cd "$(dirname "$0")/.."

complete() { [ -x "$1/bin/nvcc" ] && [ -f "$1/include/cublasLt.h" ] && [ -f "$1/include/nccl.h" ]; }
release() { "$1/bin/nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p'; }

if [ -n "${UNMASK_CUDA_ROOT:-}" ]; then
  complete "$UNMASK_CUDA_ROOT" || { echo "cuda_toolkit.sh: $UNMASK_CUDA_ROOT lacks nvcc, cublasLt.h or nccl.h" >&2; exit 78; }
  echo "$UNMASK_CUDA_ROOT"
  exit
fi
for root in "$(dirname "$(dirname "$(command -v nvcc || echo /none/bin/nvcc)")")" /usr/local/cuda; do
  if complete "$root" && [ "$(release "$root")" -ge 13 ]; then echo "$root"; exit; fi
done

folder=$PWD/build/cuda/toolkit
root=$folder/root
pins=scripts/cuda-requirements.txt
if ! cmp -s "$pins" "$folder/installed.txt"; then
  rm -rf "$folder"
  mkdir -p "$folder"
  python3 -m venv "$folder/venv" >&2
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    -r "$pins" --target "$folder/wheels" >&2
  # One tree with the folders that every tool looks for.
  ln -s wheels/nvidia/cu13 "$root"
  ln -s lib "$root/lib64"
  ln -s ../../nccl/include/nccl.h "$root/include/nccl.h"
  for library in "$folder"/wheels/nvidia/nccl/lib/*; do ln -s "../../nccl/lib/$(basename "$library")" "$root/lib/"; done
  # The linker's names, which the wheels leave out.
  for library in "$root"/lib/lib*.so.*; do
    name=$(basename "$library")
    [ -e "$root/lib/${name%%.so.*}.so" ] || ln -s "$name" "$root/lib/${name%%.so.*}.so"
  done
  rm -rf "$folder/venv"
  cp "$pins" "$folder/installed.txt"
fi
echo "$root"
