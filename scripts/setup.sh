#!/usr/bin/env bash
# Installs what the build needs on Debian 12, and only what is missing. `scripts/setup.sh clang` adds the second compiler,
# `scripts/setup.sh page` the browser for the test of the page, `scripts/setup.sh cluster` what a Kubernetes node is made of,
# `scripts/setup.sh cuda` a CUDA toolkit, where there is none.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  g++ cmake ninja-build ccache pkg-config make git
  python3 python3-venv                                                                 # tests of chart, clients and load
  libgrpc++-dev protobuf-compiler-grpc protobuf-compiler libprotobuf-dev libabsl-dev libssl-dev  # services
  libdnnl-dev libopenmpi-dev openmpi-bin                                               # kernels, ranks
  libcli11-dev nlohmann-json3-dev libcpp-httplib-dev prometheus-cpp-dev libxxhash-dev  # flags, JSON, admin port, digests
  libsqlite3-dev                                                                       # batch jobs
  libgtest-dev libgmock-dev openssl iproute2 curl prometheus                           # tests; of prometheus its promtool
  python3 python3-regex python3-torch                                                  # tests of models/train
)
for extra in "$@"; do
  case $extra in
    clang) packages+=(clang clang-format libclang-rt-14-dev llvm) ;;  # With its sanitizers, and names in their reports.
    cluster) packages+=(containerd runc containernetworking-plugins iptables conntrack buildah mmdebstrap) ;;  # A Kubernetes node.
    page) packages+=(chromium chromium-driver fonts-dejavu-core) ;;  # What tests/http looks at the page with.
    cuda) cuda=yes ;;
    *) echo "setup.sh: unknown extra '$extra' (known: clang, cluster, cuda, page)" >&2; exit 64 ;;
  esac
done

# Before anything is installed. Where cargo is as text/CMakeLists.txt looks for it.
rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' text/rust/Cargo.toml)
cargo=$(command -v cargo || echo "$HOME/.cargo/bin/cargo")
if [ ! -x "$cargo" ]; then
  echo "setup.sh: no Rust toolchain: cargo is not on the PATH (https://rustup.rs installs one)" >&2
  exit 69
fi
version=$("$cargo" --version | cut -d' ' -f2)
if [ "$(printf '%s\n' "$rust" "$version" | sort -V | head -1)" != "$rust" ]; then
  echo "setup.sh: $cargo is of Rust $version, and $rust or later is needed (https://rustup.rs installs it)" >&2
  exit 69
fi

if ! command -v apt-get >/dev/null; then
  echo "setup.sh: this is not Debian; install the equivalents of: ${packages[*]}" >&2
  exit 0
fi
installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
sudo=; [ "$(id -u)" = 0 ] || sudo=sudo

missing=()
for package in "${packages[@]}"; do
  installed "$package" || missing+=("$package")
done
# Some of it comes with a daemon that nobody has asked for: it is to start neither now nor, where there is systemd, at boot.
policy=/usr/sbin/policy-rc.d
daemons=()
for daemon in prometheus containerd; do
  [[ " ${missing[*]} " == *" $daemon "* ]] || continue
  daemons+=("$daemon")
  if [ ! -e "$policy" ]; then
    trap '$sudo rm -f "$policy"' EXIT
    printf '#!/bin/sh\ncase "$*" in *prometheus*|*containerd*) exit 101 ;; esac\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod 755 "$policy"
  fi
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "Installing: ${missing[*]}"
  $sudo apt-get update -q
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
  ! command -v systemctl >/dev/null || [ ${#daemons[@]} = 0 ] || $sudo systemctl disable -q "${daemons[@]}" || true
fi

[ -z "${cuda:-}" ] || scripts/cuda_toolkit.sh >/dev/null
