#!/usr/bin/env bash
# What needs a GPU, for a machine that has one and nothing else of ours: a driver for CUDA 13, CUDA or PyTorch's wheels of
# it, PyTorch, and a C library of Debian 12's age (2.36) suffice, without a network.
#
#   scripts/gpu.sh pack            after `make cuda build`: build/cuda/unmask-gpu.tar.xz, at most 60 MiB
#   scripts/gpu.sh run [STAGE...]  from the unpacked bundle (or a clone, after `make cuda build`): all stages, or those named:
#                                  kernels ranks goldens failover sanitizer bench. Each is one call of less than 10
#                                  minutes. Writes ${OUT:-build/cuda/report}, ends with 1 where one failed.
set -euo pipefail
cd "$(dirname "$0")/.."
cuda=build/cuda

# Libraries that a machine with CUDA or PyTorch has, and must bring: too large for the bundle, or the driver's.
brought='libcublasLt|libcublas|libnccl|libcudart|libcuda\.'
system='linux-vdso|ld-linux|libc\.so|libm\.so|libdl\.so|librt\.so|libpthread\.so|libresolv\.so'

pack() {
  local stage=$cuda/bundle/unmask-gpu programs library
  rm -rf "$cuda/bundle"
  mkdir -p "$stage/$cuda/bin" "$stage/$cuda/tests/bin" "$stage/$cuda/bench/bin" "$stage/$cuda/lib" "$stage/build/tests/bin"
  cp "$cuda"/bin/* "$stage/$cuda/bin/"
  cp "$cuda"/tests/bin/* "$stage/$cuda/tests/bin/"
  cp "$cuda"/bench/bin/* "$stage/$cuda/bench/bin/"
  cp build/tests/bin/{golden_test,failover_test} "$stage/build/tests/bin/"
  cp "$(command -v mpirun)" "$(command -v orted)" "$stage/$cuda/bin/"
  mapfile -t programs < <(find "$stage" -type f -perm -u+x)
  cp -r /usr/lib/x86_64-linux-gnu/openmpi/lib/openmpi3 "$stage/$cuda/lib/"  # Open MPI's plug-ins, and below its texts.
  mkdir -p "$stage/$cuda/share"
  cp -r /usr/share/openmpi "$stage/$cuda/share/"
  for library in $(ldd "${programs[@]}" "$stage/$cuda"/lib/openmpi3/*.so 2>/dev/null |
    awk '$2 == "=>" && $3 ~ "^/" {print $3}' | sort -u | grep -vE "/($brought|$system)"); do
    cp -L "$library" "$stage/$cuda/lib/"
  done
  find "$stage" -type f \( -perm -u+x -o -name '*.so*' \) -exec strip --strip-unneeded {} + 2>/dev/null || true
  git ls-files scripts tests/goldens kernels cluster tests/kernels tests/cluster tests/worker bench/gpu bench/reference models/demo docs/performance.md |
    tar -c -T - | tar -x -C "$stage"
  git rev-parse HEAD >"$stage/COMMIT"
  tar -C "$cuda/bundle" -c unmask-gpu | xz -T2 -6 >"$cuda/unmask-gpu.tar.xz"
  local bytes
  bytes=$(stat -c %s "$cuda/unmask-gpu.tar.xz")
  echo "$cuda/unmask-gpu.tar.xz: $((bytes >> 20)) MiB"
  [ "$bytes" -le $((60 << 20)) ] || { echo "more than 60 MiB" >&2; exit 1; }
}

# Where the target keeps what it brings: its toolkit, or PyTorch's wheels.
library_path() {
  local folders
  folders=$(ls -d /usr/local/cuda*/lib64 /usr/local/cuda*/targets/x86_64-linux/lib /usr/lib/x86_64-linux-gnu 2>/dev/null || true
    python3 -c 'import glob, os, torch
for folder in glob.glob(os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), "nvidia", "*", "lib")): print(folder)' 2>/dev/null || true)
  paste -sd: <<<"$folders"
}

