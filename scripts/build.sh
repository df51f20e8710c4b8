#!/usr/bin/env bash
# Configures (once) and builds a preset of CMakePresets.json: build.sh [release|dev|clang|asan|tsan [TARGET...]].
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
shift || true
directory=build/$preset
case $preset in
  release) directory=build ;;
  clang | asan | tsan)
    command -v clang++ >/dev/null || { echo "build.sh: there is no clang++; 'scripts/setup.sh clang' installs it" >&2; exit 69; } ;;
esac
# What one clone has compiled serves every other one, precompiled headers included.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1 CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
[ -f "$directory/build.ninja" ] || cmake --preset "$preset"
ninja -C "$directory" "$@"
