#include "cli/cell.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace unmask {
namespace {

using testing::ElementsAre;

std::vector<std::string> Wrap(const std::string& text, int width) {
  std::vector<std::string> lines;
  for (const Line& line : WrapCells(TextCells(text, Style{}), width)) {
    EXPECT_LE(WidthOf(line), std::max(width, 2)) << PlainText(line);
    lines.push_back(PlainText(line));
  }
  return lines;
}

TEST(WrapTest, LinesBreakBetweenWords) { EXPECT_THAT(Wrap("one two three", 8), ElementsAre("one two", "three")); }

TEST(WrapTest, ABlankAtTheEdgeStillParts) {
  // "three" does not fit; the blank before it was the one that hung over the edge of the first line.
  EXPECT_THAT(Wrap("one two three four", 7), ElementsAre("one two", "three", "four"));
  EXPECT_THAT(Wrap("mask; at each", 8), ElementsAre("mask; at", "each"));
  EXPECT_THAT(Wrap("mask; ateach", 8), ElementsAre("mask;", "ateach"));
}

TEST(WrapTest, AWordThatIsTooLongBreaksAnywhere) {
  EXPECT_THAT(Wrap("abcdefghij", 4), ElementsAre("abcd", "efgh", "ij"));
  EXPECT_THAT(Wrap("a bcdefghij", 4), ElementsAre("a", "bcde", "fghi", "j"));
}

TEST(WrapTest, WideCharactersAreNeverCut) { EXPECT_THAT(Wrap("文字列", 5), ElementsAre("文字", "列")); }

TEST(WrapTest, ANewlineEndsItsLineAndHangsOverTheEdge) {
  EXPECT_THAT(Wrap("ab\ncd", 10), ElementsAre("ab⏎", "cd"));
  EXPECT_THAT(Wrap("abcd\nef", 4), ElementsAre("abcd", "ef"));
  EXPECT_THAT(Wrap("\n\n", 4), ElementsAre("⏎", "⏎"));
}

TEST(WrapTest, ManyBlanksNeitherOverflowNorMakeLines) { EXPECT_THAT(Wrap("ab        cd", 4), ElementsAre("ab", "cd")); }

TEST(WrapTest, NoWidthIsTooSmall) {
  EXPECT_THAT(Wrap("abc", 0), ElementsAre("ab", "c"));
  EXPECT_THAT(Wrap("文字", 1), ElementsAre("文", "字"));
}

TEST(CutLineTest, CutsBeforeACharacterThatDoesNotFit) {
  EXPECT_EQ(PlainText(CutLine(TextCells("a文字", Style{}), 4)), "a文");
}

}  // namespace
}  // namespace unmask
