#!/usr/bin/env bash
# Runs a Python program with arguments in a box: namespaces of network, mounts and processes of its own, so that a whole
# cluster can use its usual ports and paths, reaches nothing outside, and is gone with its first process, however that
# ends. What it leaves in cgroups is swept afterwards.
#
#   run.sh TOOLS PROGRAM ARGUMENT...      TOOLS: what scripts/cluster-tools.sh printed
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" = --inside ]; then  # Process 1 of the box. It waits, and so reaps what is left to it.
  shift
  ip link set lo up
  ip link add node0 type bridge
  ip address add 10.202.0.2/24 dev node0
  ip link set node0 up
  ip route add default via 10.202.0.1
  "$@" &
  wait $!
  exit
fi
tools=$1
shift
export PATH=$tools:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONPATH=$here UNMASK_CLUSTER_TOOLS=$tools
export UNMASK_CGROUP=unmask-test-$$
swept() {
  [ -z "${box:-}" ] || { kill -9 "$box" && wait "$box"; } 2>/dev/null || true  # Its child, process 1, goes with it.
  for _ in $(seq 50); do
    left=$(find /sys/fs/cgroup -maxdepth 2 -type d -name "$UNMASK_CGROUP")
    [ -n "$left" ] || return 0
    find $left -depth -type d -exec rmdir {} + 2>/dev/null || true
    sleep 0.1
  done
  echo "cgroups are left: $left" >&2
}
trap swept EXIT
trap 'exit 143' TERM INT HUP
root=()
if [ "$(id -u)" = 0 ]; then
  # Where a node mounts folders of its own over the machine's. They stay, empty: removing one would take away the mounts
  # over it in every other box.
  mkdir -p /var/lib/cni /var/log/pods /var/log/containers
else
  root=(--user --map-root-user)
fi
unshare "${root[@]}" --mount --net --pid --fork --kill-child --mount-proc "$here/run.sh" --inside "$@" &
box=$!
code=0
wait "$box" || code=$?
box=
exit "$code"
