// Vectors of floats as wide as the instruction set this file is compiled for, by the vector extension that GCC and
// clang share. Each source of this folder is compiled once an instruction set, inside namespace UNMASK_ISA, with
// UNMASK_LANES floats a vector and UNMASK_FMA 1 where a fused multiply-add is an instruction (CMakeLists.txt).
//
// The sources of this folder include no header whose inline functions might be emitted: the linker keeps one copy of
// such a function, and it might keep the one that the oldest machine cannot run. What stands here is internal to each
// source.
#ifndef UNMASK_KERNELS_CPU_SIMD_SIMD_H_
#define UNMASK_KERNELS_CPU_SIMD_SIMD_H_

#include <cstdint>
#include <utility>  // std::integer_sequence alone: a type, no code

#define UNMASK_INLINE inline __attribute__((always_inline))

namespace unmask::UNMASK_ISA {
namespace {  // NOLINT: internal on purpose, see above.

constexpr int kLanes = UNMASK_LANES;
// Vectors of output that a micro-kernel keeps beside kTileRows rows: 6 x 4 of 32 registers, or 6 x 2 of 16.
constexpr int kTileVectors = kLanes == 16 ? 4 : 2;
constexpr int kTileRows = 6;
constexpr float kInfinity = __builtin_inff();

typedef float F32 __attribute__((vector_size(4 * UNMASK_LANES)));
typedef int32_t I32 __attribute__((vector_size(4 * UNMASK_LANES)));
typedef uint32_t U32 __attribute__((vector_size(4 * UNMASK_LANES)));
typedef uint16_t U16 __attribute__((vector_size(2 * UNMASK_LANES)));

template <typename V, typename T>
UNMASK_INLINE V LoadAs(const T* from) {
  V v;
  __builtin_memcpy(&v, from, sizeof(V));
  return v;
}

UNMASK_INLINE F32 Splat(float x) { return x - F32{}; }  // x - 0 is x, -0 included.
UNMASK_INLINE I32 SplatInt(int32_t x) { return x + I32{}; }
UNMASK_INLINE I32 LaneNumbers() {
  I32 v{};
  for (int i = 0; i < kLanes; ++i) v[i] = i;
  return v;
}

// Where `mask` (lanes of 0 or -1) is set, a; else b.
UNMASK_INLINE F32 Select(I32 mask, F32 a, F32 b) { return mask ? a : b; }
UNMASK_INLINE I32 Select(I32 mask, I32 a, I32 b) { return mask ? a : b; }
UNMASK_INLINE bool Any(I32 mask) {
  int32_t any = 0;
  for (int i = 0; i < kLanes; ++i) any |= mask[i];
  return any != 0;
}
UNMASK_INLINE F32 Max(F32 a, F32 b) { return a > b ? a : b; }
UNMASK_INLINE F32 Min(F32 a, F32 b) { return a < b ? a : b; }

// One rounding, whatever the instruction set: for what must be the same bits everywhere.
UNMASK_INLINE F32 FusedMulAdd(F32 a, F32 b, F32 c) {
  F32 r;
  for (int i = 0; i < kLanes; ++i) r[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return r;
}
// a * b + c as fast as the machine can: one rounding with UNMASK_FMA, else two.
UNMASK_INLINE F32 MulAdd(F32 a, F32 b, F32 c) {
  if constexpr (UNMASK_FMA) return FusedMulAdd(a, b, c);
  return a * b + c;
}

UNMASK_INLINE F32 Load(const float* from) { return LoadAs<F32>(from); }
UNMASK_INLINE void Store(F32 v, float* to) { __builtin_memcpy(to, &v, sizeof(v)); }

// bf16 is the upper half of a float.
UNMASK_INLINE F32 Load(const uint16_t* bf16) {
  return reinterpret_cast<F32>(__builtin_convertvector(LoadAs<U16>(bf16), U32) << 16);
}
// Round to nearest even; a NaN stays one.
UNMASK_INLINE U32 RoundToBf16(F32 v) {
  const U32 bits = reinterpret_cast<U32>(v);
  const U32 rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return v == v ? rounded : (bits >> 16) | 0x40;
}
UNMASK_INLINE void Store(F32 v, uint16_t* bf16) {
  const U16 narrow = __builtin_convertvector(RoundToBf16(v), U16);
  __builtin_memcpy(bf16, &narrow, sizeof(narrow));
}

// The same for the first `count` < kLanes elements of a row's end; lanes beyond hold `fill`.
template <typename T>
UNMASK_INLINE F32 LoadPart(const T* from, int64_t count, float fill = 0) {
  F32 v = Splat(fill);
  for (int64_t i = 0; i < count; ++i) {
    if constexpr (sizeof(T) == 4) {
      v[i] = from[i];
    } else {
      v[i] = __builtin_bit_cast(float, uint32_t{from[i]} << 16);
    }
  }
  return v;
}
template <typename T>
UNMASK_INLINE void StorePart(F32 v, T* to, int64_t count) {
  T whole[kLanes];
  Store(v, whole);
  for (int64_t i = 0; i < count; ++i) to[i] = whole[i];
}

// Lane i of the result is lane i ^ kDistance of v.
template <int kDistance, int... kLane>
UNMASK_INLINE F32 SwapLanes(F32 v, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(v, v, (kLane ^ kDistance)...);
}

// Folds the lanes by halves, always in the same order: combine(v, lanes swapped) with ever smaller distances.
template <typename Combine>
UNMASK_INLINE float FoldLanes(F32 v, const Combine& combine) {
  constexpr auto kAll = std::make_integer_sequence<int, kLanes>();
  if constexpr (kLanes >= 16) v = combine(v, SwapLanes<8>(v, kAll));
  if constexpr (kLanes >= 8) v = combine(v, SwapLanes<4>(v, kAll));
  v = combine(v, SwapLanes<2>(v, kAll));
  v = combine(v, SwapLanes<1>(v, kAll));
  return v[0];
}
UNMASK_INLINE float Sum(F32 v) {
  return FoldLanes(v, [](F32 a, F32 b) { return a + b; });
}
UNMASK_INLINE float Largest(F32 v) {
  return FoldLanes(v, [](F32 a, F32 b) { return Max(a, b); });
}

// e^x within 2 units in the last place for x <= 88; exactly 0 below -87.3 (-inf included), NaN for NaN.
// e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln(2) / 2 in two pieces (Cody and Waite), e^r by its Taylor series to
// r^7, whose remainder is below 2^-27.
UNMASK_INLINE F32 Exp(F32 x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits.
  const I32 underflow = x < -87.3f;
  const F32 clamped = Min(Select(underflow, Splat(-87.3f), x), Splat(88.7f));
  const F32 shifted = MulAdd(clamped, Splat(1.44269504f), Splat(kMagic));
  const F32 n = shifted - kMagic;
  F32 r = MulAdd(n, Splat(-0.693359375f), clamped);
  r = MulAdd(n, Splat(2.12194440e-4f), r);
  F32 p = Splat(1.0f / 5040);
  p = MulAdd(p, r, Splat(1.0f / 720));
  p = MulAdd(p, r, Splat(1.0f / 120));
  p = MulAdd(p, r, Splat(1.0f / 24));
  p = MulAdd(p, r, Splat(1.0f / 6));
  p = MulAdd(p, r, Splat(0.5f));
  p = MulAdd(p, r, Splat(1.0f));
  p = MulAdd(p, r, Splat(1.0f));
  const I32 scaled = reinterpret_cast<I32>(p) + (reinterpret_cast<I32>(shifted) << 23);
  const F32 result = Select(underflow, F32{}, reinterpret_cast<F32>(scaled));
  return x == x ? result : x;
}

// Calls body(offset) for whole vectors and tail(offset, count) for what is left of n elements.
template <typename Body, typename Tail>
UNMASK_INLINE void ForVectors(int64_t n, const Body& body, const Tail& tail) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i);
  if (i < n) tail(i, n - i);
}

}  // namespace
}  // namespace unmask::UNMASK_ISA

#endif  // UNMASK_KERNELS_CPU_SIMD_SIMD_H_
