#include "cli/align.h"

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "cli/glyphs.h"

namespace unmask {
namespace {

bool IsPartial(const std::string& token) { return absl::StrContains(token, kReplacementCharacter); }

bool IsBoundary(absl::string_view text, size_t i) {
  return i >= text.size() || (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80;
}

// Where the characters of a run of partial tokens end: at least one character, then `next` (or the end of the text).
size_t EndOfRun(absl::string_view text, absl::string_view next) {
  for (size_t end = 1; end < text.size() && !next.empty(); ++end) {
    const absl::string_view rest = text.substr(end);
    if (IsBoundary(text, end) && (absl::StartsWith(rest, next) || absl::StartsWith(next, rest))) return end;
  }
  return text.size();
}

}  // namespace

bool IsSpecialToken(absl::string_view token) { return absl::StartsWith(token, "<|") && absl::EndsWith(token, "|>"); }

Alignment AlignTokens(const std::vector<std::string>& tokens, absl::string_view text) {
  Alignment alignment{.texts = tokens};
  size_t i = 0;
  while (i < tokens.size() && !text.empty()) {
    if (IsPartial(tokens[i])) {
      // The run: parts, and tokens without text between them. `next`: the first token behind it with a text.
      size_t end = i, next = i;
      for (; next < tokens.size(); ++next) {
        if (IsPartial(tokens[next])) {
          end = next + 1;
        } else if (!tokens[next].empty() && !IsSpecialToken(tokens[next])) {
          break;
        }
      }
      const size_t length = EndOfRun(text, next < tokens.size() ? absl::string_view(tokens[next]) : "");
      alignment.texts[i] = std::string(text.substr(0, length));
      for (size_t k = i + 1; k < end; ++k) alignment.texts[k].clear();
      text.remove_prefix(length);
      i = end;
      continue;
    }
    absl::string_view token = tokens[i];
    if (i == 0 && !absl::StartsWith(text, " ")) absl::ConsumePrefix(&token, " ");
    if (IsSpecialToken(token) && !absl::StartsWith(text, token)) token = "";
    if (absl::StartsWith(token, text)) token = token.substr(0, text.size());
    if (!absl::StartsWith(text, token)) return {.texts = tokens, .covered = static_cast<int>(tokens.size())};
    alignment.texts[i] = std::string(token);
    text.remove_prefix(token.size());
    ++i;
  }
  alignment.covered = static_cast<int>(i);
  alignment.exact = text.empty();
  return alignment;
}

}  // namespace unmask
