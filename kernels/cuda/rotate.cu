// Rotary embedding of queries, in place, and of keys on their way to the K/V, with the values beside them:
// x[i], x[i + d/2] = x[i] cos a_i - x[i + d/2] sin a_i, x[i + d/2] cos a_i + x[i] sin a_i. A block a row; bound by
// memory.
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.h"

namespace unmask::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void __launch_bounds__(kThreads) RotateKernel(const RotateArgs args) {
  const int64_t row = blockIdx.x;
  const int32_t slot_number = args.layout.slot_of[row];
  if (slot_number < 0) return;
  const DeviceSlot slot = args.layout.slots[slot_number];
  const int64_t position = args.layout.positions[row];
  const int64_t stored = args.layer * slot.length + position;
  T* keys = static_cast<T*>(slot.keys) + stored * slot.key_stride;
  T* values = static_cast<T*>(slot.values) + stored * slot.value_stride;
  const int32_t half = args.head_dim / 2;
  const float* cosines = args.cosines + position * half;
  const float* sines = args.sines + position * half;
  float* in = args.qkv + row * args.stride;

  for (int32_t pair = threadIdx.x; pair < (args.heads + args.kv_heads) * half; pair += kThreads) {
    const int32_t head = pair / half, i = pair % half;
    float* x = in + int64_t{head} * args.head_dim + i;
    const float low = x[0], high = x[half], cosine = cosines[i], sine = sines[i];
    const float new_low = low * cosine - high * sine;
    const float new_high = high * cosine + low * sine;
    if (head < args.heads) {
      x[0] = new_low;
      x[half] = new_high;
    } else {
      T* key = keys + int64_t{head - args.heads} * args.head_dim + i;
      Assign(new_low, key);
      Assign(new_high, key + half);
    }
  }
  const float* value = in + int64_t{args.heads + args.kv_heads} * args.head_dim;
  for (int32_t c = threadIdx.x; c < args.kv_heads * args.head_dim; c += kThreads) Assign(value[c], values + c);
}

}  // namespace

cudaError_t LaunchRotate(const RotateArgs& args, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(args.rows));
  return args.dtype == DType::kF32 ? gpu::Launch(RotateKernel<float>, grid, kThreads, stream, args)
                                   : gpu::Launch(RotateKernel<Bf16>, grid, kThreads, stream, args);
}

}  // namespace unmask::cuda
