#!/usr/bin/env bash
# Measures the embedded model through a running service and writes docs/quality.md. QUALITY_PROBLEMS and QUALITY_GRID: problems a
# task in the main table and in the others. Needs the build, and Debian's python3-torch for the autoregressive twin; fetches gRPC for
# Python into build/quality/.
set -euo pipefail
cd "$(dirname "$0")/.."
out=build/quality
mkdir -p "$out"
[ -x "$out/venv/bin/python" ] || python3 -m venv "$out/venv"
"$out/venv/bin/python" -c 'import grpc_tools' 2>/dev/null || "$out/venv/bin/pip" install -q grpcio-tools==1.85.1
problems=${QUALITY_PROBLEMS:-200} grid=${QUALITY_GRID:-40}
/usr/bin/python3 bench/quality/twin.py "$out" --problems "$problems" --grid "$grid"
rm -f "$out/results.json"
"$out/venv/bin/python" bench/quality/run.py build/bin/unmask "$out" --problems "$problems" --grid "$grid"
"$out/venv/bin/python" bench/quality/report.py "$out" docs
