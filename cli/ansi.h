// Lines of cells as escape sequences.
#ifndef UNMASK_CLI_ANSI_H_
#define UNMASK_CLI_ANSI_H_

#include <string>

#include "absl/strings/string_view.h"
#include "cli/cell.h"

namespace unmask {

enum class ColorDepth {
  kPlain,       // No escapes at all.
  kMonochrome,  // Bold, dim, reverse; no colours (NO_COLOR).
  k256,
  kTrueColor,
};

// What a terminal with these environment variables shows. `no_color`: set and not empty (https://no-color.org).
ColorDepth ColorDepthOf(absl::string_view term, absl::string_view colorterm, absl::string_view no_color);
ColorDepth ColorDepthFromEnvironment();

// Starts and ends with all attributes off; no newline.
std::string EncodeLine(const Line& line, ColorDepth depth);

// The nearest of xterm's 256 colours: of its 6x6x6 cube and its 24 greys.
int NearestOf256(Rgb color);

}  // namespace unmask

#endif  // UNMASK_CLI_ANSI_H_
