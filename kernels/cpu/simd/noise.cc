// Gumbel noise of consecutive token ids: Philox (base/philox.h, whose words these are) and gumbel.h over vectors of
// counters. 10 rounds a vector of 4 * kLanes ids; bound by integer and fused multiplications.
#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/simd.h"
#include "kernels/gumbel.h"

namespace unmask::UNMASK_ISA {
namespace {

// gumbel.h's operations on vectors; FusedMulAdd rounds once on every instruction set.
struct VectorMath {
  using F = F32;
  using U = U32;
  static UNMASK_INLINE F32 Splat(float x) { return UNMASK_ISA::Splat(x); }
  static UNMASK_INLINE F32 Fma(F32 a, F32 b, F32 c) { return FusedMulAdd(a, b, c); }
  static UNMASK_INLINE F32 Mul(F32 a, F32 b) { return a * b; }
  static UNMASK_INLINE F32 Add(F32 a, F32 b) { return a + b; }
  static UNMASK_INLINE U32 Bits(F32 x) { return reinterpret_cast<U32>(x); }
  static UNMASK_INLINE F32 FromBits(U32 bits) { return reinterpret_cast<F32>(bits); }
  static UNMASK_INLINE F32 FromInt(U32 x) { return __builtin_convertvector(reinterpret_cast<I32>(x), F32); }
  // Only words below 2^31 come here.
  static UNMASK_INLINE F32 FromUnsigned(U32 x) { return __builtin_convertvector(reinterpret_cast<I32>(x), F32); }
  static UNMASK_INLINE I32 IsNegative(U32 x) { return reinterpret_cast<I32>(x) < 0; }
  static UNMASK_INLINE I32 Both(I32 a, I32 b) { return a & b; }
  static UNMASK_INLINE F32 Select(I32 mask, F32 a, F32 b) { return UNMASK_ISA::Select(mask, a, b); }
  static UNMASK_INLINE U32 Choose(I32 mask, U32 a, U32 b) { return mask ? a : b; }
};

// The two halves of a * b, lane by lane.
UNMASK_INLINE void WideProduct(uint32_t a, U32 b, U32* high, U32* low) {
  typedef uint64_t U64 __attribute__((vector_size(4 * UNMASK_LANES)));
  const U64 pairs = reinterpret_cast<U64>(b);
  const U64 even = (pairs & 0xffffffffu) * a;
  const U64 odd = (pairs >> 32) * a;
  *high = reinterpret_cast<U32>((even >> 32) | (odd & 0xffffffff00000000u));
  *low = reinterpret_cast<U32>((even & 0xffffffffu) | (odd << 32));
}

// low, high: a0 b0 a1 b1 ...
template <int... kLane>
UNMASK_INLINE void Interleave(F32 a, F32 b, F32* low, F32* high, std::integer_sequence<int, kLane...>) {
  *low = __builtin_shufflevector(a, b, (kLane / 2 + kLane % 2 * kLanes)...);
  *high = __builtin_shufflevector(a, b, (kLane / 2 + kLane % 2 * kLanes + kLanes / 2)...);
}

// Word w of counter i to out[4 i + w].
UNMASK_INLINE void StoreInOrderOfIds(const F32 (&words)[4], float* out) {
  constexpr auto kAll = std::make_integer_sequence<int, kLanes>();
  F32 even[2], odd[2], ordered[4];
  Interleave(words[0], words[2], &even[0], &even[1], kAll);
  Interleave(words[1], words[3], &odd[0], &odd[1], kAll);
  Interleave(even[0], odd[0], &ordered[0], &ordered[1], kAll);
  Interleave(even[1], odd[1], &ordered[2], &ordered[3], kAll);
  for (int v = 0; v < 4; ++v) Store(ordered[v], out + v * kLanes);
}

template <int kFrom, int... kLane>
UNMASK_INLINE F32 EverySecond(F32 a, F32 b, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(a, b, (2 * kLane + kFrom)...);
}

// Lane i: the largest of values[4 i] to values[4 i + 3].
UNMASK_INLINE F32 LargestOfFours(const float* values) {
  constexpr auto kAll = std::make_integer_sequence<int, kLanes>();
  const auto of_twos = [&](F32 a, F32 b) { return Max(EverySecond<0>(a, b, kAll), EverySecond<1>(a, b, kAll)); };
  const F32 low = of_twos(Load(values), Load(values + kLanes));
  const F32 high = of_twos(Load(values + 2 * kLanes), Load(values + 3 * kLanes));
  return of_twos(low, high);
}

// Philox's words of counters group, group + 1 ...: lane i of words[w] is of token id 4 (group + i) + w.
UNMASK_INLINE void Words(uint64_t seed, uint32_t step, uint32_t position, uint32_t group, U32 (&words)[4]) {
  words[0] = reinterpret_cast<U32>(LaneNumbers()) + group;
  words[1] = U32{} + position;
  words[2] = U32{} + step;
  words[3] = U32{};
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    U32 high0, low0, high1, low1;
    WideProduct(0xD2511F53u, words[0], &high0, &low0);
    WideProduct(0xCD9E8D57u, words[2], &high1, &low1);
    words[0] = high1 ^ words[1] ^ key0;
    words[1] = low1;
    words[2] = high0 ^ words[3] ^ key1;
    words[3] = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

UNMASK_INLINE U32 Larger(U32 a, U32 b) { return a > b ? a : b; }

}  // namespace

void GumbelNoise(uint64_t seed, uint32_t step, uint32_t position, int32_t first_id, int64_t count, float* out) {
  const uint32_t first = static_cast<uint32_t>(first_id);
  const uint32_t end = first + static_cast<uint32_t>(count);
  for (uint32_t id = first / 4 * 4; id < end; id += 4 * kLanes) {
    U32 words[4];
    Words(seed, step, position, id / 4, words);
    F32 noise[4];
    for (int w = 0; w < 4; ++w) noise[w] = Gumbel<VectorMath>(words[w]);
    if (id >= first && end - id >= 4 * kLanes) {
      StoreInOrderOfIds(noise, out + (id - first));
      continue;
    }
    // Ids before the first (up to 3) and after the last are not asked for.
    float group[4 * kLanes];
    StoreInOrderOfIds(noise, group);
    for (uint32_t i = id < first ? first - id : 0; i < 4 * kLanes && id + i < end; ++i) out[id + i - first] = group[i];
  }
}

bool ScoreReaches(uint64_t seed, uint32_t step, uint32_t position, int32_t first_id, const float* logits,
                  float temperature, float least) {
  if (first_id % 4 != 0) return true;
  U32 words[4];
  Words(seed, step, position, static_cast<uint32_t>(first_id) / 4, words);
  const U32 word = Larger(Larger(words[0], words[1]), Larger(words[2], words[3]));
  return Any(LargestOfFours(logits) / temperature + Gumbel<VectorMath>(word) >= least);
}

}  // namespace unmask::UNMASK_ISA
