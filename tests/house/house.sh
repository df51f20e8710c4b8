#!/usr/bin/env bash
# The house rules of docs/architecture.md that a compiler does not enforce: who may include whom, where MPI, CUDA and #ifdef may
# stand, and how long a file may be. `house.sh ROOT` checks a tree; prints each breach, fails if there is one.
set -u
cd "${1:?usage: house.sh ROOT}" || exit 2

folders="base text kernels cluster worker coordinator cli models"
sources() { find "$@" -type f \( -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \) | sort; }

# The folders of ours that a folder's files may include, besides itself and what is generated from proto/.
may_include() {
  case $1 in
    text | kernels) echo "base" ;;
    cluster) echo "kernels base" ;;
    worker) echo "cluster kernels base" ;;
    coordinator) echo "text base" ;;
    cli) echo "text base cluster" ;;
    models) echo "text kernels base" ;;
  esac
}

# lines PATTERN RULE FILE...: each line of the files that matches, as a breach of the rule.
lines() {
  local pattern=$1 rule=$2
  shift 2
  [ $# -gt 0 ] && grep -HnE "$pattern" "$@" | sed "s|^|$rule: |"
}

breaches=$(
  for folder in $folders; do
    allowed=" $folder $(may_include "$folder") "
    for other in $folders tests bench; do
      [[ $allowed == *" $other "* ]] || lines "#include +\"$other/" "an include through a wall" $(sources "$folder")
    done
  done
  # The command may use the supervisor, which lives in cluster/, and no more of it.
  lines '#include +"cluster/(communicator|shard)' "the command sees ranks" $(sources cli)

  all=$(sources $folders)
  outside() { grep -vE "$1" <<<"$all"; }
  lines '#include +[<"]mpi\.h' "MPI outside cluster/mpi.cc" $(outside '^cluster/mpi.cc$')
  lines '#include +[<"]nccl' "NCCL outside cluster/nccl.cc" $(outside '^cluster/nccl.cc$')
  lines '#include +[<"](cuda|cublas)' "CUDA outside kernels/cuda" $(outside '^(kernels/cuda/|cluster/nccl.cc$)')
  lines '#include +[<"](dnnl|omp\.h)' "a CPU library outside kernels/cpu" $(outside '^kernels/cpu/')
  lines '#include +[<"]grpc' "gRPC below the services" $(sources text kernels cluster)

  # What lasts, expires or is late is measured by the monotonic clock. The wall clock is for stamps that people read, and for
  # gRPC's deadlines, which are told by it and kept by the monotonic one.
  stamps='base/log|coordinator/(batch_service|batch/runner|http/(batch_routes|http_server))'
  deadlines='coordinator/(server|raw_call)|cli/(client|fleet_watch|launch|node)'
  lines 'absl::Now\(|system_clock|\btime\(nullptr|gettimeofday|CLOCK_REALTIME' "the wall clock where time is measured" \
    $(outside "^($stamps|$deadlines|base/steady_waits)\.cc$")

  # Include guards are #ifndef UNMASK_..._H_; every other conditional needs a better idea: another file, another target.
  lines '^ *# *(if|ifdef|ifndef|elif)\b' "a preprocessor conditional" $all | grep -vE '#ifndef UNMASK_[A-Z0-9_]+_(CU)?H_$'

  for file in $(sources $folders tests bench) $(find $folders tests bench scripts \( -name '*.py' -o -name '*.rs' -o -name '*.sh' \)); do
    count=$(wc -l <"$file")
    [ "$count" -le 500 ] || echo "a file of more than one idea: $file has $count lines, more than 500"
  done
)
if [ -n "$breaches" ]; then
  echo "$breaches"
  exit 1
fi
echo "the house is in order"
