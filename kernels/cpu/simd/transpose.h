// A square of floats, or of any four bytes each, transposed in registers.
#ifndef UNMASK_KERNELS_CPU_SIMD_TRANSPOSE_H_
#define UNMASK_KERNELS_CPU_SIMD_TRANSPOSE_H_

#include "kernels/cpu/simd/simd.h"

namespace unmask::UNMASK_ISA {
namespace {  // NOLINT: see simd.h.

// kLanes rows of kLanes floats, transposed in registers: log2(kLanes) rounds of exchanging halves.
template <int kDistance, int... kLane>
UNMASK_INLINE void Exchange(F32* rows, std::integer_sequence<int, kLane...>) {
  for (int i = 0; i < kLanes; ++i) {
    if (i & kDistance) continue;
    const F32 a = rows[i], b = rows[i + kDistance];
    rows[i] = __builtin_shufflevector(a, b, (kLane & kDistance ? kLane - kDistance + kLanes : kLane)...);
    rows[i + kDistance] = __builtin_shufflevector(a, b, (kLane & kDistance ? kLane + kLanes : kLane + kDistance)...);
  }
}
UNMASK_INLINE void Transpose(F32* rows) {
  constexpr auto kAll = std::make_integer_sequence<int, kLanes>();
  Exchange<1>(rows, kAll);
  Exchange<2>(rows, kAll);
  if constexpr (kLanes >= 8) Exchange<4>(rows, kAll);
  if constexpr (kLanes >= 16) Exchange<8>(rows, kAll);
}

// The same, to kLanes rows without gaps from `to` on. `rows` is overwritten.
UNMASK_INLINE void StoreTransposed(F32* rows, void* to) {
  Transpose(rows);
  __builtin_memcpy(to, rows, kLanes * sizeof(F32));
}

}  // namespace
}  // namespace unmask::UNMASK_ISA

#endif  // UNMASK_KERNELS_CPU_SIMD_TRANSPOSE_H_
