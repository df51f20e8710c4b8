// Golden frames. Styles are written around the text: {fresh} (proposed) prompt and marks as they are.
#include "cli/view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/ansi.h"
#include "tests/cli/recording.h"

namespace unmask {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A line with its fresh cells in braces and its proposals in parentheses; the bar as ━ and ─.
std::string Show(const Line& line) {
  std::string out, open;
  for (const Cell& cell : line) {
    const std::string wanted = cell.style.background ? "}" : cell.style.italic ? ")" : "";
    if (wanted != open) absl::StrAppend(&out, open, wanted == "}" ? "{" : wanted == ")" ? "(" : "");
    open = wanted;
    out += cell.text;
  }
  return out + open;
}

std::vector<std::string> Show(const std::vector<Line>& lines) {
  std::vector<std::string> out;
  for (const Line& line : lines) out.push_back(Show(line));
  return out;
}

Recording Poem() {
  Recording recording;
  recording.tokens = {"Roses", " are", " red", ",\n", "violets", " are", " blue", "<eos>"};
  recording.block_length = 4;
  recording.reveals = {{1}, {0, 3}, {2}, {4, 7}, {5, 6}};
  return recording;
}

const ViewOptions kSmall{.width = 60, .height = 12, .elapsed = absl::Milliseconds(1500)};

TEST(ViewTest, BeforeTheServiceAccepts) {
  EXPECT_THAT(Show(RenderLive(Play(LayoutWithPrompt("Write"), {}), kSmall)),
              ElementsAre("❯ Write", "", "waiting · 1.5 s"));
}

TEST(ViewTest, AllMasked) {
  EXPECT_THAT(Show(RenderLive(Play(LayoutWithPrompt("Write"), Poem().Events(), 1), kSmall)),
              ElementsAre("❯ Write", "", " ▒ ▒ ▒ ▒│ ░ ░ ░ ░", "",
                          "────────────────── 0/8 tokens · block 1/2 · step 0/5 · 1.5 s"));
}

TEST(ViewTest, AStepShowsWhatItKeptAndWhatItMaskedAgain) {
  EXPECT_THAT(Show(RenderLive(Play(LayoutWithPrompt("Write"), Poem().Events(), 3), kSmall)),
              ElementsAre("❯ Write", "", "{Roses} are( red){,⏎}", "│ ░ ░ ░ ░", "",
                          "━━━━━━──────────── 3/8 tokens · block 1/2 · step 2/5 · 1.5 s"));
}

TEST(ViewTest, TheEndOfTheTextIsAMark) {
  EXPECT_THAT(Show(RenderLive(Play(LayoutWithPrompt(""), Poem().Events(), 6), kSmall)),
              ElementsAre("Roses are red,⏎", "│{violets}( are blue){∎}", "",
                          testing::StartsWith("━━━━━━━━━━━━━───── 6/8 tokens")));
}

TEST(ViewTest, TheAnswerIsTheTextAlone) {
  const CanvasState state = Play(LayoutWithPrompt("Write"), Poem().Events());
  const std::vector<Line> frame = RenderFinal(state, kSmall);
  EXPECT_THAT(Show(frame), ElementsAre("❯ Write", "", "Roses are red,", "violets are blue", "", "step 1 ━━━━━━━━━━━━ 5",
                                       "8 tokens · 5 steps · 1.6 tokens/step · 5 passes · 2.3 s ·", "exact · seed 42"));
  EXPECT_NE(frame[2][0].style.color, frame[2][6].style.color);  // "Roses" came a step after " are".
}

TEST(ViewTest, NoLineIsWiderThanTheTerminalAndNoFrameHigher) {
  std::vector<std::string> tokens;
  for (int i = 0; i < 96; ++i)
    tokens.push_back(i % 7 == 0 ? "文字" : i % 5 == 0 ? "\n" : i % 3 == 0 ? "\xff" : " word");
  const auto events = Denoise(tokens, 32, 3).Events();
  for (const int width : {2, 5, 20, 47, 200}) {
    for (const int height : {2, 3, 6, 10, 24}) {
      CanvasState state(LayoutWithPrompt("a prompt of some length, to be broken into lines"));
      for (const auto& event : events) {
        state.Apply(event);
        const std::vector<Line> frame = RenderLive(state, {.width = width, .height = height});
        ASSERT_LT(static_cast<int>(frame.size()), height) << width << " x " << height;
        for (const Line& line : frame) ASSERT_LE(WidthOf(line), width) << height << ": " << PlainText(line);
      }
      for (const Line& line : RenderFinal(state, {.width = width, .height = height})) ASSERT_LE(WidthOf(line), width);
    }
  }
}

TEST(ViewTest, ATallCanvasScrollsWithTheActiveBlock) {
  std::vector<std::string> tokens(64, " word");
  tokens[40] = " HERE";
  Recording recording = Denoise(tokens, 16, 1);
  const CanvasState state = Play(LayoutWithPrompt(""), recording.Events(), 1 + 16 + 1 + 16 + 1 + 12);
  const std::vector<std::string> frame = Show(RenderLive(state, {.width = 20, .height = 9}));
  ASSERT_EQ(frame.size(), 8u);
  EXPECT_THAT(frame.front(), HasSubstr("more lines"));
  EXPECT_THAT(absl::StrJoin(frame, "\n"), HasSubstr("HERE"));
}

TEST(ViewTest, HalfRevealedCharactersKeepTheirColumns) {
  Recording recording;
  recording.tokens = {"a", "�", "�", "�", "b", "c"};
  recording.text = "a你bc";
  recording.block_length = 3;
  recording.reveals = {{0, 1}, {2}, {3, 4}, {5}};
  auto events = recording.Events();
  const auto line = [&](int count) {
    return Show(RenderLive(Play(LayoutWithPrompt(""), events, count), {.width = 60, .height = 8}))[0];
  };
  EXPECT_EQ(line(2), "{a�}(�)│ ░ ░ ░");
  EXPECT_EQ(line(3), "a�{�}│ ░ ░ ░");
  // Once the text of blocks is known, the character stands in the columns of its parts.
  recording.block_length = 0;
  recording.reveals = {{0, 1, 2, 3}, {4, 5}};
  events = recording.Events();
  for (auto& event : events) {
    if (event.has_block()) event.mutable_block()->set_text_delta("a你bc");
  }
  EXPECT_EQ(line(4), "a你 {bc}");
  EXPECT_EQ(Show(RenderFinal(Play(LayoutWithPrompt(""), events), kSmall))[0], "a你bc");
}

TEST(ViewTest, InfillShowsTheTextAroundItsGaps) {
  CanvasLayout layout = LayoutWithPrompt("");
  layout.parts = {{.given = "Roses are ", .masks = 0}, {.given = "", .masks = 2}, {.given = ".", .masks = 0}};
  std::vector<v1::GenerateStreamResponse> events(3);
  for (const int id : {1, 2, kMaskId, kMaskId, 3}) events[0].mutable_accepted()->add_canvas(id);
  events[0].mutable_accepted()->set_canvas_length(5);
  v1::Commit* commit = events[1].mutable_step()->add_commits();
  commit->set_position(2);
  commit->set_text("red");
  EXPECT_EQ(Show(RenderLive(Play(layout, events, 2), kSmall))[0], "Roses are {red} ▒.");
  commit = events[1].mutable_step()->add_commits();
  commit->set_position(3);
  commit->set_text("dish");
  events[2].mutable_completed()->set_text("Roses are reddish.");
  events[2].mutable_completed()->add_spans()->set_text("reddish");
  const Line answer = RenderFinal(Play(layout, events), kSmall)[0];
  EXPECT_EQ(PlainText(answer), "Roses are reddish.");
  EXPECT_FALSE(answer[0].style.underline);
  EXPECT_TRUE(answer[10].style.underline);
  EXPECT_FALSE(answer.back().style.underline);
}

TEST(ViewTest, WithoutColoursFreshTokensAreReversed) {
  const std::vector<Line> frame = RenderLive(Play(LayoutWithPrompt(""), Poem().Events(), 3), kSmall);
  EXPECT_EQ(EncodeLine(frame[0], ColorDepth::kMonochrome),
            "\x1b[0;1;7mRoses\x1b[0m are\x1b[0;2;3m red\x1b[0;1;7m,\x1b[0;1;2;7m⏎\x1b[0m");
}

TEST(ViewTest, TheAnswerIsTheServicesTextEvenWhereTheTokensDisagree) {
  Recording recording = Poem();
  recording.text = "Something else.";
  EXPECT_EQ(Show(RenderFinal(Play(LayoutWithPrompt(""), recording.Events()), kSmall))[0], "Something else.");
}

TEST(ViewTest, WithoutATokenizerTheAnswerIsIds) {
  CanvasLayout layout = LayoutWithPrompt("");
  layout.ids_only = true;
  auto events = Poem().Events();
  events.back().mutable_completed()->clear_text();
  EXPECT_EQ(Show(RenderFinal(Play(layout, events), kSmall))[0], "10 11 12 13 14 15 16 ");
}

TEST(ViewTest, ApproximationsAreNamed) {
  auto events = Poem().Events();
  events.back().mutable_completed()->mutable_exactness()->set_exact(false);
  events.back().mutable_completed()->mutable_exactness()->add_approximations("dual cache");
  EXPECT_THAT(Summary(Play(LayoutWithPrompt(""), events)), HasSubstr("approximate (dual cache)"));
}

}  // namespace
}  // namespace unmask