failed=()
stage() {  # name, seconds, command...
  local name=$1 seconds=$2 code=0
  shift 2
  echo "== $name: $*"
  timeout "$seconds" "$@" >"$report/$name.log" 2>&1 || code=$?
  grep -E '^\[  (PASSED|FAILED|SKIPPED)|^device:|ERROR SUMMARY|^ *\|' "$report/$name.log" | tail -40 || true
  [ "$code" = 0 ] && echo "== $name: passed" || { echo "== $name: ended with $code"; tail -5 "$report/$name.log"; failed+=("$name"); }
}

run() {
  local wanted=" ${*:-kernels ranks goldens failover sanitizer bench} " model
  report=${OUT:-$cuda/report}
  mkdir -p "$report"
  export LD_LIBRARY_PATH=$PWD/$cuda/lib:$(library_path) PATH=$PWD/$cuda/bin:$PATH
  export UNMASK_SOURCE_DIR=$PWD UNMASK_BIN_DIR=$PWD/$cuda/bin OMP_WAIT_POLICY=passive
  if [ -d "$cuda/lib/openmpi3" ]; then  # Open MPI asks for its own places one by one.
    export OPAL_PREFIX=$PWD/$cuda OPAL_BINDIR=$PWD/$cuda/bin OPAL_LIBDIR=$PWD/$cuda/lib OPAL_PKGLIBDIR=$PWD/$cuda/lib/openmpi3
    export OPAL_DATADIR=$PWD/$cuda/share OPAL_PKGDATADIR=$PWD/$cuda/share/openmpi OPAL_SYSCONFDIR=$PWD/$cuda/share/openmpi
    export OMPI_MCA_mca_base_component_path=$PWD/$cuda/lib/openmpi3
  fi
  command -v nvidia-smi >/dev/null || { echo "gpu.sh: this machine has no NVIDIA driver (nvidia-smi)" >&2; exit 69; }
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$report/card.txt"
  ldd "$cuda/bin/unmask-worker" | grep "not found" && { echo "a library is missing: $LD_LIBRARY_PATH" >&2; exit 69; }
  wants() { [[ $wanted == *" $1 "* ]]; }
  # Each operation against double precision, shapes of every kind; rows' bits among neighbours; a step that repeats.
  wants kernels && stage kernels 540 "$cuda/tests/bin/gpu_kernels_test"
  # The forward pass against the reference's recordings; then as two ranks that share the GPU through MPI.
  wants ranks && {
    export UNMASK_TEST_DEVICE=cuda GTEST_FILTER='-*/SamenessTest.*/4:*/SamenessTest.*/5:*Int8*'  # CUDA has no int8.
    for name in forward engine; do
      stage "$name" 280 "$cuda/tests/bin/gpu_${name}_test"
      stage "$name-two-ranks" 280 scripts/mpirun.sh 2 "$cuda/tests/bin/gpu_${name}_test"
    done
    unset GTEST_FILTER
  }
  # Whole generations through the service, every golden.
  wants goldens && UNMASK_DEVICE=cuda stage goldens 560 build/tests/bin/golden_test
  wants failover && UNMASK_DEVICE=cuda stage failover 560 build/tests/bin/failover_test
  wants sanitizer && {
    local tool
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -1 || true)
    if [ -n "$tool" ]; then
      stage sanitizer 560 "$tool" --error-exitcode 1 "$cuda/tests/bin/gpu_kernels_test" --gtest_filter='-*ManySeeds*:*Invariance*'
    else
      echo "== sanitizer: skipped, this machine has no compute-sanitizer"
    fi
  }
  wants bench && stage bench 590 python3 bench/gpu/run.py "$cuda/bench/bin/gpu_step_bench" "$report"
  [ ${#failed[@]} = 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
}

case ${1:-} in
  pack) pack ;;
  run) shift; run "$@" ;;
  *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 64 ;;
esac
