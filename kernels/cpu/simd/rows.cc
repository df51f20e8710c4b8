// Norm, rotary embedding, SwiGLU and sum of one row. All are bound by memory, or by SwiGLU's exponential: one vector a
// step.
#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/simd.h"

namespace unmask::UNMASK_ISA {
namespace {

// `v` as the type T holds it.
template <typename T>
UNMASK_INLINE F32 RoundedAs(F32 v) {
  if constexpr (sizeof(T) == 2) return reinterpret_cast<F32>(RoundToBf16(v) << 16);
  return v;
}

template <typename T>
void RmsNormAs(const float* in, const float* weight, float epsilon, int64_t n, T* out) {
  F32 squares{};
  ForVectors(
      n, [&](int64_t i) { squares = MulAdd(Load(in + i), Load(in + i), squares); },
      [&](int64_t i, int64_t count) {
        const F32 x = LoadPart(in + i, count);
        squares = MulAdd(x, x, squares);
      });
  const float mean = Sum(squares) / static_cast<float>(n);
  const float scale = 1.0f / __builtin_sqrtf(mean + epsilon);
  ForVectors(
      n, [&](int64_t i) { Store(RoundedAs<T>(Load(in + i) * scale) * Load(weight + i), out + i); },
      [&](int64_t i, int64_t count) {
        StorePart(RoundedAs<T>(LoadPart(in + i, count) * scale) * LoadPart(weight + i, count), out + i, count);
      });
}

template <typename T>
void RotateAs(const float* x, const float* cosines, const float* sines, int64_t half, T* out) {
  const auto rotate = [&](F32 low, F32 high, F32 cosine, F32 sine, F32* new_low, F32* new_high) {
    *new_low = low * cosine - high * sine;
    *new_high = high * cosine + low * sine;
  };
  F32 low, high;
  ForVectors(
      half,
      [&](int64_t i) {
        rotate(Load(x + i), Load(x + half + i), Load(cosines + i), Load(sines + i), &low, &high);
        Store(low, out + i);
        Store(high, out + half + i);
      },
      [&](int64_t i, int64_t count) {
        rotate(LoadPart(x + i, count), LoadPart(x + half + i, count), LoadPart(cosines + i, count),
               LoadPart(sines + i, count), &low, &high);
        StorePart(low, out + i, count);
        StorePart(high, out + half + i, count);
      });
}

// silu(g) u = g u / (1 + e^-g); e^-g overflows to infinity only where the quotient is 0 in fp32's terms.
UNMASK_INLINE F32 GatedProduct(F32 gate, F32 up) { return gate / (1.0f + Exp(-gate)) * up; }

template <typename T>
void SwiGluAs(const float* gate, const float* up, int64_t n, T* out) {
  ForVectors(
      n, [&](int64_t i) { Store(GatedProduct(Load(gate + i), Load(up + i)), out + i); },
      [&](int64_t i, int64_t count) {
        StorePart(GatedProduct(LoadPart(gate + i, count), LoadPart(up + i, count)), out + i, count);
      });
}

}  // namespace

void AddInto(const float* delta, int64_t n, float* sum) {
  ForVectors(
      n, [&](int64_t i) { Store(Load(sum + i) + Load(delta + i), sum + i); },
      [&](int64_t i, int64_t count) {
        StorePart(LoadPart(sum + i, count) + LoadPart(delta + i, count), sum + i, count);
      });
}

void RmsNorm(const float* in, const float* weight, float epsilon, int64_t n, DType to, void* out) {
  if (to == DType::kF32) return RmsNormAs(in, weight, epsilon, n, static_cast<float*>(out));
  RmsNormAs(in, weight, epsilon, n, static_cast<uint16_t*>(out));
}

void Rotate(const float* x, const float* cosines, const float* sines, int64_t half, DType to, void* out) {
  if (to == DType::kF32) return RotateAs(x, cosines, sines, half, static_cast<float*>(out));
  RotateAs(x, cosines, sines, half, static_cast<uint16_t*>(out));
}

void SwiGlu(const float* gate, const float* up, int64_t n, DType to, void* out) {
  if (to == DType::kF32) return SwiGluAs(gate, up, n, static_cast<float*>(out));
  SwiGluAs(gate, up, n, static_cast<uint16_t*>(out));
}

}  // namespace unmask::UNMASK_ISA
