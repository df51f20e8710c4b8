#include "text/tokenizer.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "text/rust/unmask_text.h"
#include "text/utf8.h"

namespace unmask {
namespace {

namespace fs = std::filesystem;

struct ReplyDeleter {
  void operator()(UnmaskReply* reply) const { unmask_reply_free(reply); }
};
using Reply = std::unique_ptr<UnmaskReply, ReplyDeleter>;

UnmaskBytes BytesOf(absl::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

absl::string_view TextOf(const Reply& reply) {
  const UnmaskBytes bytes = unmask_reply_bytes(reply.get());
  return {reinterpret_cast<const char*>(bytes.data), bytes.size};
}

absl::Span<const int32_t> IdsOf(const Reply& reply) {
  size_t size = 0;
  const int32_t* ids = unmask_reply_ids(reply.get(), &size);
  return {ids, size};
}

absl::Status StatusOf(const Reply& reply) {
  const int32_t code = unmask_reply_code(reply.get());
  if (code == 0) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(code), TextOf(reply));
}

absl::StatusOr<std::vector<int32_t>> IdsOrError(const Reply& reply) {
  UNMASK_RETURN_IF_ERROR(StatusOf(reply));
  const absl::Span<const int32_t> ids = IdsOf(reply);
  return std::vector<int32_t>(ids.begin(), ids.end());
}

// The file's contents; NOT_FOUND without one.
absl::StatusOr<std::string> ReadFile(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return absl::NotFoundError(absl::StrCat(path.string(), ": no such file"));
  std::ifstream file(path, std::ios::binary);
  std::ostringstream contents;
  if (!(fs::is_regular_file(path, error) && file && contents << file.rdbuf())) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(), ": cannot be read, or is empty"));
  }
  return std::move(contents).str();
}

absl::StatusOr<std::string> ReadOptionalFile(const fs::path& path) {
  absl::StatusOr<std::string> contents = ReadFile(path);
  if (absl::IsNotFound(contents.status())) return std::string();
  return contents;
}

// Role, content, role, content, ...
std::vector<UnmaskBytes> StringsOf(absl::Span<const ChatMessage> messages) {
  std::vector<UnmaskBytes> strings;
  strings.reserve(2 * messages.size());
  for (const ChatMessage& message : messages) {
    strings.push_back(BytesOf(message.role));
    strings.push_back(BytesOf(message.content));
  }
  return strings;
}

}  // namespace

struct Tokenizer::Rep {
  struct TokenizerDeleter {
    void operator()(UnmaskTokenizer* tokenizer) const { unmask_tokenizer_free(tokenizer); }
  };

  struct Token {
    absl::string_view bytes;
    int32_t kind;  // UNMASK_TOKEN_...
  };

  // Copies the vocabulary out, so that decoding never leaves C++.
  void ReadVocabulary(const Reply& vocabulary) {
    bytes = std::string(TextOf(vocabulary));
    const absl::Span<const int32_t> pairs = IdsOf(vocabulary);
    tokens.reserve(pairs.size() / 2);
    absl::string_view rest = bytes;
    for (size_t i = 0; i < pairs.size(); i += 2) {
      tokens.push_back({rest.substr(0, pairs[i]), pairs[i + 1]});
      rest.remove_prefix(pairs[i]);
    }
    ids.reserve(tokens.size());
    for (const bool added : {true, false}) {  // An added token goes before a plain one that is spelt the same.
      for (size_t id = 0; id < tokens.size(); ++id) {
        const int32_t kind = tokens[id].kind;
        if (kind == UNMASK_TOKEN_ABSENT || (kind != UNMASK_TOKEN_PLAIN) != added) continue;
        ids.emplace(tokens[id].bytes, static_cast<int32_t>(id));
      }
    }
  }

  // Null for an id that names no token.
  const Token* Find(int32_t id) const {
    if (id < 0 || static_cast<size_t>(id) >= tokens.size()) return nullptr;
    const Token& token = tokens[static_cast<size_t>(id)];
    return token.kind == UNMASK_TOKEN_ABSENT ? nullptr : &token;
  }

