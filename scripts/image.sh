#!/usr/bin/env bash
# Builds an image of the Dockerfile without a Docker engine, as an OCI archive, which `ctr images import` and `docker load`
# take: build/image/unmask-cpu.tar, or with --cuda build/image/unmask-cuda.tar.
#
#   image.sh [--cuda] [REFERENCE]      By default localhost/unmask:VERSION of the chart, or VERSION-cuda.
#
# Needs root and Debian 12, whose libraries the programs are linked with: those of build/bin go in, stripped. The base is
# made of Debian's packages, since there may be no registry of images. Everything stays under build/image.
set -euo pipefail
cd "$(dirname "$0")/.."
target=cpu suffix=
[ "${1:-}" != --cuda ] || { target=cuda suffix=-cuda && shift; }
version=$(sed -n 's/^appVersion: "\(.*\)"/\1/p' helm/unmask/Chart.yaml)
reference=${1:-localhost/unmask:$version$suffix}
work=$PWD/build/image
archive=build/image/unmask-$target.tar
. /etc/os-release
[ "${VERSION_CODENAME:-}" = bookworm ] || { echo "image.sh: the programs of this host would miss their libraries in Debian 12; use docker build" >&2; exit 69; }
[ "$(id -u)" = 0 ] || { echo "image.sh: needs root" >&2; exit 69; }
for tool in buildah mmdebstrap; do command -v $tool >/dev/null || missing=1; done
[ -z "${missing:-}" ] || { apt-get update -q && apt-get install -y -q --no-install-recommends buildah mmdebstrap; } >&2

scripts/build.sh release unmask unmask-coordinator unmask-worker unmask-make-checkpoint unmask-protoset
[ -f models/demo/config.json ] || [ -f build/random-model/config.json ] ||
  build/bin/unmask-make-checkpoint --preset demo --out build/random-model
root=$work/root$suffix
rm -rf "$root"
cmake --install build --prefix "$root/usr" --strip >/dev/null
[ $target = cpu ] || { scripts/cuda.sh && cmake --install build --component cuda --prefix "$root/usr" --strip >/dev/null; }

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
image bud --quiet --isolation chroot --pull-never --signature-policy "$work/policy.json" --format oci --target $target \
  --build-arg DEBIAN="$base" --build-arg PROGRAMS=prebuilt --build-arg VERSION="$version" \
  --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" --build-arg CREATED="$(date -u +%FT%TZ)" \
  --tag "$reference" . >/dev/null
rm -f "$archive"
image push --quiet --signature-policy "$work/policy.json" "$reference" "oci-archive:$archive:$reference"

container=$(image from --pull-never --signature-policy "$work/policy.json" "$reference")
trap 'image rm "$container" >/dev/null' EXIT
mounted=$(image mount "$container")
sbom=build/image/sbom$suffix.cdx.json
cp "$mounted/usr/share/unmask/sbom.cdx.json" $sbom
ran=$(image run --isolation chroot "$container" -- sh -c 'id -u; unmask --version')
[ "$(sed -n 1p <<<"$ran")" = 65532 ] || { echo "image.sh: the image does not run as 65532: $ran" >&2; exit 1; }
echo "$reference ($(sed -n 2p <<<"$ran")): $(du -sm "$mounted" | cut -f1) MB unpacked, $(du -m "$archive" | cut -f1) MB as $archive;" \
  "$(grep -c '"purl"' $sbom) components in $sbom"
