#!/usr/bin/env bash
# Builds and runs the tests under a sanitizer: sanitize.sh asan|tsan [all] [CTEST-ARGUMENT...]. asan is AddressSanitizer with
# UndefinedBehaviorSanitizer. Without `all` the tests of reliability are left out: they take long, and run what the end-to-end tests
# run. `sanitize.sh asan|tsan only TEST...` builds and runs just these. What is suppressed, and why, is in tests/sanitizers.
set -euo pipefail
cd "$(dirname "$0")/.."
supp=$PWD/tests/sanitizers
case ${1:-} in
  asan) preset=$1 planted=overflow ;;
  tsan) preset=$1 planted=race ;;
  *) echo "usage: sanitize.sh asan|tsan [all] [CTEST-ARGUMENT...] | only TEST..." >&2; exit 64 ;;
esac
shift
chosen=(-LE '^(uninstrumented|reliability)$')
targets=()
case ${1:-} in
  all) shift && chosen=(-LE '^uninstrumented$') ;;
  only)
    shift && targets=(planted_fault "$@")
    chosen=(-R "^($(IFS='|' && echo "$*"))(@[0-9]+)?\$|^notices_")  # Once for each number of ranks.
    set --
    ;;
esac
scripts/build.sh $preset "${targets[@]}"

# Reports are gathered in files: most processes of a test are children of its children, whose output and end nobody looks at.
reports=$PWD/build/$preset/reports
rm -rf "$reports"
mkdir -p "$reports"
common=log_path=$reports/$preset:log_exe_name=1:allocator_may_return_null=1  # Its lack is an error that is tested.
export ASAN_OPTIONS=$common:detect_stack_use_after_return=1:strict_string_checks=1:detect_leaks=1
export LSAN_OPTIONS=suppressions=$supp/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=$common:print_stacktrace=1
export TSAN_OPTIONS=$common:suppressions=$supp/tsan.supp:ignore_noninstrumented_modules=1:history_size=4:second_deadlock_stack=1
# Open MPI leaves memory behind, much of it by plugins that it has unloaded by then, so that no suppression could name them. Leaks are
# not looked for in what mpirun starts; a replica of one rank runs without it.
export OMPI_MCA_mca_base_env_list=LSAN_OPTIONS=detect_leaks=0

# The net holds: a fault of a process that nobody watches leaves a report.
(build/$preset/tests/bin/planted_fault $planted >/dev/null 2>&1 &)
for ((i = 0; i < 600; i++)); do grep -qs planted.cc "$reports"/* && break; sleep 0.1; done
grep -qs planted.cc "$reports"/* || { echo "sanitize.sh: the planted $planted left no report in $reports" >&2; exit 1; }
rm "$reports"/*

failed=0
ctest --test-dir build/$preset --output-on-failure --no-tests=error "${chosen[@]}" "$@" || failed=$?
for report in "$reports"/*; do
  grep -qsE 'SUMMARY|ERROR|runtime error' "$report" || continue  # The rest are warnings of an allocation that failed.
  failed=1
  echo "== $report"
  head -n 60 "$report"
done
exit $failed
