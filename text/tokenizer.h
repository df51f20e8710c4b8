// Text to token ids and back, and chat templates: a thin face over Hugging Face's `tokenizers` and over `minijinja`
// (text/rust), so that a checkpoint's own tokenizer.json and template mean here what they mean in its home.
//
// Byte-level BPE only (LLaDA's family): a token is a string of bytes, and text is their concatenation.
#ifndef UNMASK_TEXT_TOKENIZER_H_
#define UNMASK_TEXT_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace unmask {

struct ChatMessage {
  std::string role;
  std::string content;
};

// Immutable after Load; every method may be called from any number of threads at once.
//
// A "special" token is an added token marked special in tokenizer.json (in LLaDA all of them: <|eot_id|>, the mask,
// ...).
class Tokenizer {
 public:
  // Reads `folder`/tokenizer.json and, where present, tokenizer_config.json and chat_template.jinja (which wins over
  // the config's `chat_template`; of a list of named templates the one named "default" is taken). NOT_FOUND: the folder
  // has no tokenizer.json. INVALID_ARGUMENT, naming the file: one that is broken or asks for something not supported (a
  // decoder that is not ByteLevel, a template with a syntax error).
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& folder);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // One more than the largest id: ids are [0, size()).
  int32_t size() const;

  // Ids of a user's text. The strings of special tokens in it stay plain text: no special id ever comes out. Nothing is
  // added before or after. INVALID_ARGUMENT: not UTF-8.
  absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view text) const;

  bool has_chat_template() const;

  // Ids of a conversation under the checkpoint's template, which ends with the header of the answer to be generated.
  // Only the template's own text yields special ids, never a role or a content, not even where one message's end and
  // the next one's beginning would spell one. Roles are passed on as they are: which ones exist is the template's
  // affair. FAILED_PRECONDITION: no template. INVALID_ARGUMENT: not UTF-8, or the template raised an error (its message
  // is passed on) or ran over its bounds of instructions, depth, memory or output.
  absl::StatusOr<std::vector<int32_t>> EncodeChat(absl::Span<const ChatMessage> messages) const;

  // The text that EncodeChat encodes. Errors as there.
  absl::StatusOr<std::string> RenderChat(absl::Span<const ChatMessage> messages) const;

  // The tokens' bytes, concatenated, as UTF-8 with U+FFFD for what is malformed; no clean-up of spaces.
  // INVALID_ARGUMENT: an id outside [0, size()), naming its index.
  absl::StatusOr<std::string> Decode(absl::Span<const int32_t> ids, bool skip_special) const;

  // The bytes of one token, often part of a character. Empty for an id that names no token.
  absl::string_view Piece(int32_t id) const;

  // False for an id that names no token.
  bool IsSpecial(int32_t id) const;

  // The id of the token spelt `token`: as text for an added token ("<|eot_id|>"), as bytes for any other (" the").
  std::optional<int32_t> TokenId(absl::string_view token) const;

 private:
  struct Rep;
  explicit Tokenizer(std::unique_ptr<Rep> rep);
  const std::unique_ptr<const Rep> rep_;
};

// Text of a growing row of ids, in pieces that end between characters and never change again: the concatenation of all
// pieces and of Flush() is what Decode(ids, /*skip_special=*/true) returns for them. Linear in what is appended. Ids
// that name no token have no text, as in Hugging Face's decode.
class TextStream {
 public:
  // `tokenizer` must outlive this.
  explicit TextStream(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  // The text that `ids` make certain: all but an unfinished character at the end (at most 3 bytes).
  std::string Append(absl::Span<const int32_t> ids);

  // Ends the text: U+FFFD where a character is unfinished, else nothing. The stream is then as new.
  std::string Flush();

 private:
  const Tokenizer* tokenizer_;
  std::string tail_;  // The beginning of a character that is not whole yet.
};

}  // namespace unmask

#endif  // UNMASK_TEXT_TOKENIZER_H_
