// The picture of a finished generation: each token on the colour of the step that revealed it.
#ifndef UNMASK_CLI_SVG_H_
#define UNMASK_CLI_SVG_H_

#include <string>

#include "cli/canvas_state.h"

namespace unmask {

// A self-contained SVG of a completed state: prompt, answer, block borders, legend, summary. It brings its own
// background and so reads on white and dark pages alike; monospace, wide characters take two columns whatever the font.
// The same state gives the same bytes.
std::string RenderSvg(const CanvasState& state, int columns = 84);

}  // namespace unmask

#endif  // UNMASK_CLI_SVG_H_
