// tokenizer.json and tokenizer_config.json of strangers: loaded or refused; what is loaded encodes, and decodes its
// own. The input is tokenizer.json up to its first zero byte, then tokenizer_config.json.
#include "text/tokenizer.h"

#include <algorithm>

#include "tests/fuzz/fuzz.h"

namespace {

using unmask::testing::Require;

constexpr absl::string_view kTexts[] = {"", "Masks fall.", "\xC3\xA9t\xC3\xA9 \xE2\x9C\x93\n\n  12345", "<|eot_id|>"};

void Use(const unmask::Tokenizer& tokenizer) {
  for (const absl::string_view text : kTexts) {
    const auto ids = tokenizer.Encode(text);
    if (!ids.ok()) continue;
    for (const int32_t id : *ids) {
      Require(id >= 0 && id < tokenizer.size(), "an id is below the size");
      Require(!tokenizer.IsSpecial(id), "text yields no special token");
    }
    Require(tokenizer.Decode(*ids, false).ok(), "ids decode");
  }
  if (tokenizer.has_chat_template()) {
    const unmask::ChatMessage messages[] = {{"user", "Masks <|eot_id|> fall."}};
    static_cast<void>(tokenizer.EncodeChat(messages).ok());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const unmask::testing::FuzzFolder folder;
  const absl::string_view input = unmask::testing::InputOf(data, size);
  const size_t end = std::min(input.find('\0'), input.size());
  folder.Write("tokenizer.json", input.substr(0, end));
  folder.Write("tokenizer_config.json", end < input.size() ? input.substr(end + 1) : "{}");
  const auto tokenizer = unmask::Tokenizer::Load(folder.path());
  if (tokenizer.ok()) {
    Use(**tokenizer);
  } else {
    Require(absl::IsInvalidArgument(tokenizer.status()), "a bad file is refused: " + tokenizer.status().ToString());
  }
  return 0;
}
