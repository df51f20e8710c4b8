// Gumbel(0, 1) noise of one random word, the same bits on every device and from every compiler.
//
// g = -ln(-ln u) with u = (word + 1/2) 2^-32, all 32 bits of it: in the upper half through w = 1 - u, because a float
// near 1 has no room for them. Never infinite, never NaN, grows with the word (all 2^32 were compared), absolute error
// below 1e-6.
//
// Each operation is one IEEE-754 rounding named by `Math` (Fma, Mul, Add and a few exact conversions), so that a
// compiler may neither fuse nor split any. Math's F is a float or a vector of floats, U the unsigned integers of its
// size. There is no branch: whatever is not wanted is computed and dropped. constexpr, as base/philox.h: nvcc compiles
// such functions for the device too (--expt-relaxed-constexpr).
#ifndef UNMASK_KERNELS_GUMBEL_H_
#define UNMASK_KERNELS_GUMBEL_H_

namespace unmask {

// t - t^2/2 + t^3 P(t) + e ln 2, for t in [sqrt(1/2) - 1, sqrt(2) - 1]: ln((1 + t) 2^e). P is Cephes' polynomial of
// logf.
template <typename Math, typename F = typename Math::F>
constexpr F LogOfReduced(F t, F e) {
  F p = Math::Splat(7.0376836292e-2f);
  p = Math::Fma(p, t, Math::Splat(-1.1514610310e-1f));
  p = Math::Fma(p, t, Math::Splat(1.1676998740e-1f));
  p = Math::Fma(p, t, Math::Splat(-1.2420140846e-1f));
  p = Math::Fma(p, t, Math::Splat(1.4249322787e-1f));
  p = Math::Fma(p, t, Math::Splat(-1.6668057665e-1f));
  p = Math::Fma(p, t, Math::Splat(2.0000714765e-1f));
  p = Math::Fma(p, t, Math::Splat(-2.4999993993e-1f));
  p = Math::Fma(p, t, Math::Splat(3.3333331174e-1f));
  const F t2 = Math::Mul(t, t);
  F y = Math::Mul(Math::Mul(p, t2), t);
  y = Math::Fma(e, Math::Splat(-2.12194440e-4f), y);  // ln 2 in two pieces.
  y = Math::Fma(Math::Splat(-0.5f), t2, y);
  return Math::Fma(e, Math::Splat(0.693359375f), Math::Add(t, y));
}

// x = (1 + t) 2^e with 1 + t in [sqrt(1/2), sqrt(2)); x is normal and positive.
template <typename Math, typename F = typename Math::F>
constexpr void Reduce(F x, F* t, F* e) {
  const auto bits = Math::Bits(x);
  const F mantissa = Math::FromBits((bits & 0x007fffffu) | 0x3f000000u);  // In [1/2, 1).
  const F exponent = Math::FromInt((bits >> 23) - 126u);
  const auto low = mantissa < Math::Splat(0.70710678f);
  *t = Math::Add(Math::Select(low, Math::Add(mantissa, mantissa), mantissa), Math::Splat(-1.0f));
  *e = Math::Select(low, Math::Add(exponent, Math::Splat(-1.0f)), exponent);
}

// Of the word 2^32 - 1.
constexpr float kMostGumbel = 0x1.6dfb52p+4f;

template <typename Math>
constexpr typename Math::F Gumbel(typename Math::U word) {
  using F = typename Math::F;
  constexpr float kUnit = 2.3283064365386963e-10f;  // 2^-32
  const auto upper = Math::IsNegative(word);        // u > 1/2
  const F small = Math::Mul(Math::Add(Math::FromUnsigned(Math::Choose(upper, ~word, word)), Math::Splat(0.5f)),
                            Math::Splat(kUnit));  // The smaller of u and 1 - u.
  F t{}, e{};
  Reduce<Math>(Math::Select(upper, Math::Add(Math::Splat(1.0f), -small), small), &t, &e);
  // Near u = 1, ln(1 - w) straight from w.
  const auto near_one = Math::Both(upper, small < Math::Splat(0.29289f));
  t = Math::Select(near_one, -small, t);
  e = Math::Select(near_one, Math::Splat(0.0f), e);
  const F exponential = -LogOfReduced<Math>(t, e);  // -ln u, of the exponential distribution.
  Reduce<Math>(exponential, &t, &e);
  return -LogOfReduced<Math>(t, e);
}

}  // namespace unmask

#endif  // UNMASK_KERNELS_GUMBEL_H_
