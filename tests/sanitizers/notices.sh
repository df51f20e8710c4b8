#!/usr/bin/env bash
# notices.sh PROGRAM FAULT PART-OF-THE-REPORT: the planted fault ends the program with a report that names its kind and place, and
# without a fault there is none.
set -euo pipefail
program=$1 fault=$2 part=$3
unset ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS  # The report is read here, and in nobody's folder.
"$program" none || { echo "a report without a fault"; exit 1; }
if report=$("$program" "$fault" 2>&1); then echo "not noticed: $fault"; exit 1; fi
[[ $report == *"$part"* && $report == *planted.cc* ]] || { printf 'another report than expected:\n%s\n' "$report"; exit 1; }
echo "noticed: $part"
