#!/bin/sh
# Objects compiled for one instruction set may define no symbol that the linker merges with another object's: it would keep one
# copy for all machines. Usage: no_weak_symbols.sh NM OBJECT...
nm=$1
shift
if "$nm" --defined-only "$@" | grep ' [WVu] '; then
  echo "these symbols might run on a machine that lacks the instructions" >&2
  exit 1
fi
