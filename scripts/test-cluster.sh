#!/usr/bin/env bash
# The chart on real Kubernetes, in namespaces that this makes and that vanish with it:
#
#   test-cluster.sh [--if-cached] [L1] [L2] [scaling] [walk]      By default L1 and L2.
#
#   L1       control plane with nodes and GPUs that are not there: minutes
#   L2       a kubelet with containerd and the project's own CPU image, which is built from build/bin: needs root
#   scaling  1 to 4 replicas under constant load, by hand and by an autoscaler; writes two plots to docs/images
#   walk     an operator's first hour; writes docs/kubernetes-walk.md
#
# The programs of the cluster are built once (scripts/cluster-tools.sh, ten minutes of a core). With --if-cached, what is not there
# is not built, and what cannot be run is said and is no failure. UNMASK_PATIENCE multiplies all time limits (4).
set -euo pipefail
cd "$(dirname "$0")/.."
cached=
[ "${1:-}" != --if-cached ] || { cached=--if-cached && shift; }
levels=("$@")
[ $# -gt 0 ] || levels=(L1 L2)
cannot() {  # WHAT REASON
  echo "$1 is skipped: $2"
  [ -n "$cached" ] || exit 77
}
tools=$(scripts/cluster-tools.sh $cached) || { code=$?; [ $code = 77 ] || exit $code; cannot "${levels[*]}" "${tools#skipped: }"; exit 0; }
chart=$(tests/helm/tools.sh) || { code=$?; [ $code = 77 ] || exit $code; cannot "${levels[*]}" "${chart#skipped: }"; exit 0; }
HELM=$(sed -n 1p <<<"$chart")
export HELM

# Why this machine has no node, if it has none.
no_node() {
  [ "$(id -u)" = 0 ] || { echo "it needs root"; return; }
  local program
  for program in containerd runc iptables conntrack; do
    command -v $program >/dev/null || { echo "there is no $program (scripts/setup.sh cluster)"; return; }
  done
  [ -x /usr/lib/cni/bridge ] || echo "there are no network plugins (scripts/setup.sh cluster)"
}

# The image of what is in build/bin now; built anew only when that or the Dockerfile has changed.
image() {
  local of=build/image/unmask-cpu.of now
  scripts/build.sh release unmask unmask-coordinator unmask-worker unmask-protoset >&2 || return
  now=$(sha256sum Dockerfile models/demo/* build/bin/unmask build/bin/unmask-coordinator build/bin/unmask-worker)
  [ -f build/image/unmask-cpu.tar ] && [ "$(cat $of 2>/dev/null)" = "$now" ] && return
  scripts/image.sh && echo "$now" >$of
}

run() {  # SECONDS PROGRAM
  local state=$PWD/build/kubernetes/${2%.py} code=0
  rm -rf "$state"
  mkdir -p "$state"
  echo "== $2"
  # Whoever ends this script, and however, ends the cluster.
  UNMASK_CLUSTER_STATE=$state setpriv --pdeathsig TERM timeout --foreground --kill-after=60 $(($1 * ${UNMASK_PATIENCE:-4})) \
    tests/kubernetes/run.sh "$tools" python3 "tests/kubernetes/$2" ||
    code=$?
  rm -rf "$state"/{keys,etcd,node/containerd,node/kubelet}
  [ $code = 0 ] || { echo "$2 ended with $code; logs are in ${state#"$PWD/"}/logs" >&2; exit $code; }
}

for level in "${levels[@]}"; do
  case $level in
    L1) run 900 fake_nodes_test.py; continue ;;
    L2 | scaling | walk) ;;
    *) echo "test-cluster.sh: unknown level '$level' (known: L1, L2, scaling, walk)" >&2; exit 64 ;;
  esac
  reason=$(no_node)
  [ -z "$reason" ] || { cannot "$level" "$reason"; continue; }
  GHZ=$(bench/ghz/fetch.sh) || { cannot "$level" "${GHZ#skipped: }"; continue; }
  export GHZ
  image || { [ -n "$cached" ] || exit 1; cannot "$level" "the image could not be built"; continue; }
  case $level in
    L2)
      UNMASK_CLIENT_PYTHON=$(UNMASK_BIN_DIR=$PWD/build/bin python3 tests/examples/examples_test.py --environment) ||
        { cannot "$level" "${UNMASK_CLIENT_PYTHON#skipped: }"; continue; }
      export UNMASK_CLIENT_PYTHON
      run 900 kubelet_test.py
      run 600 group_test.py
      ;;
    scaling)
      scripts/build.sh release instant_replica >&2
      run 900 scaling.py
      ;;
    walk) run 600 walk.py ;;
  esac
done
