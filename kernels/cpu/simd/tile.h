// The one micro-kernel: a few rows times a few vectors of columns, kept in registers while the depth streams by.
#ifndef UNMASK_KERNELS_CPU_SIMD_TILE_H_
#define UNMASK_KERNELS_CPU_SIMD_TILE_H_

#include "kernels/cpu/simd/simd.h"

namespace unmask::UNMASK_ISA {
namespace {  // NOLINT: see simd.h.

// tile[r][v] += sum_i a[r][i] * b[i][v], i ascending, for every r alike: a row's bits depend on no other row.
template <int kRows, int kVectors, typename B>
UNMASK_INLINE void MultiplyTile(const float* a, int64_t a_stride, const B* b, int64_t b_stride, int64_t depth,
                                F32 (&tile)[kRows][kVectors]) {
  for (int64_t i = 0; i < depth; ++i) {
    F32 column[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) column[v] = Load(b + i * b_stride + v * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const F32 x = Splat(a[r * a_stride + i]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) tile[r][v] = MulAdd(x, column[v], tile[r][v]);
    }
  }
}

// Calls function.template operator()<rows>() for rows in [1, kTileRows].
template <typename Function>
UNMASK_INLINE void WithRows(int64_t rows, const Function& function) {
  switch (rows) {
    case 1:
      return function.template operator()<1>();
    case 2:
      return function.template operator()<2>();
    case 3:
      return function.template operator()<3>();
    case 4:
      return function.template operator()<4>();
    case 5:
      return function.template operator()<5>();
    default:
      return function.template operator()<kTileRows>();
  }
}

}  // namespace
}  // namespace unmask::UNMASK_ISA

#endif  // UNMASK_KERNELS_CPU_SIMD_TILE_H_
