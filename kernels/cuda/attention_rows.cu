// softmax(q K^T scale) V of one row and head by a warp, in fp32: for fp32 K/V, and for shapes that the tensor cores do
// not take. Keys in blocks of 32, a key a lane, by online softmax; then columns of the values, a column a lane.
// What lies beyond a row's horizon is never read.
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.h"

namespace unmask::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kBlockKeys = 32;
constexpr int kColumnsOfLane = kMaxHeadDim / 32;

template <typename T>
__global__ void __launch_bounds__(32 * kWarps) AttendRowsKernel(const AttendArgs args) {
  __shared__ float queries[kWarps][kMaxHeadDim];
  __shared__ float weights[kWarps][kBlockKeys];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t unit = int64_t{blockIdx.x} * kWarps + warp;
  if (unit >= args.rows * args.heads) return;
  const int64_t row = unit / args.heads;
  const int32_t head = static_cast<int32_t>(unit % args.heads);
  const int32_t slot_number = args.layout.slot_of[row];
  if (slot_number < 0) return;
  const DeviceSlot slot = args.layout.slots[slot_number];
  const int32_t horizon = args.layout.horizons[row];
  const int64_t first = args.layer * slot.length;
  const int64_t column = int64_t{args.kv_head_of[head]} * args.head_dim;
  const T* keys = static_cast<const T*>(slot.keys) + first * slot.key_stride + column;
  const T* values = static_cast<const T*>(slot.values) + first * slot.value_stride + column;

  const float scale = 1.0f / sqrtf(static_cast<float>(args.head_dim));
  float* query = queries[warp];
  for (int c = lane; c < args.head_dim; c += 32) {
    query[c] = args.q[row * args.q_stride + int64_t{head} * args.head_dim + c];
  }
  gpu::SyncWarp();

  float maximum = -INFINITY, total = 0;
  float sums[kColumnsOfLane] = {};  // Unnormalised, of columns lane, lane + 32, …
  for (int32_t begin = 0; begin < horizon; begin += kBlockKeys) {
    const int32_t count = horizon - begin < kBlockKeys ? horizon - begin : kBlockKeys;
    float score = -INFINITY;
    if (lane < count) {
      const T* key = keys + (begin + lane) * slot.key_stride;
      score = 0;
      for (int c = 0; c < args.head_dim; ++c) score = fmaf(query[c], ToFloat(key[c]), score);
      score *= scale;
    }
    float largest = score;
    for (int distance = 16; distance > 0; distance /= 2) {
      largest = fmaxf(largest, gpu::ShuffleXor(largest, distance));
    }
    largest = fmaxf(largest, maximum);
    const float weight = lane < count ? gpu::Exp(score - largest) : 0;
    float sum = weight;
    for (int distance = 16; distance > 0; distance /= 2) sum += gpu::ShuffleXor(sum, distance);
    const float rescale = gpu::Exp(maximum - largest);  // 0 for the first block.
    maximum = largest;
    total = total * rescale + sum;
    weights[warp][lane] = weight;
    gpu::SyncWarp();
    for (int i = 0; i < kColumnsOfLane && lane + 32 * i < args.head_dim; ++i) {
      float column_sum = sums[i] * rescale;
      const T* value = values + begin * slot.value_stride + lane + 32 * i;
      for (int32_t k = 0; k < count; ++k) {
        column_sum = fmaf(weights[warp][k], ToFloat(value[k * slot.value_stride]), column_sum);
      }
      sums[i] = column_sum;
    }
    gpu::SyncWarp();
  }

  const float inverse = total == 0 ? 0 : 1.0f / total;  // A horizon of 0 attends to nothing and yields 0.
  T* out = static_cast<T*>(args.out) + row * args.out_stride + int64_t{head} * args.head_dim;
  for (int i = 0; i < kColumnsOfLane && lane + 32 * i < args.head_dim; ++i)
    Assign(sums[i] * inverse, out + lane + 32 * i);
}

}  // namespace

cudaError_t LaunchAttendRows(const AttendArgs& args, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((args.rows * args.heads + kWarps - 1) / kWarps));
  return args.dtype == DType::kF32 ? gpu::Launch(AttendRowsKernel<float>, grid, 32 * kWarps, stream, args)
                                   : gpu::Launch(AttendRowsKernel<Bf16>, grid, 32 * kWarps, stream, args);
}

}  // namespace unmask::cuda
