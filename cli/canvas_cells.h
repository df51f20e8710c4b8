// A canvas as cells that flow like text: while it is denoised, and the answer in the end.
#ifndef UNMASK_CLI_CANVAS_CELLS_H_
#define UNMASK_CLI_CANVAS_CELLS_H_

#include <vector>

#include "cli/canvas_state.h"
#include "cli/cell.h"

namespace unmask {

// Masks as placeholders of two columns (brighter in the active block), the latest step's tokens on their colour, its
// remasked predictions dimmed, borders between blocks. A cell's `token` is the index of its slot.
std::vector<Cell> LiveCells(const CanvasState& state);

// The completed text, each token in the colour of the step that revealed it; whole characters, and nothing of what
// stands behind the end of the text. Infill: the given text plain, what was filled in emphasised.
std::vector<Cell> AnswerCells(const CanvasState& state, bool block_borders);

}  // namespace unmask

#endif  // UNMASK_CLI_CANVAS_CELLS_H_
