#!/usr/bin/env bash
# What is checked beside `make test`: check.sh [CHECK...], by default all but `core`, in this order. The first that fails ends it.
#   fuzz  what strangers' bytes reach is compiled by clang, with its thread-safety analysis as errors, and searched by libFuzzer under
#         AddressSanitizer and UndefinedBehaviorSanitizer: each target on its corpus, then for FUZZ_SECONDS, 15 by default; faults
#         planted to show that both sanitizers notice them
#   core  a part of the next two that takes a minute: the worker's files, ranks and steps in that build; gRPC's threads and ours,
#         with scripted replicas, under ThreadSanitizer
#   asan  unit and end-to-end tests in that build
#   tsan  the same under ThreadSanitizer
set -euo pipefail
cd "$(dirname "$0")/.."
export CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-$(nproc)}  # In these builds tests are patient.

core_asan=(config_test safetensors_test orders_test forward_test leader_test fleet_link_test services_bad_input_test)
core_tsan=(fleet_link_test services_generation_test services_score_test tls_test leader_test batch_routes_test batch_service_test)

run() {
  case $1 in
    core) scripts/sanitize.sh asan only "${core_asan[@]}" && scripts/sanitize.sh tsan only "${core_tsan[@]}" ;;
    asan | tsan) scripts/build.sh "$1" && echo "compiled after $((SECONDS - begun)) s" && scripts/sanitize.sh "$1" ;;
    fuzz)
      scripts/build.sh asan fuzz_targets planted_fault && echo "compiled after $((SECONDS - begun)) s" &&
        ctest --test-dir build/asan --output-on-failure --no-tests=error -R '^(fuzz|notices)_' && scripts/fuzz.sh "${FUZZ_SECONDS:-15}"
      ;;
    *) echo "check.sh: unknown check '$1' (known: fuzz, core, asan, tsan)" >&2; return 64 ;;
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
