// The noise of one token id as its definition says, one scalar at a time: the oracle for the vectors.
#ifndef UNMASK_TESTS_KERNELS_SCALAR_GUMBEL_H_
#define UNMASK_TESTS_KERNELS_SCALAR_GUMBEL_H_

#include <bit>
#include <cmath>
#include <cstdint>

#include "base/philox.h"
#include "kernels/gumbel.h"

namespace unmask::testing {

struct ScalarMath {
  using F = float;
  using U = uint32_t;
  static float Splat(float x) { return x; }
  static float Fma(float a, float b, float c) { return std::fma(a, b, c); }
  static float Mul(float a, float b) { return a * b; }
  static float Add(float a, float b) { return a + b; }
  static uint32_t Bits(float x) { return std::bit_cast<uint32_t>(x); }
  static float FromBits(uint32_t bits) { return std::bit_cast<float>(bits); }
  static float FromInt(uint32_t x) { return static_cast<float>(static_cast<int32_t>(x)); }
  static float FromUnsigned(uint32_t x) { return static_cast<float>(x); }
  static bool IsNegative(uint32_t x) { return x >> 31 != 0; }
  static bool Both(bool a, bool b) { return a && b; }
  static float Select(bool which, float a, float b) { return which ? a : b; }
  static uint32_t Choose(bool which, uint32_t a, uint32_t b) { return which ? a : b; }
};

inline float ScalarGumbel(uint64_t seed, uint32_t step, uint32_t position, int32_t token) {
  const uint32_t id = static_cast<uint32_t>(token);
  return Gumbel<ScalarMath>(Noise(seed, NoiseStream::kGumbel, step, position, id / 4)[id % 4]);
}

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_KERNELS_SCALAR_GUMBEL_H_
