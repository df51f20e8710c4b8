// Rows in int8 and exact products of them. Integer sums have no order: whatever computes them gets the same bits.
#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/simd.h"

namespace unmask::UNMASK_ISA {
namespace {

typedef int8_t I8 __attribute__((vector_size(UNMASK_LANES)));

UNMASK_INLINE I8 Rounded(F32 v) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits.
  return __builtin_convertvector(reinterpret_cast<I32>(v + kMagic) - reinterpret_cast<I32>(Splat(kMagic)), I8);
}

// q = round(x * 127 / max|x|), to nearest even. The scale is max|x| / 127; NaN where an x is not finite, so that the
// products of the row are.
template <typename T>
float QuantizeAs(const T* in, int64_t n, int8_t* out) {
  F32 largest{}, poison{};
  const auto see = [&](F32 x) {
    largest = Max(largest, Max(x, -x));
    poison += x * 0.0f;
  };
  ForVectors(
      n, [&](int64_t i) { see(Load(in + i)); }, [&](int64_t i, int64_t count) { see(LoadPart(in + i, count)); });
  const float max = Largest(largest);
  const float inverse = max > 0 ? 127.0f / max : 0.0f;
  if (!(inverse <= 3.4e38f) || !(max <= 3.4e38f)) {  // Too small to divide by, or no number at all.
    __builtin_memset(out, 0, n);
    return max <= 3.4e38f ? Sum(poison) : __builtin_nanf("");
  }
  ForVectors(
      n,
      [&](int64_t i) {
        const I8 q = Rounded(Load(in + i) * inverse);
        __builtin_memcpy(out + i, &q, sizeof(q));
      },
      [&](int64_t i, int64_t count) {
        const I8 q = Rounded(LoadPart(in + i, count) * inverse);
        for (int64_t j = 0; j < count; ++j) out[i + j] = q[j];
      });
  return max / 127.0f + Sum(poison);
}

}  // namespace

float Quantize(DType from, const void* in, int64_t n, int8_t* out) {
  if (from == DType::kF32) return QuantizeAs(static_cast<const float*>(in), n, out);
  return QuantizeAs(static_cast<const uint16_t*>(in), n, out);
}

void Dequantize(const int32_t* sums, const float* column_scales, float row_scale, int64_t n, float* out) {
  ForVectors(
      n,
      [&](int64_t i) {
        const F32 sum = __builtin_convertvector(LoadAs<I32>(sums + i), F32);
        Store(sum * Load(column_scales + i) * row_scale, out + i);
      },
      [&](int64_t i, int64_t count) {
        for (int64_t j = i; j < i + count; ++j) out[j] = static_cast<float>(sums[j]) * column_scales[j] * row_scale;
      });
}

// For machines without VNNI: the compiler's vectors, a dot product at a time.
void MultiplyInt8(const int8_t* in, int64_t rows, int64_t depth, const int8_t* weights, int64_t outputs, int32_t* out) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < outputs; ++o) {
      int32_t sum = 0;
      for (int64_t i = 0; i < depth; ++i) sum += int32_t{in[r * depth + i]} * weights[o * depth + i];
      out[r * outputs + o] = sum;
    }
  }
}

}  // namespace unmask::UNMASK_ISA
