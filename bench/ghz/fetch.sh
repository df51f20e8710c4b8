#!/usr/bin/env bash
# Prints the path of ghz: $GHZ, the one on the PATH, or this version built from the Go module proxy (once, a minute of
# processor time). Exit 77 and the reason where there is none to be had.
set -euo pipefail
version=v0.121.0
[ -z "${GHZ:-}" ] || { echo "$GHZ"; exit; }
command -v ghz && exit
bin=${UNMASK_CLUSTER_CACHE:-$HOME/.cache/unmask-cluster}/ghz-$version
if [ ! -x "$bin/ghz" ]; then
  go=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  [ "${go:-0}" -ge 23 ] || { echo "skipped: there is no ghz, and no Go of 1.23 or later to build it with"; exit 77; }
  mkdir -p "$bin"
  GOBIN=$bin GOFLAGS=-buildvcs=false CGO_ENABLED=0 go install "github.com/bojand/ghz/cmd/ghz@$version" >&2 ||
    { echo "skipped: ghz $version could not be built"; exit 77; }
fi
echo "$bin/ghz"
