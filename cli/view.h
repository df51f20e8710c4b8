// The frames of the live view: a pure function of the state. Every line fits the width, a live frame fits the height.
#ifndef UNMASK_CLI_VIEW_H_
#define UNMASK_CLI_VIEW_H_

#include <vector>

#include "absl/time/time.h"
#include "cli/canvas_state.h"
#include "cli/cell.h"

namespace unmask {

struct ViewOptions {
  int width = 80;  // Columns.
  int height = 24;
  absl::Duration elapsed = absl::ZeroDuration();
};

// The prompt, the window of the canvas around the active block, and the status: block, step bar, tokens per step,
// forward passes, elapsed time. At most height - 1 lines.
std::vector<Line> RenderLive(const CanvasState& state, const ViewOptions& options);

// The prompt, the whole answer tinted by step, the legend and the summary. As many lines as it takes.
std::vector<Line> RenderFinal(const CanvasState& state, const ViewOptions& options);

// "67 tokens · 41 steps · 1.6 tokens/step · 41 passes · 2.3 s · exact · seed 42".
std::string Summary(const CanvasState& state);

}  // namespace unmask

#endif  // UNMASK_CLI_VIEW_H_
