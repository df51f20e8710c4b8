#include "cli/ansi.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace unmask {
namespace {

std::string ColorCode(int base, Rgb color, ColorDepth depth) {  // base: 38 text, 48 background.
  if (depth == ColorDepth::k256) return absl::StrCat(";", base, ";5;", NearestOf256(color));
  return absl::StrCat(";", base, ";2;", color.r, ";", color.g, ";", color.b);
}

std::string StyleCode(const Style& style, ColorDepth depth) {
  std::string codes = "0";
  if (style.bold) codes += ";1";
  if (style.dim) codes += ";2";
  if (style.italic) codes += ";3";
  if (style.underline) codes += ";4";
  if (depth == ColorDepth::kMonochrome) {
    if (style.background) codes += ";7";
  } else {
    if (style.color) codes += ColorCode(38, *style.color, depth);
    if (style.background) codes += ColorCode(48, *style.background, depth);
  }
  return absl::StrCat("\x1b[", codes, "m");
}

int Distance(Rgb a, Rgb b) {
  const int r = a.r - b.r, g = a.g - b.g, bl = a.b - b.b;
  return r * r + g * g + bl * bl;
}

std::string Env(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

ColorDepth ColorDepthOf(absl::string_view term, absl::string_view colorterm, absl::string_view no_color) {
  if (term.empty() || term == "dumb") return ColorDepth::kPlain;
  if (!no_color.empty() || term == "linux" || absl::StartsWith(term, "vt")) return ColorDepth::kMonochrome;
  const bool direct = colorterm == "truecolor" || colorterm == "24bit" || absl::EndsWith(term, "-direct");
  return direct ? ColorDepth::kTrueColor : ColorDepth::k256;
}

ColorDepth ColorDepthFromEnvironment() { return ColorDepthOf(Env("TERM"), Env("COLORTERM"), Env("NO_COLOR")); }

std::string EncodeLine(const Line& line, ColorDepth depth) {
  if (depth == ColorDepth::kPlain) return PlainText(line);
  std::string out;
  Style current;
  for (const Cell& cell : line) {
    if (!(cell.style == current)) out += StyleCode(cell.style, depth);
    current = cell.style;
    out += cell.text;
  }
  if (!(current == Style{})) out += "\x1b[0m";
  return out;
}

int NearestOf256(Rgb color) {
  static constexpr int kLevels[] = {0, 95, 135, 175, 215, 255};
  const auto level = [](uint8_t v) { return v < 48 ? 0 : v < 115 ? 1 : (v - 35) / 40; };
  const int r = level(color.r), g = level(color.g), b = level(color.b);
  const Rgb cube{static_cast<uint8_t>(kLevels[r]), static_cast<uint8_t>(kLevels[g]), static_cast<uint8_t>(kLevels[b])};
  const int step = std::clamp(((color.r + color.g + color.b) / 3 - 3) / 10, 0, 23);
  const uint8_t value = 8 + 10 * step;
  return Distance(color, {value, value, value}) < Distance(color, cube) ? 232 + step : 16 + 36 * r + 6 * g + b;
}

}  // namespace unmask
