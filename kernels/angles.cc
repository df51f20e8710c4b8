#include "kernels/angles.h"

#include <algorithm>
#include <cmath>

namespace unmask {

void AngleTable::Grow(float theta, int head_dim, int64_t positions) {
  const int64_t half = head_dim / 2;
  if (theta != theta_ || half != half_) {
    positions_ = 0;
    theta_ = theta;
    half_ = half;
  }
  if (positions <= positions_) return;
  const int64_t grown = std::max(positions, 2 * positions_);  // By doubling: a position is computed about once.
  cosines_.resize(grown * half);
  sines_.resize(grown * half);
  for (int64_t i = 0; i < half; ++i) {
    const float frequency = static_cast<float>(std::pow(double{theta}, -2.0 * static_cast<double>(i) / head_dim));
    for (int64_t position = positions_; position < grown; ++position) {
      const float angle = static_cast<float>(position) * frequency;
      cosines_[position * half + i] = static_cast<float>(std::cos(double{angle}));
      sines_[position * half + i] = static_cast<float>(std::sin(double{angle}));
    }
  }
  positions_ = grown;
}

}  // namespace unmask