  std::unique_ptr<UnmaskTokenizer, TokenizerDeleter> tokenizer;
  std::string bytes;                                    // Of all tokens, which view it.
  std::vector<Token> tokens;                            // By id.
  absl::flat_hash_map<absl::string_view, int32_t> ids;  // By spelling.
};

Tokenizer::Tokenizer(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& folder) {
  const fs::path path(folder);
  UNMASK_ASSIGN_OR_RETURN(const std::string json, ReadFile(path / "tokenizer.json"));
  UNMASK_ASSIGN_OR_RETURN(const std::string config, ReadOptionalFile(path / "tokenizer_config.json"));
  UNMASK_ASSIGN_OR_RETURN(const std::string chat_template, ReadOptionalFile(path / "chat_template.jinja"));

  UnmaskTokenizer* tokenizer = nullptr;
  const Reply loaded(unmask_tokenizer_load(BytesOf(json), BytesOf(config), BytesOf(chat_template), &tokenizer));
  UNMASK_RETURN_IF_ERROR(Annotate(StatusOf(loaded), folder));
  auto rep = std::make_unique<Rep>();
  rep->tokenizer.reset(tokenizer);
  const Reply vocabulary(unmask_tokenizer_vocabulary(tokenizer));
  UNMASK_RETURN_IF_ERROR(Annotate(StatusOf(vocabulary), folder));
  rep->ReadVocabulary(vocabulary);
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(rep)));
}

int32_t Tokenizer::size() const { return static_cast<int32_t>(rep_->tokens.size()); }

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(absl::string_view text) const {
  return IdsOrError(Reply(unmask_encode(rep_->tokenizer.get(), BytesOf(text))));
}

bool Tokenizer::has_chat_template() const { return unmask_tokenizer_has_template(rep_->tokenizer.get()) != 0; }

absl::StatusOr<std::vector<int32_t>> Tokenizer::EncodeChat(absl::Span<const ChatMessage> messages) const {
  const std::vector<UnmaskBytes> strings = StringsOf(messages);
  return IdsOrError(Reply(unmask_chat_encode(rep_->tokenizer.get(), strings.data(), messages.size())));
}

absl::StatusOr<std::string> Tokenizer::RenderChat(absl::Span<const ChatMessage> messages) const {
  const std::vector<UnmaskBytes> strings = StringsOf(messages);
  const Reply reply(unmask_chat_render(rep_->tokenizer.get(), strings.data(), messages.size()));
  UNMASK_RETURN_IF_ERROR(StatusOf(reply));
  return std::string(TextOf(reply));
}

absl::StatusOr<std::string> Tokenizer::Decode(absl::Span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("ids[", i, "] = ", ids[i], " is outside the tokenizer's [0, ", size(), ")"));
    }
    if (skip_special && IsSpecial(ids[i])) continue;
    absl::StrAppend(&bytes, Piece(ids[i]));
  }
  std::string text;
  if (AppendUtf8(bytes, &text) < bytes.size()) absl::StrAppend(&text, kReplacementCharacter);
  return text;
}

absl::string_view Tokenizer::Piece(int32_t id) const {
  const Rep::Token* token = rep_->Find(id);
  return token == nullptr ? absl::string_view() : token->bytes;
}

bool Tokenizer::IsSpecial(int32_t id) const {
  const Rep::Token* token = rep_->Find(id);
  return token != nullptr && token->kind == UNMASK_TOKEN_SPECIAL;
}

std::optional<int32_t> Tokenizer::TokenId(absl::string_view token) const {
  const auto found = rep_->ids.find(token);
  if (found == rep_->ids.end()) return std::nullopt;
  return found->second;
}

std::string TextStream::Append(absl::Span<const int32_t> ids) {
  for (const int32_t id : ids) {
    if (!tokenizer_->IsSpecial(id)) absl::StrAppend(&tail_, tokenizer_->Piece(id));
  }
  std::string text;
  tail_.erase(0, AppendUtf8(tail_, &text));
  return text;
}

std::string TextStream::Flush() {
  const bool unfinished = !std::exchange(tail_, std::string()).empty();
  return unfinished ? std::string(kReplacementCharacter) : std::string();
}

}  // namespace unmask
