#!/usr/bin/env bash
# A checkpoint of 4 GB, made here, served by one rank and by two: no rank may ever have had more memory than 1.3 times the
# bytes of its own slices at its compute dtype, and each service answers a request over its longest canvas' first part.
# Takes minutes and 4 GB of disk and memory under build/; the checkpoint is kept for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${UNMASK_BUILD:-build}/bin
model=build/large-model
[ -f "$model/config.json" ] || "$bin/unmask-make-checkpoint" --preset custom --d-model 2048 --heads 16 --layers 28 \
  --mlp 8192 --vocab 16384 --max-length 4096 --shards 4 --dtype bf16 --tokenizer no --out "$model"
du -shL "$model"

scratch=$(mktemp -d)
serve=
trap '[ -z "$serve" ] || kill "$serve" 2>/dev/null; wait; rm -rf "$scratch"' EXIT
for ranks in 1 2; do
  rm -f "$scratch/ready.json"
  "$bin/unmask" serve --model "$model" --dtype bf16 --tensor-parallel "$ranks" --kv-memory 1000000000 --eot-token-id 2 --listen 127.0.0.1:0 \
    --fleet-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --ready-file "$scratch/ready.json" 2>"$scratch/serve.log" >&2 &
  serve=$!
  for _ in $(seq 6000); do
    [ -f "$scratch/ready.json" ] && break
    kill -0 "$serve" 2>/dev/null || { cat "$scratch/serve.log" >&2; exit 1; }
    sleep 0.1
  done
  server=$(sed -n 's/.*"grpc": *"\([^"]*\)".*/\1/p' "$scratch/ready.json")
  peak() {
    "$bin/unmask" status --server "$server" --json | python3 -c '
import json, sys
failed = 0
for rank in json.load(sys.stdin)["replicas"][0]["ranks"]:
    peak = next(int(l.split()[1]) * 1024 for l in open("/proc/%d/status" % rank["pid"]) if l.startswith("VmHWM"))
    slices = int(rank["shard"]["weight_bytes"])
    ratio = peak / slices
    print("rank %d: slices %.3f GB, peak resident %.3f GB, ratio %.3f" % (rank["rank"], slices / 1e9, peak / 1e9, ratio))
    failed |= ratio > 1.3
sys.exit(failed)'
  }
  echo "$ranks rank(s), loaded:"
  peak
  "$bin/unmask" generate --server "$server" --prompt-ids 3,4,5,6,7,8,9,10 --gen-length 32 --steps 4 --seed 1 --json >"$scratch/reply.json"
  python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); assert len(r["token_ids"]) == 32, r; print("generated 32 tokens in", r["usage"]["steps"], "steps,", r["numerics"])' "$scratch/reply.json"
  echo "$ranks rank(s), after a generation:"
  peak
  kill "$serve"
  wait "$serve" || true
  serve=
done
