#include "cli/gaps.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace unmask {
namespace {

// "text<n>text": gaps as their sizes.
std::string Parse(const std::string& text, int gap_tokens = kDefaultGapTokens) {
  const auto parts = ParseGaps(text, gap_tokens);
  if (!parts.ok()) return absl::StrCat("error: ", parts.status().message());
  std::string out;
  for (const CanvasPart& part : *parts)
    absl::StrAppend(&out, part.masks > 0 ? absl::StrCat("<", part.masks, ">") : part.given);
  return out;
}

TEST(GapsTest, EachSpellingIsItsGap) {
  const struct {
    const char* text;
    const char* parsed;
  } kCases[] = {
      {"I [MASK] you", "I <1> you"},
      {"I [MASK]*3 you", "I <3> you"},
      {"I [MASK]*03 you", "I <3> you"},
      {"I ___ you", "I <4> you"},
      {"I __________ you", "I <4> you"},
      {"a __ b [MASK]", "a __ b <1>"},
      {"[MASK]", "<1>"},
      {"[MASK]*2x", "<2>x"},
      {"[MASK]* 2", "<1>* 2"},
      {"[MASK] *2", "<1> *2"},
      {"[MASK]*-2", "<1>*-2"},
      {"[mask] [MASK]", "[mask] <1>"},
      {"[MASK][MASK]*2", "<3>"},
      {"___[MASK]", "<5>"},
      {"x[MASK]y[MASK]*2z", "x<1>y<2>z"},
      {"\\[MASK] [MASK]", "[MASK] <1>"},
      {"\\____ ___", "____ <4>"},
      {"C:\\dir \\n ___", "C:\\dir \\n <4>"},
      {"文___字", "文<4>字"},
  };
  for (const auto& c : kCases) EXPECT_EQ(Parse(c.text), c.parsed) << c.text;
  EXPECT_EQ(Parse("\\\\[MASK] ___"), "\\[MASK] <4>");  // The second backslash is the one that escapes.
  EXPECT_EQ(Parse("a ___ b", 7), "a <7> b");
}

TEST(GapsTest, GapsThatCannotBeAreRefusedByName) {
  EXPECT_EQ(Parse("[MASK]*0"), "error: [MASK]*0: a gap has 1 to 65536 tokens");
  EXPECT_EQ(Parse("[MASK]*99999999999999999999"), "error: [MASK]*99999999999999999999: a gap has 1 to 65536 tokens");
  EXPECT_EQ(Parse("a ___", 0), "error: gap-tokens 0 is not in 1 to 65536");
  EXPECT_EQ(Parse("[MASK]*60000 [MASK]*60000"), "error: the gaps have more than 65536 tokens");
  for (const char* none : {"", "plain", "a __ b", "\\[MASK]", "\\___"}) {
    EXPECT_EQ(Parse(none), "error: nothing to fill in: write [MASK] for one token, [MASK]*3 for three, ___ for a gap")
        << none;
  }
}

TEST(GapsTest, SegmentsFollowTheParts) {
  v1::InfillRequest request;
  ToSegments(*ParseGaps("I [MASK]*2 you"), &request);
  ASSERT_EQ(request.segments_size(), 3);
  EXPECT_EQ(request.segments(0).text(), "I ");
  EXPECT_EQ(request.segments(1).masks(), 2);
  EXPECT_EQ(request.segments(2).text(), " you");
}

}  // namespace
}  // namespace unmask
