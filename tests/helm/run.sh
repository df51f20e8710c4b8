#!/usr/bin/env bash
# Runs chart_test.py with what tools.sh gets; exit 77 and the reason where it cannot.
set -euo pipefail
cd "$(dirname "$0")"
tools=$(./tools.sh) || { code=$?; echo "$tools"; exit $code; }
HELM=$(sed -n 1p <<<"$tools") PYTHONDONTWRITEBYTECODE=1 exec "$(sed -n 2p <<<"$tools")" chart_test.py "$@"
