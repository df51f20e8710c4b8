#include "cli/glyphs.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>

#include "cli/unicode_widths.h"

namespace unmask {
namespace {

constexpr char32_t kInvalid = 0xFFFD;
constexpr char32_t kZeroWidthJoiner = 0x200D;
constexpr char32_t kEmojiVariation = 0xFE0F;

template <size_t n>
bool Contains(const CodePointRange (&ranges)[n], char32_t c) {
  const auto* range = std::upper_bound(std::begin(ranges), std::end(ranges), c,
                                       [](char32_t value, const CodePointRange& r) { return value < r.first; });
  return range != std::begin(ranges) && c <= std::prev(range)->last;
}

int CodePointWidth(char32_t c) { return Contains(kZeroWidthRanges, c) ? 0 : Contains(kWideRanges, c) ? 2 : 1; }

// Takes one code point off the front, or one byte that does not start any (Unicode's table 3-7 of well-formed bytes).
std::optional<char32_t> TakeCodePoint(absl::string_view* text) {
  const auto byte = [&](size_t i) { return i < text->size() ? static_cast<uint8_t>((*text)[i]) : 0u; };
  const uint32_t lead = byte(0);
  const int length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  char32_t c = length < 2 ? lead : lead & (0x7Fu >> length);
  bool valid = length > 0;
  for (int i = 1; i < length; ++i) {
    valid = valid && (byte(i) & 0xC0) == 0x80;
    c = c << 6 | (byte(i) & 0x3F);
  }
  const bool overlong = (length == 3 && c < 0x800) || (length == 4 && c < 0x10000);
  valid = valid && !overlong && (c < 0xD800 || c > 0xDFFF) && c <= 0x10FFFF;
  text->remove_prefix(valid ? length : 1);
  return valid ? std::make_optional(c) : std::nullopt;
}

void AppendUtf8(char32_t c, std::string* out) {
  if (c < 0x80) {
    *out += static_cast<char>(c);
    return;
  }
  const int length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  *out += static_cast<char>((0xF00 >> length) | (c >> (6 * (length - 1))));
  for (int i = length - 2; i >= 0; --i) *out += static_cast<char>(0x80 | ((c >> (6 * i)) & 0x3F));
}

bool IsRegionalIndicator(char32_t c) { return c >= 0x1F1E6 && c <= 0x1F1FF; }
bool IsEmojiModifier(char32_t c) { return c >= 0x1F3FB && c <= 0x1F3FF; }

// Code points that would act on the terminal or on the order of a line, as something that only looks.
char32_t Visible(char32_t c) {
  constexpr char32_t kSubstitute = 0x2426;
  if (c == '\n') return 0x23CE;
  if (c == '\t') return 0x21E5;
  if (c < 0x20) return 0x2400 + c;
  if (c == 0x7F) return 0x2421;
  if (c < 0xA0 && c > 0x7F) return kSubstitute;  // C1: CSI and its kin.
  if (c == 0x61C || c == 0x200E || c == 0x200F || (c >= 0x2028 && c <= 0x202E)) return kSubstitute;
  if ((c >= 0x2066 && c <= 0x2069) || (c & 0xFFFE) == 0xFFFE) return kSubstitute;  // Non-characters break XML.
  return c;
}

}  // namespace

std::vector<Glyph> SplitGlyphs(absl::string_view text) {
  std::vector<Glyph> glyphs;
  char32_t previous = 0;
  bool open_pair = false;  // The last glyph is one regional indicator that waits for its second.
  while (!text.empty()) {
    const char32_t raw = TakeCodePoint(&text).value_or(kInvalid);
    const char32_t c = Visible(raw);
    const int width = CodePointWidth(c);
    const bool pairs = IsRegionalIndicator(c) && open_pair;
    const bool can_join = !glyphs.empty() && !glyphs.back().newline;
    if (can_join &&
        (width == 0 || previous == kZeroWidthJoiner || pairs || (IsEmojiModifier(c) && glyphs.back().width == 2))) {
      AppendUtf8(c, &glyphs.back().text);
      if (c == kEmojiVariation || pairs) glyphs.back().width = 2;
      open_pair = false;
    } else {
      Glyph glyph{.text = "", .width = width, .newline = raw == '\n', .space = raw == ' ' || raw == '\t'};
      AppendUtf8(c, &glyph.text);
      glyphs.push_back(std::move(glyph));
      open_pair = IsRegionalIndicator(c);
    }
    previous = c;
  }
  return glyphs;
}

int DisplayWidth(absl::string_view text) {
  int width = 0;
  for (const Glyph& glyph : SplitGlyphs(text)) width += glyph.width;
  return width;
}

std::string FitToWidth(absl::string_view text, int width) {
  const std::vector<Glyph> glyphs = SplitGlyphs(text);
  std::string whole, cut;
  int cells = 0;
  for (const Glyph& glyph : glyphs) {
    if (cells + glyph.width <= width - 1) cut = whole + glyph.text;
    whole += glyph.text;
    cells += glyph.width;
  }
  if (cells <= width) return whole;
  return width < 1 ? "" : cut + "…";
}

std::string Printable(absl::string_view text) {
  std::string printable;
  for (const Glyph& glyph : SplitGlyphs(text)) printable += glyph.text;
  return printable;
}

bool IsUtf8(absl::string_view text) {
  while (!text.empty()) {
    if (!TakeCodePoint(&text)) return false;
  }
  return true;
}

}  // namespace unmask
