#!/usr/bin/env bash
# Builds what tests/kubernetes runs a cluster with, from the Go module proxy: a control plane, a node's programs and the
# LeaderWorkerSet controller. Once for each content of tests/kubernetes/tools, into the user's cache; about ten minutes of
# a core, 3 GB of Go's own cache, 300 MB kept. Prints their folder, and progress on standard error.
#
#   cluster-tools.sh [--if-cached]      With the flag, exit 77 and the reason where they are not built yet.
set -euo pipefail
cd "$(dirname "$0")/../tests/kubernetes/tools"
name=kubernetes-$(cat go.mod go.sum */*.go "../../../scripts/${0##*/}" | sha256sum | cut -c1-16)
out=${UNMASK_CLUSTER_CACHE:-$HOME/.cache/unmask-cluster}/$name
skip() { echo "skipped: $*"; exit 77; }
[ ! -e "$out/done" ] || { echo "$out"; exit; }
[ "${1:-}" != --if-cached ] || skip "$out is not built yet (scripts/cluster-tools.sh builds it)"
go=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
[ "${go:-0}" -ge 26 ] || skip "there is no Go of 1.26 or later to build a cluster with"

export CGO_ENABLED=0 GOFLAGS="-buildvcs=false -trimpath ${GOFLAGS:-}"
mkdir -p "$out"
exec 9>"$out/.lock" && flock 9
[ ! -e "$out/done" ] || { echo "$out"; exit; }
echo "Fetching the modules of Kubernetes (0.8 GB) ..." >&2
go mod download || skip "the module proxy cannot be reached"

# A server that does not know its version calls itself v0.0.0, and clients take it for an old one.
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
variables=k8s.io/component-base/version
flags="-s -w -X $variables.gitVersion=$version -X $variables.gitMajor=1 -X $variables.gitMinor=$(cut -d. -f2 <<<"$version")"
lws=sigs.k8s.io/lws/cmd
total=$(go list -deps ./control ./node ./pause $lws | sort -u | wc -l)
build() {  # NAME PACKAGE: with -v, go names each package that it compiles.
  nice -n 10 go build -v -ldflags "$flags" -o "$out/$1" "$2" 2>&1 |
    awk -v what="$1" -v total="$total" '/^[a-z0-9.]+(\/[^ ]*)?$/ { if (++n % 50 == 0) print what ": compiled " n " packages, of at most " total; next }
                                         { print }' >&2
  echo "$1 is built." >&2
}
build control ./control
build lws $lws
build node ./node
build pause ./pause
for part in etcd kube-apiserver kube-controller-manager kube-scheduler kubectl kwok; do ln -sf control "$out/$part"; done
for part in kubelet kube-proxy coredns; do ln -sf node "$out/$part"; done
stages=$(go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
mkdir -p "$out"/{stages,crds}
cp "$stages"/{node/fast/node-initialize,node/heartbeat-with-lease/node-heartbeat-with-lease,pod/fast/pod-ready,pod/fast/pod-complete,pod/fast/pod-delete}.yaml "$out/stages"
cp "$(go list -m -f '{{.Dir}}' sigs.k8s.io/lws)"/config/crd/bases/*.yaml "$out/crds"
chmod -R u+w "$out"
touch "$out/done"
echo "$out"
