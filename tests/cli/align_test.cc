#include "cli/align.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace unmask {
namespace {

using testing::ElementsAre;

TEST(AlignTest, WholeTokensKeepTheirText) {
  const Alignment a = AlignTokens({"Hello", " world", "!"}, "Hello world!");
  EXPECT_THAT(a.texts, ElementsAre("Hello", " world", "!"));
  EXPECT_EQ(a.covered, 3);
  EXPECT_TRUE(a.exact);
}

TEST(AlignTest, TheFirstOfTheHalvesShowsTheCharacter) {
  const Alignment a = AlignTokens({"a", "�", "�", "�", "b"}, "a你b");
  EXPECT_THAT(a.texts, ElementsAre("a", "你", "", "", "b"));
  EXPECT_TRUE(a.exact);
}

TEST(AlignTest, HalvesWithWholeCharactersAroundThem) {
  const Alignment a = AlignTokens({" x�", "�y", " z"}, " xéy z");
  EXPECT_THAT(a.texts, ElementsAre(" xéy", "", " z"));
}

TEST(AlignTest, HalvesAtTheEndTakeTheRest) {
  EXPECT_THAT(AlignTokens({"a", "�", "�"}, "a你好").texts, ElementsAre("a", "你好", ""));
}

TEST(AlignTest, TheTextMayEndInsideAToken) {
  const Alignment a = AlignTokens({"one", " two\n\n", "User"}, "one two");
  EXPECT_THAT(a.texts, ElementsAre("one", " two", "User"));
  EXPECT_EQ(a.covered, 2);
  EXPECT_TRUE(a.exact);
}

TEST(AlignTest, TokensBehindTheTextAreNotCovered) { EXPECT_EQ(AlignTokens({"a", "", "", "x"}, "a").covered, 1); }

TEST(AlignTest, TheFirstBlankMayBeMissing) {
  EXPECT_THAT(AlignTokens({" Hi", " you"}, "Hi you").texts, ElementsAre("Hi", " you"));
}

TEST(AlignTest, TokensThatDoNotSpellTheTextKeepTheirOwn) {
  const Alignment a = AlignTokens({"Hello", " world"}, "Goodbye");
  EXPECT_FALSE(a.exact);
  EXPECT_THAT(a.texts, ElementsAre("Hello", " world"));
  EXPECT_EQ(a.covered, 2);
  EXPECT_FALSE(AlignTokens({"a"}, "ab").exact);  // The text has more than the tokens.
}

TEST(AlignTest, SpecialTokensAreNotInTheText) {
  const Alignment a = AlignTokens({"a", "<|reserved|>", "�", "<|x|>", "�", "b"}, "aé?b");
  EXPECT_THAT(a.texts, ElementsAre("a", "", "é?", "", "", "b"));
  EXPECT_TRUE(a.exact);
  EXPECT_THAT(AlignTokens({"say ", "<|x|>"}, "say <|x|>").texts, ElementsAre("say ", "<|x|>"));
}

TEST(AlignTest, NothingAlignsWithNothing) {
  EXPECT_TRUE(AlignTokens({}, "").exact);
  EXPECT_EQ(AlignTokens({"a"}, "").covered, 0);
}

}  // namespace
}  // namespace unmask
