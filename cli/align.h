// Puts tokens and their common text together again: a token that holds only a part of a character shows U+FFFD, and
// what it was part of is known only from the whole.
#ifndef UNMASK_CLI_ALIGN_H_
#define UNMASK_CLI_ALIGN_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace unmask {

// "<|eot_id|>": the text leaves such tokens out, unless they came from the user.
bool IsSpecialToken(absl::string_view token);

struct Alignment {
  // What each token shows. Of neighbours that share characters the first shows them all and the others nothing.
  std::vector<std::string> texts = {};
  int covered = 0;     // Tokens that the text reaches; those behind keep their own text.
  bool exact = false;  // The tokens do spell the text.
};

// `tokens`: the text of each token alone. The text may end inside a token (a stop string), and may lack the blank that
// the first token begins with.
Alignment AlignTokens(const std::vector<std::string>& tokens, absl::string_view text);

}  // namespace unmask

#endif  // UNMASK_CLI_ALIGN_H_
