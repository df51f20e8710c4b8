#!/usr/bin/env bash
# The whole test suite of the release build. Further arguments go to ctest (-R NAME, -L LABEL).
set -euo pipefail
cd "$(dirname "$0")/.."
# Tests that start processes and measure their patience do not like company: one at a time, most take well under a second.
exec ctest --test-dir build --output-on-failure --no-tests=error "$@"
