#include "cli/cell.h"

#include <algorithm>
#include <utility>

#include "cli/glyphs.h"

namespace unmask {
namespace {

bool IsBlank(const Cell& cell) { return cell.text == " " && !cell.style.background; }

}  // namespace

std::vector<Cell> TextCells(absl::string_view text, const Style& style, int token) {
  std::vector<Cell> cells;
  for (Glyph& glyph : SplitGlyphs(text)) {
    cells.push_back({.text = std::move(glyph.text),
                     .width = glyph.width,
                     .style = style,
                     .token = token,
                     .break_after = glyph.space || glyph.width == 2,
                     .newline = glyph.newline});
  }
  return cells;
}

void Append(const std::vector<Cell>& cells, std::vector<Cell>* out) {
  out->insert(out->end(), cells.begin(), cells.end());
}

int WidthOf(const Line& line) {
  int width = 0;
  for (const Cell& cell : line) width += cell.width;
  return width;
}

std::vector<Line> WrapCells(const std::vector<Cell>& cells, int width) {
  width = std::max(width, 2);
  std::vector<Line> lines;
  Line line;
  int used = 0;
  const auto close = [&](Line next) {
    // What hangs over the edge is not drawn.
    while (!line.empty() && used > width) used -= line.back().width, line.pop_back();
    lines.push_back(std::exchange(line, std::move(next)));
    used = WidthOf(line);
  };
  for (const Cell& cell : cells) {
    // A blank or the mark of a newline hangs over the edge: it is no reason for another line.
    if (used + cell.width > width && !IsBlank(cell) && !cell.newline) {
      auto last_break = std::find_if(line.rbegin(), line.rend(), [](const Cell& c) { return c.break_after; }).base();
      if (last_break == line.begin()) last_break = line.end();  // One unbreakable word fills the line.
      Line tail(std::make_move_iterator(last_break), std::make_move_iterator(line.end()));
      line.erase(last_break, line.end());
      while (!line.empty() && IsBlank(line.back())) line.pop_back();
      used = WidthOf(line);
      close(std::move(tail));
    }
    line.push_back(cell);
    used += cell.width;
    if (cell.newline) close({});
  }
  if (!line.empty()) close({});
  return lines;
}

Line CutLine(const Line& line, int width) {
  Line cut;
  int used = 0;
  for (const Cell& cell : line) {
    if ((used += cell.width) > width) break;
    cut.push_back(cell);
  }
  return cut;
}

std::string PlainText(const Line& line) {
  std::string text;
  for (const Cell& cell : line) text += cell.text;
  return text;
}

}  // namespace unmask
