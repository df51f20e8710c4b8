// The colours of steps: from the first (teal) over blue, violet and pink to the last (orange), of middle lightness so
// that they read on dark and on white.
#ifndef UNMASK_CLI_PALETTE_H_
#define UNMASK_CLI_PALETTE_H_

#include "cli/cell.h"

namespace unmask {

// t in [0, 1]; values outside are clamped.
Rgb Gradient(double t);

// The colour of step `step` (from 1) of `steps`.
Rgb StepColor(int step, int steps);

// (1 - share) * a + share * b.
Rgb Mix(Rgb a, Rgb b, double share);

}  // namespace unmask

#endif  // UNMASK_CLI_PALETTE_H_
