#!/bin/sh
# Stands in for unmask-worker; see fake_coordinator.cc. $FAKE_DIR/worker_exit holds the code to end with at once.
rank=${OMPI_COMM_WORLD_RANK:-0}
echo "worker $rank starts $*" >> "$FAKE_DIR/story"
if [ -e "$FAKE_DIR/worker_exit" ]; then
  echo "20:01:02.123 E worker/$rank: the checkpoint is torn" >&2
  exit "$(cat "$FAKE_DIR/worker_exit")"
fi
while [ $# -gt 1 ] && [ "$1" != --life-file ]; do shift; done
life=${2:-/dev/null}
trap 'echo "worker $rank ends" >> "$FAKE_DIR/story"; rm -f "$FAKE_DIR/ready"; exit 0' TERM
touch "$FAKE_DIR/ready"
beats=0
while [ "$rank" = 0 ] || [ -e "$FAKE_DIR/ready" ]; do
  beats=$((beats + 1))
  [ "$rank" != 0 ] || echo "$beats 0" > "$life"
  sleep 0.02
done
