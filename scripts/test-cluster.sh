#!/usr/bin/env bash
# The chart on real Kubernetes, in namespaces that this makes and that vanish with it:
#
#   test-cluster.sh [--if-cached] [L1]
#
#   L1       control plane with nodes and GPUs that are not there: minutes
#
# The programs of the cluster are built once (scripts/cluster-tools.sh, ten minutes of a core). With --if-cached, what is not there
# is not built, and what cannot be run is said and is no failure. UNMASK_PATIENCE multiplies all time limits (4).
set -euo pipefail
cd "$(dirname "$0")/.."
cached=
[ "${1:-}" != --if-cached ] || { cached=--if-cached && shift; }
levels=("$@")
[ $# -gt 0 ] || levels=(L1)
cannot() {  # WHAT REASON
  echo "$1 is skipped: $2"
  [ -n "$cached" ] || exit 77
}
tools=$(scripts/cluster-tools.sh $cached) || { code=$?; [ $code = 77 ] || exit $code; cannot "${levels[*]}" "${tools#skipped: }"; exit 0; }
chart=$(tests/helm/tools.sh) || { code=$?; [ $code = 77 ] || exit $code; cannot "${levels[*]}" "${chart#skipped: }"; exit 0; }
HELM=$(sed -n 1p <<<"$chart")
export HELM

run() {  # SECONDS PROGRAM
  local state=$PWD/build/kubernetes/${2%.py} code=0
  rm -rf "$state"
  mkdir -p "$state"
  echo "== $2"
  UNMASK_CLUSTER_STATE=$state timeout --kill-after=60 $(($1 * ${UNMASK_PATIENCE:-4})) tests/kubernetes/run.sh "$tools" python3 "tests/kubernetes/$2" ||
    code=$?
  rm -rf "$state"/{keys,etcd}
  [ $code = 0 ] || { echo "$2 ended with $code; logs are in ${state#"$PWD/"}/logs" >&2; exit $code; }
}

for level in "${levels[@]}"; do
  case $level in
    L1) run 900 fake_nodes_test.py ;;
    *) echo "test-cluster.sh: unknown level '$level' (known: L1)" >&2; exit 64 ;;
  esac
done
