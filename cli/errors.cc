#include "cli/errors.h"

#include <cstdio>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/client.h"
#include "cli/embedded_service.h"
#include "cli/glyphs.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace unmask {
namespace {

struct Details {
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad_request;
  google::rpc::RetryInfo retry;
};

Details DetailsOf(const absl::Status& status) {
  Details details;
  const absl::optional<absl::Cord> payload = status.GetPayload(kStatusDetailsPayload);
  google::rpc::Status proto;
  if (!payload || !proto.ParseFromString(std::string(*payload))) return details;
  for (const google::protobuf::Any& any : proto.details()) {
    if (any.Is<google::rpc::ErrorInfo>()) any.UnpackTo(&details.info);
    if (any.Is<google::rpc::BadRequest>()) any.UnpackTo(&details.bad_request);
    if (any.Is<google::rpc::RetryInfo>()) any.UnpackTo(&details.retry);
  }
  return details;
}

}  // namespace

std::string DescribeError(const absl::Status& status) {
  const Details details = DetailsOf(status);
  const auto& violations = details.bad_request.field_violations();
  std::string message(status.message());
  const bool one_line = violations.size() == 1 && violations[0].description() == message;
  if (one_line && !violations[0].field().empty()) message = absl::StrCat(violations[0].field(), ": ", message);

  std::vector<std::string> notes = {absl::StatusCodeToString(status.code())};
  // Other messages are constant: what varies stands in the details.
  if (status.code() != absl::StatusCode::kInvalidArgument) {
    const std::map<std::string, std::string> sorted(details.info.metadata().begin(), details.info.metadata().end());
    for (const auto& [key, value] : sorted) notes.push_back(absl::StrCat(key, " ", value));
    if (details.retry.has_retry_delay() && details.retry.retry_delay().seconds() > 0) {
      notes.push_back(absl::StrCat("try again in ", details.retry.retry_delay().seconds(), " s"));
    }
  }
  std::string text =
      Printable(absl::StrCat(message.empty() ? "failed" : message, " (", absl::StrJoin(notes, ", "), ")"));
  if (one_line) return text;
  for (const auto& violation : violations) {
    absl::StrAppend(&text, "\n  ", Printable(absl::StrCat(violation.field(), ": ", violation.description())));
  }
  return text;
}

std::string ReasonOf(const absl::Status& status) { return DetailsOf(status).info.reason(); }

int ReportError(const absl::Status& status) {
  std::fprintf(stderr, "unmask: %s\n", DescribeError(status).c_str());
  return ExitCodeOf(status);
}

}  // namespace unmask
