#!/usr/bin/env bash
# Plants each kind of breach in an empty tree and expects house.sh to name it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{base,text,kernels/cpu,cluster,worker,coordinator,cli,models,tests,bench,scripts}
"$here/house.sh" "$tree" >/dev/null || { echo "an empty tree is refused"; exit 1; }

expect_breach() {  # file, content, part of the message
  printf '%b' "$2" >"$tree/$1"
  if output=$("$here/house.sh" "$tree"); then echo "not noticed: $1: $2"; exit 1; fi
  [[ $output == *"$3"* ]] || { echo "wrong message for $1: $output"; exit 1; }
  rm "$tree/$1"
}
expect_breach coordinator/a.cc '#include "worker/engine.h"\n' "through a wall: coordinator/a.cc"
expect_breach worker/a.cc '#include "text/tokenizer.h"\n' "through a wall"
expect_breach kernels/a.cc '#include "cluster/shard.h"\n' "through a wall"
expect_breach cli/a.cc '#include "cluster/communicator.h"\n' "sees ranks"
expect_breach worker/a.cc '#include <mpi.h>\n' "outside"
expect_breach worker/a.cc '#include <cuda_runtime.h>\n' "outside"
expect_breach worker/a.cc '#ifdef __AVX2__\n#endif\n' "preprocessor conditional"
expect_breach coordinator/a.cc 'const auto late = std::chrono::system_clock::now();\n' "the wall clock"
expect_breach base/a.cc "$(printf '\\n%.0s' $(seq 501))" "more than 500"
echo "every planted breach was named"
