#include "cli/gaps.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace unmask {
namespace {

constexpr absl::string_view kMask = "[MASK]";
constexpr absl::string_view kBlank = "___";

// Bytes of the run of underscores that `text` begins with.
size_t BlankLength(absl::string_view text) { return std::min(text.find_first_not_of('_'), text.size()); }

// Takes a gap off the front of `text`; 0 tokens: there is none.
absl::StatusOr<int> TakeGap(absl::string_view* text, int gap_tokens) {
  if (absl::StartsWith(*text, kBlank)) {
    text->remove_prefix(BlankLength(*text));
    return gap_tokens;
  }
  if (!absl::StartsWith(*text, kMask)) return 0;
  text->remove_prefix(kMask.size());
  size_t digits = 0;
  if (absl::StartsWith(*text, "*")) {
    while (1 + digits < text->size() && absl::ascii_isdigit((*text)[1 + digits])) ++digits;
  }
  if (digits == 0) return 1;
  const absl::string_view number = text->substr(1, digits);
  int tokens = 0;
  if (!absl::SimpleAtoi(number, &tokens) || tokens < 1 || tokens > kMaxGapTokens) {
    return absl::InvalidArgumentError(absl::StrCat("[MASK]*", number, ": a gap has 1 to ", kMaxGapTokens, " tokens"));
  }
  text->remove_prefix(1 + digits);
  return tokens;
}

}  // namespace

absl::StatusOr<std::vector<CanvasPart>> ParseGaps(absl::string_view text, int gap_tokens) {
  if (gap_tokens < 1 || gap_tokens > kMaxGapTokens) {
    return absl::InvalidArgumentError(absl::StrCat("gap-tokens ", gap_tokens, " is not in 1 to ", kMaxGapTokens));
  }
  std::vector<CanvasPart> parts;
  std::string given;
  int total = 0;
  while (!text.empty()) {
    if (absl::StartsWith(text, "\\")) {
      const absl::string_view escaped = text.substr(1);
      const size_t length = absl::StartsWith(escaped, kMask)    ? kMask.size()
                            : absl::StartsWith(escaped, kBlank) ? BlankLength(escaped)
                                                                : 0;
      if (length > 0) {
        absl::StrAppend(&given, escaped.substr(0, length));
        text.remove_prefix(1 + length);
        continue;
      }
    }
    UNMASK_ASSIGN_OR_RETURN(const int tokens, TakeGap(&text, gap_tokens));
    if (tokens == 0) {
      given += text.front();
      text.remove_prefix(1);
      continue;
    }
    total += tokens;
    if (total > kMaxGapTokens) {
      return absl::InvalidArgumentError(absl::StrCat("the gaps have more than ", kMaxGapTokens, " tokens"));
    }
    if (!given.empty()) parts.push_back({.given = std::move(given)});
    given.clear();
    if (!parts.empty() && parts.back().masks > 0) {
      parts.back().masks += tokens;
    } else {
      parts.push_back({.masks = tokens});
    }
  }
  if (total == 0) {
    return absl::InvalidArgumentError(
        "nothing to fill in: write [MASK] for one token, [MASK]*3 for three, ___ for a gap");
  }
  if (!given.empty()) parts.push_back({.given = std::move(given)});
  return parts;
}

void ToSegments(const std::vector<CanvasPart>& parts, v1::InfillRequest* request) {
  for (const CanvasPart& part : parts) {
    v1::Segment* segment = request->add_segments();
    if (part.masks > 0) {
      segment->set_masks(part.masks);
    } else {
      segment->set_text(part.given);
    }
  }
}

}  // namespace unmask
