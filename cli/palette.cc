#include "cli/palette.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace unmask {

Rgb Mix(Rgb a, Rgb b, double share) {
  const auto mix = [share](uint8_t x, uint8_t y) { return static_cast<uint8_t>(std::lround(x + (y - x) * share)); };
  return {mix(a.r, b.r), mix(a.g, b.g), mix(a.b, b.b)};
}

Rgb Gradient(double t) {
  static constexpr Rgb kStops[] = {{38, 188, 184}, {64, 148, 240}, {146, 112, 236}, {226, 92, 168}, {246, 140, 66}};
  constexpr int kLast = std::size(kStops) - 1;
  const double x = std::clamp(t, 0.0, 1.0) * kLast;
  const int i = std::min(static_cast<int>(x), kLast - 1);
  return Mix(kStops[i], kStops[i + 1], x - i);
}

Rgb StepColor(int step, int steps) { return steps <= 1 ? Gradient(0) : Gradient((step - 1.0) / (steps - 1.0)); }

}  // namespace unmask
