#!/usr/bin/env bash
# Builds and runs the tests under a sanitizer: sanitize.sh asan|tsan [CTEST-ARGUMENT...]. asan is AddressSanitizer with
# UndefinedBehaviorSanitizer. What is suppressed, and why, is in tests/sanitizers.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in
  asan | tsan) preset=$1 ;;
  *) echo "usage: sanitize.sh asan|tsan [CTEST-ARGUMENT...]" >&2; exit 64 ;;
esac
shift
[ "$preset" = asan ] || command -v clang++ >/dev/null ||
  { echo "sanitize.sh: there is no clang++; 'scripts/setup.sh clang' installs it" >&2; exit 69; }
[ -f build/$preset/build.ninja ] || cmake --preset $preset
ninja -C build/$preset

supp=$PWD/tests/sanitizers
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:detect_leaks=1
export LSAN_OPTIONS=suppressions=$supp/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=suppressions=$supp/tsan.supp:ignore_noninstrumented_modules=1:history_size=4:second_deadlock_stack=1
exec ctest --test-dir build/$preset --output-on-failure --no-tests=error "$@"
