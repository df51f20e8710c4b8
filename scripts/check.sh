#!/usr/bin/env bash
# What is checked beside `make test`: check.sh [CHECK...], by default all of them, in this order. The first that fails ends it.
#   fuzz  what strangers' bytes reach is compiled by clang, with its thread-safety analysis as errors, and searched by libFuzzer under
#         AddressSanitizer and UndefinedBehaviorSanitizer: each target on its corpus, then for FUZZ_SECONDS, 15 by default; faults
#         planted to show that both sanitizers notice them
#   asan  unit and end-to-end tests in that build
#   tsan  the same under ThreadSanitizer
set -euo pipefail
cd "$(dirname "$0")/.."
export CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-$(nproc)}  # In these builds tests are patient.

run() {
  case $1 in
    asan | tsan) scripts/build.sh "$1" && echo "compiled after $((SECONDS - begun)) s" && scripts/sanitize.sh "$1" ;;
    fuzz)
      scripts/build.sh asan fuzz_targets planted_fault && echo "compiled after $((SECONDS - begun)) s" &&
        ctest --test-dir build/asan --output-on-failure --no-tests=error -R '^(fuzz|notices)_' && scripts/fuzz.sh "${FUZZ_SECONDS:-15}"
      ;;
    *) echo "check.sh: unknown check '$1' (known: fuzz, asan, tsan)" >&2; return 64 ;;
  esac
}

[ $# -gt 0 ] || set -- fuzz asan tsan
count=$# done=0 times=
for check in "$@"; do
  done=$((done + 1)) begun=$SECONDS
  echo "== [$done/$count] $check"
  run "$check" || { code=$?; echo "== $check FAILED after $((SECONDS - begun)) s" >&2; exit $code; }
  times+="${times:+, }$check $((SECONDS - begun)) s"
  echo "== [$done/$count] $check: passed after $((SECONDS - begun)) s"
done
echo "All checks passed: $times."
