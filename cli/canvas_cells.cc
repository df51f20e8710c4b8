#include "cli/canvas_cells.h"

#include <algorithm>
#include <string>

#include "absl/types/span.h"
#include "cli/align.h"
#include "cli/glyphs.h"
#include "cli/palette.h"

namespace unmask {
namespace {

constexpr Rgb kInk{16, 20, 28};  // On a coloured background.
const Style kFaint{.dim = true};
const Cell kBlockBorder{.text = "│", .style = kFaint, .break_after = true, .block_border = true};

// What each slot shows, where neighbours hold parts of one character: see AlignTokens.
struct SlotTexts {
  std::vector<std::string> texts = {};
  std::vector<int> steps = {};    // The step at which what is shown was known in full.
  std::vector<int> padding = {};  // Columns that the parts took and the whole does not, at the last part.
  int covered = 0;
  bool exact = false;
};

SlotTexts Align(absl::Span<const Slot> slots, absl::string_view text) {
  std::vector<std::string> tokens;
  for (const Slot& slot : slots) tokens.push_back(slot.end ? "" : slot.text);
  Alignment alignment = AlignTokens(tokens, text);
  SlotTexts result{.texts = std::move(alignment.texts), .covered = alignment.covered, .exact = alignment.exact};
  result.padding.resize(slots.size());
  size_t first = 0;  // Of the run that shares what it shows.
  int spare = 0;     // Columns of the run's parts less those of the whole.
  for (size_t i = 0; i < slots.size(); ++i) {
    result.steps.push_back(slots[i].step);
    const bool shares = result.texts[i].empty() && !tokens[i].empty();
    if (!shares) first = i, spare = 0;
    if (!IsSpecialToken(tokens[i])) spare += DisplayWidth(tokens[i]) - DisplayWidth(result.texts[i]);
    result.steps[first] = std::max(result.steps[first], slots[i].step);
    if (!shares) continue;
    result.padding[i - 1] = 0;
    result.padding[i] = std::max(spare, 0);
  }
  return result;
}

void AppendLiveSlot(const Slot& slot, const std::string& text, const CanvasState& state, int index,
                    std::vector<Cell>* out) {
  const bool active = slot.block == state.block();
  if (slot.state == Slot::State::kMask) {
    const Style style{.color = active ? Rgb{150, 158, 172} : Rgb{104, 110, 122}};
    out->push_back({.text = active ? " ▒" : " ░", .width = 2, .style = style, .token = index, .break_after = true});
    return;
  }
  const Rgb color = StepColor(slot.step, state.steps_planned());
  Style style;
  if (slot.state == Slot::State::kProposed) {
    style = {.dim = true, .italic = true};
  } else if (slot.step == state.steps() && !state.completed()) {
    style = {.color = kInk, .background = color, .bold = true};
  } else {
    style = {.color = color};
  }
  if (slot.end) {
    out->push_back({.text = "∎", .style = style, .token = index, .break_after = true});
    return;
  }
  for (Cell& cell : TextCells(text, style, index)) {
    if (cell.newline) cell.style.dim = true;
    out->push_back(std::move(cell));
  }
}

void AppendGiven(const std::string& given, std::vector<Cell>* out) { Append(TextCells(given, Style{}), out); }

// Answers are for reading and copying: newlines and tabs are what they are, not symbols.
void AppendAnswerText(absl::string_view text, const Style& style, int token, std::vector<Cell>* out) {
  for (const Glyph& glyph : SplitGlyphs(text)) {
    Cell cell{.text = glyph.text, .width = glyph.width, .style = style, .token = token};
    cell.break_after = glyph.space || glyph.width == 2;
    cell.newline = glyph.newline;
    if (glyph.newline) cell.text.clear(), cell.width = 0;
    if (glyph.space && glyph.text != " ") cell.text = "    ", cell.width = 4;
    out->push_back(std::move(cell));
  }
}

void AppendAnswerSlots(absl::Span<const Slot> slots, absl::string_view text, bool emphasised, bool block_borders,
                       const CanvasState& state, std::vector<Cell>* out) {
  const SlotTexts shown = Align(slots, text);
  if (!shown.exact) return AppendAnswerText(text, Style{}, -1, out);  // The text is the answer, the colours are not.
  for (int i = 0; i < shown.covered; ++i) {
    if (block_borders && i > 0 && slots[i].block != slots[i - 1].block) out->push_back(kBlockBorder);
    const Style style{.color = StepColor(shown.steps[i], state.steps()), .bold = emphasised, .underline = emphasised};
    AppendAnswerText(shown.texts[i], style, static_cast<int>(&slots[i] - state.slots().data()), out);
  }
}

// The reply's text; without a tokenizer the ids of the tokens that count.
std::string AnswerText(const CanvasState& state) {
  if (!state.layout().ids_only) return state.response().text();
  std::string ids;
  const int count = std::min<int>(state.slots().size(), state.response().usage().completion_tokens());
  for (int i = 0; i < count && !state.slots()[i].end; ++i) ids += state.slots()[i].text;
  return ids;
}

}  // namespace

std::vector<Cell> LiveCells(const CanvasState& state) {
  std::vector<Cell> cells;
  const absl::Span<const Slot> slots = state.slots();
  const SlotTexts settled = Align(slots.subspan(0, state.settled_slots()), state.settled_text());
  std::vector<CanvasPart> parts = state.layout().parts;
  if (parts.empty()) parts.push_back({.masks = static_cast<int>(slots.size())});
  int index = 0;
  for (const CanvasPart& part : parts) {
    AppendGiven(part.given, &cells);
    for (const int end = std::min<int>(index + part.masks, slots.size()); index < end; ++index) {
      if (index > 0 && slots[index].block != slots[index - 1].block) cells.push_back(kBlockBorder);
      const bool is_settled = index < settled.covered;
      AppendLiveSlot(slots[index], is_settled ? settled.texts[index] : slots[index].text, state, index, &cells);
      // Blanks keep the columns of what follows.
      if (is_settled) Append(TextCells(std::string(settled.padding[index], ' '), Style{}, index), &cells);
    }
  }
  return cells;
}

std::vector<Cell> AnswerCells(const CanvasState& state, bool block_borders) {
  std::vector<Cell> cells;
  const absl::Span<const Slot> slots = state.slots();
  if (state.layout().parts.empty()) {
    AppendAnswerSlots(slots, AnswerText(state), false, block_borders, state, &cells);
    return cells;
  }
  size_t index = 0;
  int gap = 0;
  for (const CanvasPart& part : state.layout().parts) {
    AppendAnswerText(part.given, Style{}, -1, &cells);
    if (part.masks == 0) continue;
    const absl::Span<const Slot> filled = slots.subspan(std::min(index, slots.size()), part.masks);
    const bool has_span = gap < state.response().spans_size();
    AppendAnswerSlots(filled, has_span ? state.response().spans(gap).text() : "", true, false, state, &cells);
    index += part.masks;
    ++gap;
  }
  return cells;
}

}  // namespace unmask
