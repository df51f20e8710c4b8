// Who may call what: bearer tokens, known by their SHA-256 only, each with its scopes.
//
// The file has one line a token, `SCOPE[,SCOPE...] HEX`, HEX the SHA-256 of the token's bytes; `#` begins a comment.
// Scopes are infer, batch and admin. It is read anew within a second of a change: of an emptied one nobody may call
// anything any more; one that is broken or gone is logged, and the tokens before it stay.
#ifndef UNMASK_COORDINATOR_ACCESS_H_
#define UNMASK_COORDINATOR_ACCESS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "coordinator/method_scopes.h"

namespace unmask {

struct KnownToken {
  std::array<uint8_t, 32> digest;  // SHA-256.
  uint32_t scopes = 0;             // Bit 1 << Scope.
};

// INVALID_ARGUMENT names the line and what is wrong with it, and holds nothing of its content: it may be a token that
// somebody pasted.
absl::StatusOr<std::vector<KnownToken>> ParseTokens(absl::string_view content);

// Thread-safe.
class Access {
 public:
  // Everybody may call everything.
  Access() = default;
  ~Access();
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;

  // From now on only holders of the file's tokens. Once, before any call. FAILED_PRECONDITION names a file that cannot
  // be read or used.
  absl::Status Require(const std::string& tokens_file);

  // Whether a caller with this `authorization` header (none: nullopt) may call the method. UNAUTHENTICATED with reason
  // TOKEN_MISSING or TOKEN_INVALID, PERMISSION_DENIED with SCOPE_MISSING. Takes the same time for every wrong token.
  absl::Status Check(absl::string_view method, std::optional<absl::string_view> authorization) const;

 private:
  using Tokens = std::vector<KnownToken>;
  void Watch(std::string known);

  std::string file_;
  mutable Mutex mutex_;
  CondVar stopped_;
  std::shared_ptr<const Tokens> tokens_ ABSL_GUARDED_BY(mutex_);  // Null: no token is needed.
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread watch_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_ACCESS_H_
