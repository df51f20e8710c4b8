// What the command draws, before anything decides how: styled cells in lines. Terminals (ansi.h) and pictures (svg.h)
// take it from here.
#ifndef UNMASK_CLI_CELL_H_
#define UNMASK_CLI_CELL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace unmask {

struct Rgb {
  uint8_t r = 0, g = 0, b = 0;
  bool operator==(const Rgb&) const = default;
};

struct Style {
  std::optional<Rgb> color = std::nullopt;
  std::optional<Rgb> background = std::nullopt;  // Without colours: reversed.
  bool bold = false;
  bool dim = false;
  bool italic = false;
  bool underline = false;
  bool operator==(const Style&) const = default;
};

// One character, or a piece of line drawing.
struct Cell {
  std::string text = "";
  int width = 1;  // Columns.
  Style style = {};
  int token = -1;            // Cells of one token share a number; -1: of none.
  bool break_after = false;  // A line may end here.
  bool newline = false;      // A line ends here.
  bool block_border = false;
};

using Line = std::vector<Cell>;

// The cells of a text that may hold anything (see SplitGlyphs). Spaces and wide characters allow a line to break.
std::vector<Cell> TextCells(absl::string_view text, const Style& style, int token = -1);

void Append(const std::vector<Cell>& cells, std::vector<Cell>* out);

int WidthOf(const Line& line);

// Breaks cells into lines of at most `width` columns (at least 2): at newlines, else after the last cell that allows
// it, else anywhere. Blanks at a broken line's end are dropped, the cell of a newline stays at its line's end.
std::vector<Line> WrapCells(const std::vector<Cell>& cells, int width);

// The start of a line that fits in `width` columns.
Line CutLine(const Line& line, int width);

// The bare text, for logs and tests.
std::string PlainText(const Line& line);

}  // namespace unmask

#endif  // UNMASK_CLI_CELL_H_
