#include "cli/svg.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "cli/canvas_cells.h"
#include "cli/palette.h"
#include "cli/view.h"

namespace unmask {
namespace {

// Pixels.
constexpr double kCell = 8.6;
constexpr double kRow = 26;
constexpr double kChip = 21;  // Height of a token's background.
constexpr double kBaseline = 15;
constexpr double kMargin = 26;
constexpr double kFontSize = 14.3;

constexpr Rgb kCard{15, 20, 30}, kEdge{44, 54, 72}, kText{226, 232, 240}, kFaint{132, 146, 166}, kWhite{255, 255, 255};

std::string Hex(Rgb c) { return absl::StrFormat("#%02x%02x%02x", c.r, c.g, c.b); }

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

// Text held to its columns: whatever font the reader has, it is stretched to the grid.
void AddText(absl::string_view text, int cells, double x, double y, Rgb color, bool bold, std::string* out) {
  if (cells == 0 || text.find_first_not_of(' ') == absl::string_view::npos) return;
  absl::StrAppendFormat(out, "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\" textLength=\"%.1f\"%s>%s</text>\n", x,
                        y + kBaseline, Hex(color), cells * kCell, bold ? " font-weight=\"700\"" : "", Escape(text));
}

// One line of cells. Neighbours of one token and style are one chip; its text is cut where narrow and wide characters
// meet, so that both keep their columns.
void AddLine(const Line& line, double top, std::string* out) {
  double x = kMargin;
  size_t begin = 0;
  while (begin < line.size()) {
    const Cell& first = line[begin];
    size_t end = begin;
    int cells = 0;
    while (end < line.size() && line[end].token == first.token && line[end].style == first.style)
      cells += line[end++].width;
    if (first.block_border) {
      absl::StrAppendFormat(
          out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-dasharray=\"3 2\"/>\n",
          x + kCell / 2, top - 2, x + kCell / 2, top + kChip + 2, Hex(kFaint));
      x += kCell;
      ++begin;
      continue;
    }
    const bool chip = first.token >= 0 && first.style.color && cells > 0;
    if (chip) {
      absl::StrAppendFormat(
          out,
          "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"4\" fill=\"%s\" fill-opacity=\"0.3\"/>\n",
          x + 0.5, top, cells * kCell - 1, kChip, Hex(*first.style.color));
    }
    Rgb color = first.style.dim ? kFaint : kText;
    if (first.style.color) color = chip ? Mix(*first.style.color, kWhite, 0.5) : *first.style.color;
    double text_x = x;
    for (size_t i = begin; i < end;) {
      std::string text;
      int width = 0;
      size_t k = i;
      for (; k < end && line[k].width == line[i].width; ++k) text += line[k].text, width += line[k].width;
      AddText(text, width, text_x, top, color, first.style.bold, out);
      text_x += width * kCell;
      i = k;
    }
    x += cells * kCell;
    begin = end;
  }
}

void AddLegend(const CanvasState& state, double top, std::string* out) {
  const std::string summary = Summary(state);
  constexpr int kBar = 12;  // Cells.
  const std::string last = absl::StrCat(std::max(state.steps(), 1));
  AddLine(TextCells("step 1", Style{.dim = true}), top, out);
  const double bar_x = kMargin + 7 * kCell;
  absl::StrAppendFormat(out,
                        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"8\" rx=\"4\" fill=\"url(#steps)\"/>\n",
                        bar_x, top + 6, kBar * kCell);
  AddText(last, static_cast<int>(last.size()), bar_x + (kBar + 1) * kCell, top, kFaint, false, out);
}

}  // namespace

std::string RenderSvg(const CanvasState& state, int columns) {
  std::vector<Line> lines;
  if (!state.layout().prompt.empty()) {
    std::vector<Cell> prompt = TextCells("❯ ", Style{.dim = true});
    Append(TextCells(state.layout().prompt, Style{.dim = true}), &prompt);
    lines = WrapCells(prompt, columns);
    lines.emplace_back();
  }
  for (Line& line : WrapCells(AnswerCells(state, /*block_borders=*/true), columns)) lines.push_back(std::move(line));
  lines.emplace_back();
  const std::vector<Line> summary = WrapCells(TextCells(Summary(state), Style{.dim = true}), columns);

  const double width = 2 * kMargin + columns * kCell;
  const double height = 2 * kMargin + (lines.size() + 1 + summary.size()) * kRow - (kRow - kChip);
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
      "font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" "
      "font-size=\"%.1f\">\n<title>%s</title>\n"
      "<style>text{white-space:pre}</style>\n"  // Browsers no longer mind xml:space.
      "<defs><linearGradient id=\"steps\">",
      width, height, width, height, kFontSize, Escape(Summary(state)));
  for (int i = 0; i <= 4; ++i)
    absl::StrAppendFormat(&svg, "<stop offset=\"%.2f\" stop-color=\"%s\"/>", i / 4.0, Hex(Gradient(i / 4.0)));
  absl::StrAppendFormat(&svg,
                        "</linearGradient></defs>\n<rect x=\"0.5\" y=\"0.5\" width=\"%.0f\" height=\"%.0f\" rx=\"14\" "
                        "fill=\"%s\" stroke=\"%s\"/>\n",
                        width - 1, height - 1, Hex(kCard), Hex(kEdge));
  double top = kMargin;
  for (const Line& line : lines) AddLine(line, std::exchange(top, top + kRow), &svg);
  AddLegend(state, std::exchange(top, top + kRow), &svg);
  for (const Line& line : summary) AddLine(line, std::exchange(top, top + kRow), &svg);
  return svg + "</svg>\n";
}

}  // namespace unmask
