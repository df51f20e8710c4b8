// A text with gaps, as people write it.
#ifndef UNMASK_CLI_GAPS_H_
#define UNMASK_CLI_GAPS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/canvas_state.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

inline constexpr int kDefaultGapTokens = 4;
inline constexpr int kMaxGapTokens = 1 << 16;  // More than any model's context.

// `[MASK]` is a gap of one token, `[MASK]*3` of three, three or more underscores one of `gap_tokens`. Gaps side by side
// are one. A backslash before any of them makes it plain text (`\[MASK]`, `\___`) and is dropped; any other backslash
// stays. Neighbours alternate: text, gap, text... INVALID_ARGUMENT: no gap, a gap of 0 or too many tokens.
absl::StatusOr<std::vector<CanvasPart>> ParseGaps(absl::string_view text, int gap_tokens = kDefaultGapTokens);

void ToSegments(const std::vector<CanvasPart>& parts, v1::InfillRequest* request);

}  // namespace unmask

#endif  // UNMASK_CLI_GAPS_H_
