#!/usr/bin/env bash
# Configures (once) and builds a preset of CMakePresets.json: release, dev, clang, asan or tsan.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
directory=build/$preset
[ "$preset" = release ] && directory=build
# What one clone has compiled serves every other one.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
[ -f "$directory/build.ninja" ] || cmake --preset "$preset"
ninja -C "$directory"
