#include "cli/glyphs.h"

#include <gtest/gtest.h>

namespace unmask {
namespace {

TEST(GlyphsTest, WideCharactersTakeTwoCellsAndMarksNone) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("文字"), 4);
  EXPECT_EQ(DisplayWidth("한글"), 4);
  EXPECT_EQ(DisplayWidth("ｆｕ"), 4);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1);  // e and a combining acute.
  EXPECT_EQ(DisplayWidth("🎭"), 2);
  EXPECT_EQ(DisplayWidth("\u1112\u1161\u11ab"), 2);  // Three jamo of one syllable.
  EXPECT_EQ(DisplayWidth("\u00ad"), 1);              // A soft hyphen is drawn.
}

TEST(GlyphsTest, JoinedEmojiAreOneGlyph) {
  EXPECT_EQ(SplitGlyphs("👩‍👩‍👧").size(), 1u);
  EXPECT_EQ(DisplayWidth("👩‍👩‍👧"), 2);
  EXPECT_EQ(SplitGlyphs("👍🏽").size(), 1u);
  EXPECT_EQ(SplitGlyphs("🇫🇷🇩🇪").size(), 2u);
  EXPECT_EQ(DisplayWidth("🇫🇷🇩🇪"), 4);
  EXPECT_EQ(DisplayWidth("❤\uFE0F"), 2);
}

TEST(GlyphsTest, NoTextCanActOnTheTerminal) {
  EXPECT_EQ(Printable("a\x1b[31mb"), "a␛[31mb");
  EXPECT_EQ(Printable("a\rb\tc\x7f"), "a␍b⇥c␡");
  EXPECT_EQ(Printable("a\u009b31m"), "a␦31m");  // CSI as one C1 control.
  EXPECT_EQ(Printable("x\u202Ey"), "x␦y");      // Right-to-left override.
  EXPECT_EQ(Printable("\u2066\u2028\uFFFF"), "␦␦␦");
}

TEST(GlyphsTest, BytesThatAreNoUtf8AreReplacementCharacters) {
  EXPECT_EQ(Printable("a\xE4\xBD"), "a��");          // Cut.
  EXPECT_EQ(Printable("\xC0\x80"), "��");            // Overlong.
  EXPECT_EQ(Printable("\xED\xA0\x80"), "���");       // A surrogate.
  EXPECT_EQ(Printable("\xF5\x80\x80\x80"), "����");  // Above U+10FFFF.
  EXPECT_EQ(DisplayWidth("\xFF"), 1);
}

TEST(GlyphsTest, Utf8IsRecognised) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("plain, é, 文, 🎭, \uFFFD"));
  for (const char* bad : {"\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "a\xFF"})
    EXPECT_FALSE(IsUtf8(bad));
}

TEST(GlyphsTest, FitToWidthCutsBetweenCharacters) {
  EXPECT_EQ(FitToWidth("abcdef", 6), "abcdef");
  EXPECT_EQ(FitToWidth("abcdef", 5), "abcd…");
  EXPECT_EQ(FitToWidth("文字文字", 5), "文字…");
  EXPECT_EQ(FitToWidth("文字文字", 4), "文…");
  EXPECT_EQ(FitToWidth("abc", 0), "");
}

TEST(GlyphsTest, ANewlineIsMarked) {
  const std::vector<Glyph> glyphs = SplitGlyphs("a\n\u0301b");
  ASSERT_EQ(glyphs.size(), 4u);
  EXPECT_TRUE(glyphs[1].newline);
  EXPECT_EQ(glyphs[2].width, 0);  // A mark does not climb over the newline.
}

}  // namespace
}  // namespace unmask
