#include "coordinator/access.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/status.h"
#include "coordinator/errors.h"

namespace unmask {
namespace {

constexpr std::chrono::milliseconds kReload(500);
constexpr size_t kLargestToken = 4096;  // Bytes; gRPC takes headers of 8 KiB in all.

constexpr uint32_t Bit(Scope scope) { return 1u << static_cast<int>(scope); }

absl::StatusOr<uint32_t> ParseScopes(absl::string_view list) {
  uint32_t scopes = 0;
  for (const absl::string_view name : absl::StrSplit(list, ',')) {
    uint32_t bit = 0;
    for (const Scope scope : {Scope::kInfer, Scope::kBatch, Scope::kAdmin}) {
      if (name == ScopeName(scope)) bit = Bit(scope);
    }
    if (bit == 0) return absl::InvalidArgumentError("a scope is none of infer, batch, admin");
    scopes |= bit;
  }
  return scopes;
}

absl::StatusOr<KnownToken> ParseLine(absl::string_view line) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (words.size() != 2) return absl::InvalidArgumentError("not SCOPE[,SCOPE...] and a SHA-256");
  KnownToken token;
  UNMASK_ASSIGN_OR_RETURN(token.scopes, ParseScopes(words[0]));
  const absl::string_view hex = words[1];
  bool is_hex = hex.size() == 2 * token.digest.size();
  for (const char c : hex) is_hex = is_hex && absl::ascii_isxdigit(static_cast<unsigned char>(c));
  if (!is_hex) return absl::InvalidArgumentError("the second word is not a SHA-256 of 64 hexadecimal digits");
  const std::string bytes = absl::HexStringToBytes(hex);
  std::copy(bytes.begin(), bytes.end(), token.digest.begin());
  return token;
}

// NOT_FOUND: unreadable.
absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError("it cannot be read");
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The token in "Bearer TOKEN"; empty where there is none.
absl::string_view TokenIn(absl::string_view authorization) {
  constexpr absl::string_view kScheme = "bearer ";
  if (!absl::StartsWithIgnoreCase(authorization, kScheme)) return "";
  return absl::StripAsciiWhitespace(authorization.substr(kScheme.size()));
}

// Every entry is compared, and to its end: the time tells nothing of how near a guess was.
uint32_t ScopesOf(absl::string_view token, const std::vector<KnownToken>& tokens) {
  std::array<uint8_t, 32> digest;
  SHA256(reinterpret_cast<const uint8_t*>(token.data()), token.size(), digest.data());
  uint32_t scopes = 0;
  for (const KnownToken& known : tokens) {
    const bool same = CRYPTO_memcmp(digest.data(), known.digest.data(), digest.size()) == 0;
    scopes |= same ? known.scopes : 0;
  }
  return scopes;
}

}  // namespace

absl::StatusOr<std::vector<KnownToken>> ParseTokens(absl::string_view content) {
  std::vector<KnownToken> tokens;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(content, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    absl::StatusOr<KnownToken> token = ParseLine(line);
    if (!token.ok()) return Annotate(token.status(), absl::StrCat("line ", number));
    tokens.push_back(*token);
  }
  return tokens;
}

Access::~Access() {
  if (!watch_.joinable()) return;
  {
    MutexLock lock(&mutex_);
    stop_ = true;
  }
  stopped_.SignalAll();
  watch_.join();
}

absl::Status Access::Require(const std::string& tokens_file) {
  file_ = tokens_file;
  absl::StatusOr<std::string> content = ReadFile(file_);
  if (content.ok() && content->empty()) content = absl::NotFoundError("it is empty");
  absl::StatusOr<Tokens> tokens = content.ok() ? ParseTokens(*content) : content.status();
  if (!tokens.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("auth-tokens: ", file_, ": ", tokens.status().message()));
  }
  LogInfo(tokens->size(), " bearer tokens from ", file_);
  {
    MutexLock lock(&mutex_);
    tokens_ = std::make_shared<const Tokens>(*std::move(tokens));
  }
  watch_ = std::thread([this, known = *std::move(content)] { Watch(known); });
  return absl::OkStatus();
}

// Compares contents, not times: a file replaced twice within a tick of its clock is not missed.
void Access::Watch(std::string known) {
  int looks_at_nothing = 0;
  while (true) {
    {
      MutexLock lock(&mutex_);
      const auto next = std::chrono::steady_clock::now() + kReload;
      while (!stop_ && stopped_.WaitUntil(&mutex_, next)) {
      }
      if (stop_) return;
    }
    absl::StatusOr<std::string> content = ReadFile(file_);
    // Gone or emptied perhaps only while it is replaced: the next look will tell.
    const bool nothing = !content.ok() || content->empty();
    looks_at_nothing = nothing ? looks_at_nothing + 1 : 0;
    if (looks_at_nothing == 1) continue;
    if (!content.ok()) {
      if (looks_at_nothing == 2) LogError("auth-tokens: ", file_, " is gone; its last tokens stay");
      continue;
    }
    if (*content == known) continue;
    known = *std::move(content);
    absl::StatusOr<Tokens> tokens = ParseTokens(known);
    if (!tokens.ok()) {
      LogError("auth-tokens: ", file_, ": ", tokens.status().message(), "; the tokens before the change stay");
      continue;
    }
    LogInfo(tokens->size(), " bearer tokens from ", file_);
    MutexLock lock(&mutex_);
    tokens_ = std::make_shared<const Tokens>(*std::move(tokens));
  }
}

absl::Status Access::Check(absl::string_view method, std::optional<absl::string_view> authorization) const {
  std::shared_ptr<const Tokens> tokens;
  {
    MutexLock lock(&mutex_);
    tokens = tokens_;
  }
  const std::optional<Scope> needed = ScopeOf(method);
  if (tokens == nullptr || needed == Scope::kOpen) return absl::OkStatus();
  const absl::string_view token = TokenIn(authorization.value_or(""));
  if (token.empty()) {
    return ServiceError(absl::StatusCode::kUnauthenticated, kTokenMissing, "a bearer token is needed");
  }
  const uint32_t scopes = token.size() > kLargestToken ? 0 : ScopesOf(token, *tokens);
  if (scopes == 0)
    return ServiceError(absl::StatusCode::kUnauthenticated, kTokenInvalid, "the bearer token is not valid");
  if (needed.has_value() && (scopes & Bit(*needed)) != 0) return absl::OkStatus();
  return ServiceError(absl::StatusCode::kPermissionDenied, kScopeMissing, "the bearer token lacks the method's scope",
                      {{"method", std::string(method)}, {"scope", std::string(needed ? ScopeName(*needed) : "none")}});
}

}  // namespace unmask
