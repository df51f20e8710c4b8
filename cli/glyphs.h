// Text as terminals draw it: user-perceived characters and the cells they take.
#ifndef UNMASK_CLI_GLYPHS_H_
#define UNMASK_CLI_GLYPHS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace unmask {

// What a token shows of a character that it holds only in part (U+FFFD).
inline constexpr char kReplacementCharacter[] = "\xEF\xBF\xBD";

// One character with its combining marks, joiners and modifiers; a pair of regional indicators is one.
struct Glyph {
  std::string text = "";  // Safe to print: a control character stands as its visible symbol. A newline is "⏎".
  int width = 1;          // Cells: 0 (a mark with nothing to stand on), 1 or 2.
  bool newline = false;
  bool space = false;  // A line may break after it.
};

// Splits UTF-8. Control characters become visible symbols, bidirectional controls and separators U+2426, and bytes that
// are not UTF-8 U+FFFD: no text can move the cursor, change the colours or reorder a line.
std::vector<Glyph> SplitGlyphs(absl::string_view text);

// Cells of `text` on one line.
int DisplayWidth(absl::string_view text);

// The longest start of `text` that takes at most `width` cells, with "…" at its end where something was cut.
std::string FitToWidth(absl::string_view text, int width);

// `text` with control characters as their visible symbols: what a peer sent, safe to print.
std::string Printable(absl::string_view text);

bool IsUtf8(absl::string_view text);

}  // namespace unmask

#endif  // UNMASK_CLI_GLYPHS_H_
