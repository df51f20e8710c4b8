#!/usr/bin/env bash
# Builds the CPU image of the Dockerfile without a Docker engine, as an OCI archive: build/image/unmask-cpu.tar, which
# `ctr images import` and `docker load` take. image.sh [REFERENCE], by default localhost/unmask:VERSION of the chart.
#
# Needs root and Debian 12, whose libraries the programs are linked with: those of build/bin go in, stripped. The base is
# made of Debian's packages, since there may be no registry of images. Everything stays under build/image.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^appVersion: "\(.*\)"/\1/p' helm/unmask/Chart.yaml)
reference=${1:-localhost/unmask:$version}
work=$PWD/build/image
. /etc/os-release
[ "${VERSION_CODENAME:-}" = bookworm ] || { echo "image.sh: the programs of this host would miss their libraries in Debian 12; use docker build" >&2; exit 69; }
[ "$(id -u)" = 0 ] || { echo "image.sh: needs root" >&2; exit 69; }
for tool in buildah mmdebstrap; do command -v $tool >/dev/null || missing=1; done
[ -z "${missing:-}" ] || { apt-get update -q && apt-get install -y -q --no-install-recommends buildah mmdebstrap; } >&2

[ -f build/build.ninja ] || cmake --preset release
ninja -C build unmask unmask-coordinator unmask-worker unmask-make-checkpoint unmask-protoset
[ -f models/demo/config.json ] || [ -f build/random-model/config.json ] ||
  build/bin/unmask-make-checkpoint --preset demo --out build/random-model
rm -rf "$work/root"
cmake --install build --prefix "$work/root/usr" --strip >/dev/null

image() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/policy.json"
base=localhost/debian:bookworm-slim
if ! image inspect --type image "$base" >/dev/null 2>&1; then
  mmdebstrap --variant=minbase --quiet bookworm "$work/debian.tar"
  container=$(image from scratch)
  image add --quiet "$container" "$work/debian.tar" / >/dev/null
  image commit --quiet --rm "$container" "$base" >/dev/null
  rm "$work/debian.tar"
fi
image bud --quiet --isolation chroot --pull-never --signature-policy "$work/policy.json" --format oci --target cpu \
  --build-arg DEBIAN="$base" --build-arg PROGRAMS=prebuilt --build-arg VERSION="$version" \
  --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" --build-arg CREATED="$(date -u +%FT%TZ)" \
  --tag "$reference" . >/dev/null
rm -f "$work/unmask-cpu.tar"
image push --quiet --signature-policy "$work/policy.json" "$reference" "oci-archive:$work/unmask-cpu.tar:$reference"

container=$(image from --pull-never --signature-policy "$work/policy.json" "$reference")
trap 'image rm "$container" >/dev/null' EXIT
root=$(image mount "$container")
cp "$root/usr/share/unmask/sbom.cdx.json" "$work/sbom.cdx.json"
ran=$(image run --isolation chroot "$container" -- sh -c 'id -u; unmask --version')
[ "$(sed -n 1p <<<"$ran")" = 65532 ] || { echo "image.sh: the image does not run as 65532: $ran" >&2; exit 1; }
echo "$reference ($(sed -n 2p <<<"$ran")): $(du -sm "$root" | cut -f1) MB unpacked, $(du -m "$work/unmask-cpu.tar" | cut -f1) MB as build/image/unmask-cpu.tar;" \
  "$(grep -c '"purl"' "$work/sbom.cdx.json") components in sbom.cdx.json"
