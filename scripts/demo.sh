#!/usr/bin/env bash
# Starts a coordinator and one replica of two ranks on the CPU with the embedded model, shows an answer emerging from its masks,
# and ends everything.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=build/bin
prompt="What is a diffusion language model?"

scratch=$(mktemp -d)
trap 'kill "$serve" 2>/dev/null; wait "$serve" 2>/dev/null; rm -rf "$scratch"' EXIT
$bin/unmask serve --model models/demo --tensor-parallel 2 --listen 127.0.0.1:0 --fleet-listen 127.0.0.1:0 \
  --admin-listen 127.0.0.1:0 --ready-file "$scratch/ready.json" 2>"$scratch/serve.log" >"$scratch/serve.out" &
serve=$!
echo "Starting a coordinator and a replica of two ranks ..."
for _ in $(seq 600); do
  [ -f "$scratch/ready.json" ] && break
  kill -0 "$serve" 2>/dev/null || { cat "$scratch/serve.log" >&2; exit 1; }
  sleep 0.1
done
[ -f "$scratch/ready.json" ] || { cat "$scratch/serve.log" >&2; echo "demo.sh: the service is not ready after a minute" >&2; exit 1; }
server=$(sed -n 's/.*"grpc": *"\([^"]*\)".*/\1/p' "$scratch/ready.json")
$bin/unmask status --server "$server" --shards
echo
echo "> $prompt"
$bin/unmask generate --server "$server" --gen-length 64 --block-length 64 "$prompt"
echo
echo "The model is a very small one, trained for this project (models/demo). Talk to it: $bin/unmask chat"
