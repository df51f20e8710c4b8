#!/bin/sh
# Runs a command in a network namespace, under a host name of its own, the namespace's: on_host.sh NAMESPACE COMMAND...
set -eu
namespace=$1
shift
exec ip netns exec "$namespace" unshare --uts sh -c 'hostname "$0" && exec "$@"' "$namespace" "$@"
