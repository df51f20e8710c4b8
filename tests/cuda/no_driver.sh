#!/usr/bin/env bash
# The worker with CUDA, on a machine that has no driver: --device cuda ends with 78 and says why; --device cpu serves.
set -euo pipefail
worker=$1 model=$2 folder=$(mktemp -d)
trap 'kill $! 2>/dev/null; rm -rf "$folder"' EXIT
[ -e /dev/nvidiactl ] && { echo "this machine has a driver"; exit 77; }

code=0
"$worker" --coordinator 127.0.0.1:1 --model "$model" --device cuda >"$folder/cuda" 2>&1 || code=$?
[ "$code" = 78 ] || { echo "--device cuda ended with $code"; cat "$folder/cuda"; exit 1; }
grep -q "device cuda: no CUDA device on this machine: " "$folder/cuda" || { echo "no reason:"; cat "$folder/cuda"; exit 1; }

"$worker" --coordinator 127.0.0.1:1 --model "$model" --device cpu --threads 1 >"$folder/cpu" 2>&1 &
for _ in $(seq 300); do
  grep -q "ready: weights:.* cpu " "$folder/cpu" && { cat "$folder/cuda" "$folder/cpu"; exit 0; }
  sleep 0.1
done
echo "--device cpu did not become ready:"
cat "$folder/cpu"
exit 1
