// The error table of the public service: a canonical code, a constant reason, and details for machines.
//
// Errors are absl::Status whose payload is a serialised google.rpc.Status with ErrorInfo (domain "unmask") and, where
// they apply, BadRequest and RetryInfo; services send it as grpc-status-details-bin. INVALID_ARGUMENT messages carry
// field, value and bound. All other messages are constant, so that clients and load testers can group by them; what
// varies is metadata.
#ifndef UNMASK_COORDINATOR_ERRORS_H_
#define UNMASK_COORDINATOR_ERRORS_H_

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace unmask {

// Reasons, as clients see them in ErrorInfo.
inline constexpr char kMalformedRequest[] = "MALFORMED_REQUEST";
inline constexpr char kInputMissing[] = "INPUT_MISSING";
inline constexpr char kChatInvalid[] = "CHAT_INVALID";
inline constexpr char kOptionInvalid[] = "OPTION_INVALID";
inline constexpr char kTokenOutOfRange[] = "TOKEN_OUT_OF_RANGE";
inline constexpr char kMaskTokenInPrompt[] = "MASK_TOKEN_IN_PROMPT";
inline constexpr char kSequenceTooLong[] = "SEQUENCE_TOO_LONG";
inline constexpr char kTooManyStops[] = "TOO_MANY_STOPS";
inline constexpr char kTokenizerMissing[] = "TOKENIZER_MISSING";
inline constexpr char kTokenMissing[] = "TOKEN_MISSING";
inline constexpr char kTokenInvalid[] = "TOKEN_INVALID";
inline constexpr char kScopeMissing[] = "SCOPE_MISSING";
inline constexpr char kModelNotFound[] = "MODEL_NOT_FOUND";
inline constexpr char kModelLoading[] = "MODEL_LOADING";
inline constexpr char kNoHealthyReplica[] = "NO_HEALTHY_REPLICA";
inline constexpr char kDraining[] = "DRAINING";
inline constexpr char kOverloaded[] = "OVERLOADED";
inline constexpr char kDeadline[] = "DEADLINE";
inline constexpr char kCancelled[] = "CANCELLED_BY_CLIENT";
inline constexpr char kPoisonRequest[] = "POISON_REQUEST";
inline constexpr char kNumericsFault[] = "NUMERICS_FAULT";
inline constexpr char kStoreMissing[] = "STORE_MISSING";
inline constexpr char kStorageFull[] = "STORAGE_FULL";
inline constexpr char kStorageFailed[] = "STORAGE_FAILED";
inline constexpr char kJobInvalid[] = "JOB_INVALID";
inline constexpr char kJobExists[] = "JOB_EXISTS";
inline constexpr char kJobNotFound[] = "JOB_NOT_FOUND";
inline constexpr char kJobNotTerminal[] = "JOB_NOT_TERMINAL";
inline constexpr char kBatchInputInvalid[] = "BATCH_INPUT_INVALID";
inline constexpr char kPageTokenInvalid[] = "PAGE_TOKEN_INVALID";
inline constexpr char kPathNotAllowed[] = "PATH_NOT_ALLOWED";
inline constexpr char kFileNotFound[] = "FILE_NOT_FOUND";
inline constexpr char kOutputExists[] = "OUTPUT_EXISTS";
inline constexpr char kOutputFailed[] = "OUTPUT_FAILED";
inline constexpr char kInternal[] = "INTERNAL";

using Metadata = std::vector<std::pair<std::string, std::string>>;

// A client's UTF-8 text as errors quote it: no more of it than `most` bytes, whole characters, control characters
// escaped. Errors travel in trailers, for which gRPC has 8 KiB.
std::string Shown(absl::string_view text, size_t most = 64);

// INVALID_ARGUMENT about one field, a path such as "options.steps". The message is shown to people as it is.
absl::Status InvalidField(absl::string_view reason, absl::string_view field, absl::string_view message);

// The same about several places, the first of them in the message.
struct Violation {
  std::string field;
  std::string description;
};
absl::Status InvalidFields(absl::string_view reason, const std::vector<Violation>& violations);

// Any other error. A positive retry_after adds RetryInfo.
absl::Status ServiceError(absl::StatusCode code, absl::string_view reason, absl::string_view constant_message,
                          const Metadata& metadata = {}, absl::Duration retry_after = absl::ZeroDuration());

// The serialised google.rpc.Status for grpc-status-details-bin; of an error that did not come from here, one with
// reason INTERNAL.
std::string ErrorDetails(const absl::Status& status);

// ErrorInfo.reason of an error, "" if it has none.
std::string ErrorReason(const absl::Status& status);

// BadRequest's first field path, "" if it has none.
std::string ErrorField(const absl::Status& status);

// RESOURCE_EXHAUSTED with reason STORAGE_FULL: the store's disk is full.
absl::Status StorageFull();

// RetryInfo's delay, zero if it has none.
absl::Duration RetryAfter(const absl::Status& status);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_ERRORS_H_
