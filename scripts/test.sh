#!/usr/bin/env bash
# The whole test suite of the release build. Further arguments go to ctest (-R NAME, -L LABEL).
set -euo pipefail
cd "$(dirname "$0")/.."
# Two at once; which may be is said in cmake/UnmaskTargets.cmake.
exec ctest --test-dir build -j 2 --output-on-failure --no-tests=error "$@"
