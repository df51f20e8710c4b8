// Between float and the stored types. Memory-bound; fp16, which only checkpoints hold, goes element by element.
#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/simd.h"

namespace unmask::UNMASK_ISA {
namespace {

// IEEE binary16 to float, exact. The exponent is moved by a product, which also normalises subnormals.
UNMASK_INLINE float FromHalf(uint16_t half) {
  const uint32_t magnitude = uint32_t{half} & 0x7fff;
  const float moved = __builtin_bit_cast(float, magnitude << 13) * 5.192296858534828e33f;  // 2^112
  const uint32_t bits = __builtin_bit_cast(uint32_t, moved) | (magnitude >= 0x7c00 ? 0x7f800000u : 0u);
  return __builtin_bit_cast(float, bits | (uint32_t{half} & 0x8000) << 16);
}

// Rounded to nearest even; too large becomes infinite.
UNMASK_INLINE uint16_t ToHalf(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  const uint32_t sign = bits >> 16 & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x47800000) return static_cast<uint16_t>(sign | 0x7c00);  // 2^16 and more.
  if (magnitude < 0x38800000) {  // Subnormal: adding 1/2 leaves the rounded multiple of 2^-24 in the low bits.
    const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (__builtin_bit_cast(uint32_t, shifted) - 0x3f000000));
  }
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13));
}

}  // namespace

void Widen(DType from, const void* in, int64_t n, float* out) {
  if (from == DType::kF32) {
    __builtin_memmove(out, in, n * sizeof(float));
    return;
  }
  const uint16_t* words = static_cast<const uint16_t*>(in);
  if (from == DType::kF16) {
    for (int64_t i = 0; i < n; ++i) out[i] = FromHalf(words[i]);
    return;
  }
  ForVectors(
      n, [&](int64_t i) { Store(Load(words + i), out + i); },
      [&](int64_t i, int64_t count) { StorePart(LoadPart(words + i, count), out + i, count); });
}

void Narrow(const float* in, int64_t n, DType to, void* out) {
  if (to == DType::kF32) {
    __builtin_memmove(out, in, n * sizeof(float));
    return;
  }
  uint16_t* words = static_cast<uint16_t*>(out);
  if (to == DType::kF16) {
    for (int64_t i = 0; i < n; ++i) words[i] = ToHalf(in[i]);
    return;
  }
  ForVectors(
      n, [&](int64_t i) { Store(Load(in + i), words + i); },
      [&](int64_t i, int64_t count) { StorePart(LoadPart(in + i, count), words + i, count); });
}

}  // namespace unmask::UNMASK_ISA
