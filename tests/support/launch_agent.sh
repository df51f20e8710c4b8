#!/bin/sh
# A launch agent for hosts that are network namespaces: launch_agent.sh PREFIX ADDRESS COMMAND... runs the words of the
# command, as a shell reads them, in the namespace PREFIX* that has the address. Nothing of our own environment goes
# along, as with ssh.
set -eu
prefix=$1
address=$2
shift 2
for file in /run/netns/"$prefix"*; do
  namespace=${file##*/}
  if ip -n "$namespace" -o -4 addr | grep -qF " $address/"; then
    exec "$(dirname "$0")/on_host.sh" "$namespace" env -i PATH="$PATH" HOME="$HOME" sh -c "$*"
  fi
done
echo "launch_agent.sh: no host has the address $address" >&2
exit 255
