#include "cli/ansi.h"

#include <gtest/gtest.h>

namespace unmask {
namespace {

const Style kTinted{.color = Rgb{255, 0, 0}, .background = Rgb{0, 0, 255}, .bold = true};

TEST(AnsiTest, EveryDepthEncodesAsItsTerminalReads) {
  const Line line = TextCells("ab", kTinted);
  EXPECT_EQ(EncodeLine(line, ColorDepth::kTrueColor), "\x1b[0;1;38;2;255;0;0;48;2;0;0;255mab\x1b[0m");
  EXPECT_EQ(EncodeLine(line, ColorDepth::k256), "\x1b[0;1;38;5;196;48;5;21mab\x1b[0m");
  EXPECT_EQ(EncodeLine(line, ColorDepth::kMonochrome), "\x1b[0;1;7mab\x1b[0m");
  EXPECT_EQ(EncodeLine(line, ColorDepth::kPlain), "ab");
}

TEST(AnsiTest, AnUnstyledLineHasNoEscapes) {
  EXPECT_EQ(EncodeLine(TextCells("ab", Style{}), ColorDepth::kTrueColor), "ab");
}

TEST(AnsiTest, AStyleDoesNotLeakIntoTheNextCell) {
  Line line = TextCells("a", Style{.dim = true});
  Append(TextCells("b", Style{}), &line);
  EXPECT_EQ(EncodeLine(line, ColorDepth::k256), "\x1b[0;2ma\x1b[0mb");
}

TEST(AnsiTest, TheEnvironmentChoosesTheDepth) {
  EXPECT_EQ(ColorDepthOf("xterm-256color", "", ""), ColorDepth::k256);
  EXPECT_EQ(ColorDepthOf("xterm-256color", "truecolor", ""), ColorDepth::kTrueColor);
  EXPECT_EQ(ColorDepthOf("xterm-256color", "truecolor", "1"), ColorDepth::kMonochrome);
  EXPECT_EQ(ColorDepthOf("dumb", "truecolor", ""), ColorDepth::kPlain);
  EXPECT_EQ(ColorDepthOf("", "", ""), ColorDepth::kPlain);
  EXPECT_EQ(ColorDepthOf("linux", "", ""), ColorDepth::kMonochrome);
}

TEST(AnsiTest, ColoursGoToTheNearestOfTheCubeOrTheGreys) {
  EXPECT_EQ(NearestOf256({0, 0, 0}), 16);
  EXPECT_EQ(NearestOf256({255, 255, 255}), 231);
  EXPECT_EQ(NearestOf256({95, 135, 175}), 16 + 36 * 1 + 6 * 2 + 3);
  EXPECT_EQ(NearestOf256({118, 118, 118}), 243);  // The grey ramp has 118, the cube does not.
}

}  // namespace
}  // namespace unmask
