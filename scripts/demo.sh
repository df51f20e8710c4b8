#!/usr/bin/env bash
# Starts a coordinator and one replica of two ranks on the CPU, shows a generation emerging from its masks, and ends everything.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=build/bin
model=models/demo
prompt="What is a diffusion language model?"
if [ ! -f "$model/model.safetensors" ]; then
  model=build/random-model
  echo "There is no trained model in this tree yet: the demo uses a small RANDOM checkpoint, made now in $model."
  echo "The machinery is real, the text is noise."
  [ -f "$model/model.safetensors" ] || $bin/unmask-make-checkpoint --preset demo --out "$model"
fi

scratch=$(mktemp -d)
trap 'kill "$serve" 2>/dev/null; wait "$serve" 2>/dev/null; rm -rf "$scratch"' EXIT
$bin/unmask serve --model "$model" --tensor-parallel 2 --listen 127.0.0.1:0 --fleet-listen 127.0.0.1:0 \
  --admin-listen 127.0.0.1:0 --ready-file "$scratch/ready.json" 2>"$scratch/serve.log" >"$scratch/serve.out" &
serve=$!
echo "Starting a coordinator and a replica of two ranks ..."
for _ in $(seq 600); do
  [ -f "$scratch/ready.json" ] && break
  kill -0 "$serve" 2>/dev/null || { cat "$scratch/serve.log" >&2; exit 1; }
  sleep 0.1
done
server=$(sed -n 's/.*"grpc": *"\([^"]*\)".*/\1/p' "$scratch/ready.json")
$bin/unmask status --server "$server" --shards
echo
$bin/unmask generate --server "$server" --gen-length 64 --block-length 32 --steps 64 "$prompt"
echo
echo "Try it yourself: $bin/unmask chat --model $model"
