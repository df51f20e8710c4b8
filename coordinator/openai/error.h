// The error table (coordinator/errors.h) as HTTP and OpenAI's error object say it.
#ifndef UNMASK_COORDINATOR_OPENAI_ERROR_H_
#define UNMASK_COORDINATOR_OPENAI_ERROR_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/status.h"
#include "coordinator/openai/completion.h"

namespace unmask::openai {

// 400 for INVALID_ARGUMENT, 429 for RESOURCE_EXHAUSTED, 503 for UNAVAILABLE, and so on.
int HttpCode(absl::StatusCode code);

// Seconds for Retry-After, rounded up; 0: the error has none.
int64_t RetryAfterSeconds(const absl::Status& status);

// {"error": {"message", "type", "param", "code"}}: type is OpenAI's for this HTTP code, param the offending field's
// path in the body or null, code the reason in lower case ("option_invalid"). asked: what the body was read as, if it
// could be.
nlohmann::ordered_json ErrorJson(const absl::Status& status, const Completion* asked = nullptr);

}  // namespace unmask::openai

#endif  // UNMASK_COORDINATOR_OPENAI_ERROR_H_
