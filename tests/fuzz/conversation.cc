// What users say, under a good template: whatever it holds, no control token comes out that the template did not write.
// The input is pieces: role, content, role, content, ...
#include <algorithm>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "text/tokenizer.h"

namespace {

using unmask::testing::Require;

std::vector<int32_t> Specials(const unmask::Tokenizer& tokenizer, const std::vector<unmask::ChatMessage>& messages) {
  std::vector<int32_t> ids = tokenizer.EncodeChat(messages).value();
  ids.erase(std::remove_if(ids.begin(), ids.end(), [&](int32_t id) { return !tokenizer.IsSpecial(id); }), ids.end());
  return ids;
}

// Whether the tokenizer's normal form (NFC) leaves a text as it is.
bool IsNormal(const unmask::Tokenizer& tokenizer, const std::string& text) {
  const auto ids = tokenizer.Encode(text);
  return ids.ok() && tokenizer.Decode(*ids, false).value() == text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto tokenizer =
      unmask::Tokenizer::Load(std::getenv("UNMASK_SOURCE_DIR") + std::string("/models/random")).value();
  std::vector<unmask::ChatMessage> messages;
  std::vector<unmask::ChatMessage> harmless;
  for (unmask::testing::Pieces pieces(unmask::testing::InputOf(data, size)); !pieces.done();) {
    const absl::string_view role = pieces.Next();
    const absl::string_view content = pieces.Next();
    messages.push_back({std::string(role), std::string(content)});
    harmless.push_back({"user", "x"});
  }
  const auto ids = tokenizer->EncodeChat(messages);
  if (!ids.ok()) {
    Require(absl::IsInvalidArgument(ids.status()), "only malformed text is refused: " + ids.status().ToString());
    return 0;
  }
  Require(Specials(*tokenizer, messages) == Specials(*tokenizer, harmless), "only the template writes control tokens");
  const bool normal = std::all_of(messages.begin(), messages.end(), [](const unmask::ChatMessage& message) {
    return IsNormal(*tokenizer, message.role) && IsNormal(*tokenizer, message.content);
  });
  Require(!normal || tokenizer->Decode(*ids, false).value() == tokenizer->RenderChat(messages).value(),
          "the ids are the text's");
  return 0;
}
