// Elements of rows, a few at a time: reading and writing of every DType through fp32, and a block's sum.
#ifndef UNMASK_KERNELS_CUDA_ELEMENTS_CUH_
#define UNMASK_KERNELS_CUDA_ELEMENTS_CUH_

#include <gpu.cuh>

#include "kernels/tensor.h"

namespace unmask::cuda {

// The storage of a DType, as a type.
struct Bf16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

__device__ inline float ToFloat(float x) { return x; }
__device__ inline float ToFloat(Bf16 x) { return gpu::FromBf16(x.bits); }
__device__ inline float ToFloat(Half x) { return gpu::FromHalf(x.bits); }
__device__ inline void Assign(float x, float* to) { *to = x; }
__device__ inline void Assign(float x, Bf16* to) { to->bits = gpu::ToBf16(x); }
__device__ inline void Assign(float x, Half* to) { to->bits = gpu::ToHalf(x); }

// x as the type T holds it.
template <typename T>
__device__ inline float RoundedAs(float x) {
  T rounded;
  Assign(x, &rounded);
  return ToFloat(rounded);
}

// kWidth neighbours: one load or store where they are aligned.
template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T at[kWidth];
};
template <int kWidth, typename T>
__device__ inline void Load(const T* from, float (&x)[kWidth]) {
  const auto pack = *reinterpret_cast<const Pack<T, kWidth>*>(from);
  for (int i = 0; i < kWidth; ++i) x[i] = ToFloat(pack.at[i]);
}
template <int kWidth, typename T>
__device__ inline void Store(const float (&x)[kWidth], T* to) {
  Pack<T, kWidth> pack;
  for (int i = 0; i < kWidth; ++i) Assign(x[i], &pack.at[i]);
  *reinterpret_cast<Pack<T, kWidth>*>(to) = pack;
}

// Whether rows of these strides, in elements, and these beginnings may be taken four elements at a time.
template <typename... Pointers>
bool FoursFit(int64_t strides_or, Pointers... pointers) {
  return strides_or % 4 == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

// The sum over the block's kThreads threads, the same in each: lanes by halves, then the warps in order.
template <int kThreads>
__device__ inline float SumOfBlock(float x) {
  __shared__ float sums[kThreads / 32];
  for (int distance = 16; distance > 0; distance /= 2) x += gpu::ShuffleXor(x, distance);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = x;
  gpu::SyncBlock();
  float sum = 0;
  for (int warp = 0; warp < kThreads / 32; ++warp) sum += sums[warp];
  return sum;
}

// visit(T{}) with the storage type of a DType.
template <typename Visit>
auto WithType(DType dtype, const Visit& visit) {
  if (dtype == DType::kF32) return visit(float{});
  if (dtype == DType::kBf16) return visit(Bf16{});
  return visit(Half{});
}

}  // namespace unmask::cuda

#endif  // UNMASK_KERNELS_CUDA_ELEMENTS_CUH_
