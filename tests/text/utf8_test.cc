#include "text/utf8.h"

#include <random>
#include <string>

#include "gtest/gtest.h"

namespace unmask {
namespace {

#define FFFD "\xEF\xBF\xBD"

// The text of `bytes` and how many of them it took.
std::pair<std::string, size_t> Read(absl::string_view bytes) {
  std::string text;
  const size_t taken = AppendUtf8(bytes, &text);
  return {text, taken};
}

TEST(Utf8Test, WellFormedTextIsKept) {
  const std::string text = "a\u00E9\u20AC\U0001F642\u0301\U0010FFFF\uFFFF";
  EXPECT_EQ(Read(text), std::make_pair(text, text.size()));
}

TEST(Utf8Test, NulIsACharacter) {
  EXPECT_EQ(Read(absl::string_view("a\0b", 3)), std::make_pair(std::string("a\0b", 3), size_t{3}));
}

// The example of Unicode 15, table 3-8.
TEST(Utf8Test, EachMaximalSubpartBecomesOneReplacement) {
  EXPECT_EQ(Read("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64").first,
            "a" FFFD FFFD FFFD "b" FFFD "c" FFFD FFFD "d");
}

TEST(Utf8Test, OverlongSurrogateAndTooLargeAreReplacedByteByByte) {
  EXPECT_EQ(Read("\xC0\xAFx").first, FFFD FFFD "x");
  EXPECT_EQ(Read("\xE0\x80\xAFx").first, FFFD FFFD FFFD "x");
  EXPECT_EQ(Read("\xED\xA0\x80x").first, FFFD FFFD FFFD "x");
  EXPECT_EQ(Read("\xF4\x90\x80\x80x").first, FFFD FFFD FFFD FFFD "x");
  EXPECT_EQ(Read("\xF5\xFFx").first, FFFD FFFD "x");
}

TEST(Utf8Test, OnlyAnUnfinishedCharacterAtTheEndIsHeldBack) {
  EXPECT_EQ(Read("a\xF0\x9F\x99"), std::make_pair(std::string("a"), size_t{1}));
  EXPECT_EQ(Read("a\xE2\x82"), std::make_pair(std::string("a"), size_t{1}));
  EXPECT_EQ(Read("a\xC3"), std::make_pair(std::string("a"), size_t{1}));
  // No continuation could make these well-formed.
  EXPECT_EQ(Read("a\xED\xA0"), std::make_pair(std::string("a" FFFD FFFD), size_t{3}));
  EXPECT_EQ(Read("a\xFF"), std::make_pair(std::string("a" FFFD), size_t{2}));
}

TEST(Utf8Test, WhereverBytesAreCutTheTextIsTheSame) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 24; ++i)
      bytes.push_back("\x41\x80\xBF\xC3\xE2\x82\xED\xA0\xF0\x9F\x99\xF4\x90\xFF"[random() % 14]);
    const auto [whole, taken] = Read(bytes);
    std::string text, tail;
    for (size_t begin = 0; begin < bytes.size();) {
      const size_t size = 1 + random() % 5;
      tail += bytes.substr(begin, size);
      begin += size;
      tail.erase(0, AppendUtf8(tail, &text));
      EXPECT_LE(tail.size(), 3u);
    }
    EXPECT_EQ(text, whole);
    EXPECT_EQ(tail, bytes.substr(taken));
  }
}

}  // namespace
}  // namespace unmask
