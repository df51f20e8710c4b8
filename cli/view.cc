#include "cli/view.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/canvas_cells.h"
#include "cli/glyphs.h"
#include "cli/palette.h"

namespace unmask {
namespace {

const Style kFaint{.dim = true};
constexpr int kLegendCells = 12;
constexpr int kShortestBar = 8, kLongestBar = 28;

std::string Seconds(absl::Duration elapsed) { return absl::StrFormat("%.1f s", absl::ToDoubleSeconds(elapsed)); }

std::string TokensPerStep(int tokens, int steps) {
  return absl::StrFormat("%.1f tokens/step", steps > 0 ? static_cast<double>(tokens) / steps : 0.0);
}

std::vector<Line> PromptLines(const CanvasState& state, int width, int max_lines) {
  if (state.layout().prompt.empty() || max_lines < 1) return {};
  std::vector<Cell> cells = TextCells("❯ ", kFaint);
  Append(TextCells(state.layout().prompt, kFaint), &cells);
  std::vector<Line> lines = WrapCells(cells, width);
  if (static_cast<int>(lines.size()) > max_lines) {
    lines.resize(max_lines);
    lines.back() = CutLine(lines.back(), width - 2);
    Append(TextCells(" …", kFaint), &lines.back());
  }
  return lines;
}

// Revealed tokens in the colours of the steps to come and gone.
std::vector<Cell> Bar(const CanvasState& state, int cells) {
  std::vector<Cell> bar;
  const int total = std::max<int>(state.slots().size(), 1);
  const int filled = static_cast<int>(static_cast<int64_t>(cells) * state.kept() / total);
  for (int i = 0; i < cells; ++i) {
    const double t = cells > 1 ? i / (cells - 1.0) : 0;
    bar.push_back(i < filled ? Cell{.text = "━", .style = {.color = Gradient(t)}} : Cell{.text = "─", .style = kFaint});
  }
  return bar;
}

struct Fact {
  std::string text;
  int rank;  // Where there is no room, the highest goes first.
};

// The bar, and as many facts as fit.
Line StatusLine(const CanvasState& state, const ViewOptions& options) {
  if (!state.accepted())
    return CutLine(TextCells(absl::StrCat("waiting · ", Seconds(options.elapsed)), kFaint), options.width);
  std::vector<Fact> facts = {{absl::StrCat(" ", state.kept(), "/", state.slots().size(), " tokens"), 0}};
  if (state.blocks() > 1) facts.push_back({absl::StrCat(" · block ", state.block() + 1, "/", state.blocks()), 3});
  facts.push_back({absl::StrCat(" · step ", state.steps(), "/", state.steps_planned()), 2});
  facts.push_back({absl::StrCat(" · ", TokensPerStep(state.kept(), state.steps())), 4});
  facts.push_back({absl::StrCat(" · ", state.forward_passes(), state.forward_passes() == 1 ? " pass" : " passes"), 5});
  facts.push_back({absl::StrCat(" · ", Seconds(options.elapsed)), 1});
  const auto room = [&] {
    int left = options.width;
    for (const Fact& fact : facts) left -= DisplayWidth(fact.text);
    return left;
  };
  while (!facts.empty() && room() < kShortestBar) {
    facts.erase(
        std::max_element(facts.begin(), facts.end(), [](const Fact& a, const Fact& b) { return a.rank < b.rank; }));
  }
  Line line = Bar(state, std::min(room(), kLongestBar));
  for (const Fact& fact : facts) Append(TextCells(fact.text, fact.rank == 0 ? Style{} : kFaint), &line);
  return line;
}

// The line of the first token that is still open in the active block, else of the last one shown.
int FocusLine(const std::vector<Line>& lines, const CanvasState& state) {
  const std::vector<Slot>& slots = state.slots();
  const auto open = std::find_if(slots.begin(), slots.end(), [&](const Slot& slot) {
    return slot.block >= state.block() && slot.state != Slot::State::kKept;
  });
  const int focus = std::min<int>(open - slots.begin(), static_cast<int>(slots.size()) - 1);
  for (size_t i = 0; i < lines.size(); ++i) {
    for (const Cell& cell : lines[i]) {
      if (cell.token >= focus) return static_cast<int>(i);
    }
  }
  return static_cast<int>(lines.size()) - 1;
}

// At most `rows` lines around the focus; a cut edge says how many lines are beyond it.
std::vector<Line> Window(std::vector<Line> lines, int focus, int rows, int width) {
  const int total = lines.size();
  if (total <= rows) return lines;
  const int top = std::clamp(focus - rows / 2, 0, total - rows);
  std::vector<Line> window(std::make_move_iterator(lines.begin() + top),
                           std::make_move_iterator(lines.begin() + top + rows));
  const auto more = [width](int count, const char* arrow) {
    return CutLine(TextCells(absl::StrCat(arrow, " ", count, count == 1 ? " more line" : " more lines"), kFaint),
                   width);
  };
  if (rows < 3) return window;
  if (top > 0) window.front() = more(top + 1, "↑");
  if (top + rows < total) window.back() = more(total - top - rows + 1, "↓");
  return window;
}

Line Legend(const CanvasState& state) {
  Line line = TextCells("step 1 ", kFaint);
  for (int i = 0; i < kLegendCells; ++i) {
    line.push_back({.text = "━", .style = {.color = Gradient(i / (kLegendCells - 1.0)), .bold = true}});
  }
  Append(TextCells(absl::StrCat(" ", std::max(state.steps(), 1)), kFaint), &line);
  return line;
}

// Lines of the summary part between facts only.
std::vector<Line> SummaryLines(const CanvasState& state, int width) {
  std::vector<Cell> cells = TextCells(Summary(state), kFaint);
  for (size_t i = 1; i < cells.size(); ++i) cells[i].break_after = cells[i].text == " " && cells[i - 1].text == "·";
  return WrapCells(cells, width);
}

}  // namespace

std::vector<Line> RenderLive(const CanvasState& state, const ViewOptions& options) {
  const bool roomy = options.height >= 10;
  const int budget = std::max(options.height - 1, 1);
  std::vector<Line> frame = PromptLines(state, options.width, roomy ? std::min(3, options.height / 6) : 0);
  if (!frame.empty()) frame.emplace_back();
  const int chrome = static_cast<int>(frame.size()) + (roomy ? 2 : 1);
  if (budget > chrome && state.accepted()) {
    std::vector<Line> canvas = WrapCells(LiveCells(state), options.width);
    const int focus = FocusLine(canvas, state);
    for (Line& line : Window(std::move(canvas), focus, budget - chrome, options.width))
      frame.push_back(std::move(line));
    if (roomy) frame.emplace_back();
  }
  frame.push_back(StatusLine(state, options));
  return frame;
}

std::vector<Line> RenderFinal(const CanvasState& state, const ViewOptions& options) {
  std::vector<Line> frame = PromptLines(state, options.width, 6);
  if (!frame.empty()) frame.emplace_back();
  for (Line& line : WrapCells(AnswerCells(state, /*block_borders=*/false), options.width))
    frame.push_back(std::move(line));
  frame.emplace_back();
  frame.push_back(CutLine(Legend(state), options.width));
  for (Line& line : SummaryLines(state, options.width)) frame.push_back(std::move(line));
  return frame;
}

std::string Summary(const CanvasState& state) {
  const v1::GenerateResponse& response = state.response();
  const v1::Usage& usage = response.usage();
  const auto count = [](int n, const char* one, const char* many) { return absl::StrCat(n, " ", n == 1 ? one : many); };
  std::vector<std::string> facts = {
      count(usage.completion_tokens(), "token", "tokens"),
      count(usage.steps(), "step", "steps"),
      TokensPerStep(usage.completion_tokens(), usage.steps()),
      count(usage.forward_passes(), "pass", "passes"),
  };
  if (response.timing().has_total()) {
    const auto& total = response.timing().total();
    facts.push_back(Seconds(absl::Seconds(total.seconds()) + absl::Nanoseconds(total.nanos())));
  }
  if (response.has_exactness()) {
    const auto& names = response.exactness().approximations();
    facts.push_back(response.exactness().exact() ? "exact"
                    : names.empty()              ? "approximate"
                                                 : absl::StrCat("approximate (", absl::StrJoin(names, ", "), ")"));
  }
  if (response.options().has_seed()) facts.push_back(absl::StrCat("seed ", response.options().seed()));
  if (response.replays() > 0) facts.push_back(count(response.replays(), "replay", "replays"));
  if (response.finish_reason() == v1::FINISH_REASON_LENGTH) facts.push_back("length reached");
  return absl::StrJoin(facts, " · ");
}

}  // namespace unmask
