// kernels/cuda/gpu/gpu.cuh on a CPU: the same operations by their definitions, between fibers.
#ifndef UNMASK_TESTS_KERNELS_EMULATED_GPU_CUH_
#define UNMASK_TESTS_KERNELS_EMULATED_GPU_CUH_

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/cpu/kernel_table.h"
#include "tests/kernels/emulated/fibers.h"

#define threadIdx (::unmask::emulated::thread_index)
#define blockIdx (::unmask::emulated::block_index)
#define blockDim (::unmask::emulated::block_size)

namespace unmask::gpu {

inline void SyncBlock() { emulated::SyncBlock(); }
inline void SyncWarp() { emulated::SyncWarp(); }
inline float ShuffleXor(float value, int mask) {
  const auto* slots = emulated::Exchange(&value, sizeof value);
  std::memcpy(&value, slots[threadIdx.x % 32 ^ static_cast<unsigned>(mask)], sizeof value);
  return value;
}

inline float Exp(float x) { return expf(x); }
inline float Exp2(float x) { return exp2f(x); }

inline float FromBf16(uint16_t x) { return __builtin_bit_cast(float, uint32_t{x} << 16); }
inline uint16_t Narrowed(float x, DType to) {
  uint16_t y;
  BestKernels().narrow(&x, 1, to, &y);
  return y;
}
inline uint16_t ToBf16(float x) { return Narrowed(x, DType::kBf16); }
inline uint32_t ToBf16Pair(float low, float high) { return ToBf16(low) | uint32_t{ToBf16(high)} << 16; }
inline float FromHalf(uint16_t x) {
  float y;
  BestKernels().widen(DType::kF16, &x, 1, &y);
  return y;
}
inline uint16_t ToHalf(float x) { return Narrowed(x, DType::kF16); }

// Element `which` (0 or 1) of a pair.
inline float Half(uint32_t pair, int which) { return FromBf16(static_cast<uint16_t>(pair >> 16 * which)); }

inline void MultiplyTile(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  struct {
    uint32_t a[4], b[2];
  } own = {{a[0], a[1], a[2], a[3]}, {b0, b1}}, other;
  const auto* slots = emulated::Exchange(&own, sizeof own);
  const auto of_lane = [&](int lane) {
    std::memcpy(&other, slots[lane], sizeof other);
    return other;
  };
  const int row = static_cast<int>(threadIdx.x % 32 / 4), column = static_cast<int>(threadIdx.x % 4 * 2);
  for (int i = 0; i < 4; ++i) {
    const int r = row + i / 2 * 8, c = column + i % 2;
    for (int k = 0; k < 16; ++k) {
      // Who holds a(r, k), and who b(k, c).
      const uint32_t left = of_lane(r % 8 * 4 + k % 8 / 2).a[r / 8 + k / 8 * 2];
      const uint32_t right = of_lane(c * 4 + k % 8 / 2).b[k / 8];
      d[i] += Half(left, k % 2) * Half(right, k % 2);
    }
  }
}

inline void LoadMatrices(uint32_t (&tile)[4], const uint16_t* row) {
  const auto* slots = emulated::Exchange(&row, sizeof row);
  for (int i = 0; i < 4; ++i) {
    const uint16_t* from;
    std::memcpy(&from, slots[8 * i + threadIdx.x % 32 / 4], sizeof from);
    std::memcpy(&tile[i], from + threadIdx.x % 4 * 2, sizeof tile[i]);
  }
}
inline void LoadMatricesTransposed(uint32_t (&tile)[4], const uint16_t* row) {
  const auto* slots = emulated::Exchange(&row, sizeof row);
  for (int i = 0; i < 4; ++i) {
    const uint16_t *upper, *lower;
    std::memcpy(&upper, slots[8 * i + threadIdx.x % 4 * 2], sizeof upper);
    std::memcpy(&lower, slots[8 * i + threadIdx.x % 4 * 2 + 1], sizeof lower);
    tile[i] = upper[threadIdx.x % 32 / 4] | uint32_t{lower[threadIdx.x % 32 / 4]} << 16;
  }
}

// As late as is allowed, when they are awaited: a kernel that reads too early finds what was there before.
inline void CopyAsync16(void* shared, const void* global, bool valid) {
  emulated::CopyLater(shared, valid ? global : nullptr, 16);
}
inline void CommitCopies() { emulated::EndGroupOfCopies(); }
template <int kGroups>
inline void AwaitCopies() {
  emulated::AwaitCopies(kGroups);
}

template <typename... Parameters>
cudaError_t Launch(void (*kernel)(Parameters...), dim3 grid, int threads, cudaStream_t stream,
                   std::type_identity_t<Parameters>... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return cudaSuccess;
  return emulated::Issue(stream,
                         [=] { emulated::RunGrid(grid.x, grid.y, grid.z, threads, [&] { kernel(arguments...); }); });
}

}  // namespace unmask::gpu

#endif  // UNMASK_TESTS_KERNELS_EMULATED_GPU_CUH_
