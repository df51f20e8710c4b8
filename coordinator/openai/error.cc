#include "coordinator/openai/error.h"

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/time/time.h"
#include "coordinator/errors.h"

namespace unmask::openai {
namespace {

struct Row {
  absl::StatusCode code;
  int http;
  const char* type;
};

constexpr Row kRows[] = {
    {absl::StatusCode::kInvalidArgument, 400, "invalid_request_error"},
    {absl::StatusCode::kFailedPrecondition, 400, "invalid_request_error"},
    {absl::StatusCode::kOutOfRange, 400, "invalid_request_error"},
    {absl::StatusCode::kUnauthenticated, 401, "authentication_error"},
    {absl::StatusCode::kPermissionDenied, 403, "permission_error"},
    {absl::StatusCode::kNotFound, 404, "not_found_error"},
    {absl::StatusCode::kAlreadyExists, 409, "invalid_request_error"},
    {absl::StatusCode::kAborted, 409, "invalid_request_error"},
    {absl::StatusCode::kResourceExhausted, 429, "rate_limit_error"},
    {absl::StatusCode::kCancelled, 499, "invalid_request_error"},  // nginx's number; nobody is there to read it.
    {absl::StatusCode::kUnimplemented, 501, "server_error"},
    {absl::StatusCode::kUnavailable, 503, "server_error"},
    {absl::StatusCode::kDeadlineExceeded, 504, "server_error"},
};
constexpr Row kOther = {absl::StatusCode::kInternal, 500, "server_error"};

const Row& RowOf(absl::StatusCode code) {
  for (const Row& row : kRows) {
    if (row.code == code) return row;
  }
  return kOther;
}

}  // namespace

int HttpCode(absl::StatusCode code) { return code == absl::StatusCode::kOk ? 200 : RowOf(code).http; }

int64_t RetryAfterSeconds(const absl::Status& status) {
  return absl::ToInt64Seconds(absl::Ceil(RetryAfter(status), absl::Seconds(1)));
}

nlohmann::ordered_json ErrorJson(const absl::Status& status, const Completion* asked) {
  const std::string field = ErrorField(status);
  const std::string reason = ErrorReason(status);
  nlohmann::ordered_json error;
  error["message"] = std::string(status.message());
  error["type"] = RowOf(status.code()).type;
  error["param"] = nullptr;
  if (!field.empty()) error["param"] = asked != nullptr ? OriginOf(*asked, field) : field;
  error["code"] = absl::AsciiStrToLower(reason.empty() ? kInternal : reason);
  return {{"error", std::move(error)}};
}

}  // namespace unmask::openai
