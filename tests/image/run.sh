#!/usr/bin/env bash
# Runs dockerfile_test.py with the linter that tests/helm/tools.sh gets; exit 77 and the reason where it cannot.
set -euo pipefail
cd "$(dirname "$0")"
tools=$(../helm/tools.sh) || { code=$?; echo "$tools"; exit $code; }
HADOLINT=$(dirname "$(sed -n 2p <<<"$tools")")/hadolint PYTHONDONTWRITEBYTECODE=1 exec python3 dockerfile_test.py "$@"
