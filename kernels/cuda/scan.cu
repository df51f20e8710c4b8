// Logits to candidate records: a block reduces one row's logits of kScanRange ids, four consecutive ids a thread, which
// share one call of Philox; then neighbours merge, lower ids first, by halves. LaunchMerge folds a spec's ranges in
// ascending order. So a record depends on its row alone. Bound by reading the logits, which the product before has left
// in the second-level cache; with noise by Philox.
//
// Compiled without contraction of a*b+c (-fmad=false): the noise has the CPU's bits.
#include "base/philox.h"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/gumbel.h"

namespace unmask::cuda {
namespace {

constexpr int kIdsOfThread = 4;
constexpr int kThreads = kScanRange / kIdsOfThread;

// gumbel.h's operations on one number.
struct DeviceMath {
  using F = float;
  using U = uint32_t;
  __host__ __device__ static float Splat(float x) { return x; }
  __host__ __device__ static float Fma(float a, float b, float c) { return fmaf(a, b, c); }
  __host__ __device__ static float Mul(float a, float b) { return a * b; }
  __host__ __device__ static float Add(float a, float b) { return a + b; }
  __host__ __device__ static uint32_t Bits(float x) { return __builtin_bit_cast(uint32_t, x); }
  __host__ __device__ static float FromBits(uint32_t bits) { return __builtin_bit_cast(float, bits); }
  __host__ __device__ static float FromInt(uint32_t x) { return static_cast<float>(static_cast<int32_t>(x)); }
  __host__ __device__ static float FromUnsigned(uint32_t x) { return static_cast<float>(x); }
  __host__ __device__ static bool IsNegative(uint32_t x) { return x >> 31 != 0; }
  __host__ __device__ static bool Both(bool a, bool b) { return a && b; }
  __host__ __device__ static float Select(bool which, float a, float b) { return which ? a : b; }
  __host__ __device__ static uint32_t Choose(bool which, uint32_t a, uint32_t b) { return which ? a : b; }
};

struct DeviceExp {
  __host__ __device__ float operator()(float x) const { return expf(x); }
};

__device__ bool Contains(const int32_t* ids, int32_t count, int32_t id) {
  for (int32_t i = 0; i < count; ++i) {
    if (ids[i] == id) return true;
  }
  return false;
}

// The record of one id, given its logit after guidance and its noise.
__device__ CandidateRecord OfOne(const ScanSpec& spec, int32_t id, float logit, float noise) {
  CandidateRecord record = EmptyCandidate();
  record.not_finite = (__builtin_bit_cast(uint32_t, logit) & 0x7fffffffu) >= 0x7f800000u;
  const bool allowed = (spec.token_bound == 0 || id < spec.token_bound) && logit > -INFINITY &&
                       !Contains(spec.suppressed, spec.suppressed_count, id);
  if (!allowed) return record;
  record.score = spec.temperature > 0 ? logit / spec.temperature + noise : logit;
  record.token = id;
  if (Contains(spec.unconfident, spec.unconfident_count, id)) return record;
  record.logit = record.max = logit;
  record.sum = 1;
  if (id == spec.asked) record.asked = logit;
  return record;
}

__global__ void __launch_bounds__(kThreads) ScanKernel(const ScanArgs args) {
  __shared__ CandidateRecord records[kThreads];
  const ScanSpec spec = args.specs[blockIdx.x];
  const int32_t range = args.first_range + static_cast<int32_t>(blockIdx.y);
  // Of the rank's ids, where groups of four begin at multiples of four of all ids.
  const int64_t first_of_thread =
      int64_t{range} * kScanRange - args.first_token % kIdsOfThread + int64_t{threadIdx.x} * kIdsOfThread;
  const float* logits = args.logits + spec.row * args.stride;
  const float* unconditional =
      spec.unconditional_row < 0 ? nullptr : args.logits + spec.unconditional_row * args.stride;

  PhiloxWords words = {};
  const auto first_id = static_cast<uint32_t>(args.first_token + first_of_thread);
  if (spec.temperature > 0) {
    words = Noise(spec.seed, NoiseStream::kGumbel, spec.noise_step, spec.position, first_id / kIdsOfThread);
  }
  CandidateRecord record = EmptyCandidate();
  for (int i = 0; i < kIdsOfThread; ++i) {
    const int64_t column = first_of_thread + i - args.first;
    if (column < 0 || column >= args.count) continue;
    float logit = logits[column];
    if (unconditional != nullptr) {
      const float u = unconditional[column];
      logit = u + (spec.cfg_scale + 1.0f) * (logit - u);
    }
    const float noise = spec.temperature > 0 ? Gumbel<DeviceMath>(words[i]) : 0;
    record = MergeWith(DeviceExp(), record, OfOne(spec, static_cast<int32_t>(first_id) + i, logit, noise));
  }
  records[threadIdx.x] = record;
  for (int left = kThreads / 2; left > 0; left /= 2) {
    gpu::SyncBlock();
    const bool merges = static_cast<int>(threadIdx.x) < left;
    if (merges) record = MergeWith(DeviceExp(), records[2 * threadIdx.x], records[2 * threadIdx.x + 1]);
    gpu::SyncBlock();
    if (merges) records[threadIdx.x] = record;
  }
  if (threadIdx.x == 0) args.records[int64_t{blockIdx.x} * args.ranges + range] = record;
}

__global__ void MergeKernel(const MergeArgs args) {
  const int64_t spec = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (spec >= args.spec_count) return;
  CandidateRecord record = EmptyCandidate();
  for (int64_t range = 0; range < args.ranges; ++range) {
    record = MergeWith(DeviceExp(), record, args.records[spec * args.ranges + range]);
  }
  args.merged[spec] = record;
}

}  // namespace

cudaError_t LaunchScan(const ScanArgs& args, cudaStream_t stream) {
  const int64_t shift = args.first_token % kIdsOfThread;
  const int64_t end = (args.first + args.count + shift + kScanRange - 1) / kScanRange;
  const dim3 grid(static_cast<unsigned>(args.spec_count), static_cast<unsigned>(end - args.first_range));
  return gpu::Launch(ScanKernel, grid, kThreads, stream, args);
}

cudaError_t LaunchMerge(const MergeArgs& args, cudaStream_t stream) {
  constexpr int kSpecs = 32;  // Few, so that the specs spread over the processors.
  const dim3 grid(static_cast<unsigned>((args.spec_count + kSpecs - 1) / kSpecs));
  return gpu::Launch(MergeKernel, grid, kSpecs, stream, args);
}

}  // namespace unmask::cuda
