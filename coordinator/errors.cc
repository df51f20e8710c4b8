#include "coordinator/errors.h"

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace unmask {
namespace {

constexpr char kPayload[] = "type.googleapis.com/google.rpc.Status";

google::rpc::Status Describe(const absl::Status& status, absl::string_view reason, const Metadata& metadata) {
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(std::string(status.message()));
  google::rpc::ErrorInfo info;
  info.set_domain("unmask");
  info.set_reason(std::string(reason));
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = value;
  details.add_details()->PackFrom(info);
  return details;
}

absl::Status Attach(absl::Status status, const google::rpc::Status& details) {
  status.SetPayload(kPayload, absl::Cord(details.SerializeAsString()));
  return status;
}

// The first detail of this type, an empty one where there is none.
template <typename Message>
Message Detail(const absl::Status& status) {
  google::rpc::Status details;
  Message found;
  const auto payload = status.GetPayload(kPayload);
  if (!payload || !details.ParseFromString(std::string(*payload))) return found;
  for (const auto& detail : details.details()) {
    if (detail.UnpackTo(&found)) return found;
  }
  return found;
}

}  // namespace

std::string Shown(absl::string_view text, size_t most) {
  if (text.size() > most) {
    while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
    text = text.substr(0, most);
  }
  return absl::Utf8SafeCHexEscape(text);
}

absl::Status InvalidField(absl::string_view reason, absl::string_view field, absl::string_view message) {
  absl::Status status(absl::StatusCode::kInvalidArgument, message);
  google::rpc::Status details = Describe(status, reason, {{"field", std::string(field)}});
  google::rpc::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field(std::string(field));
  violation->set_description(std::string(message));
  details.add_details()->PackFrom(bad_request);
  return Attach(status, details);
}

absl::Status InvalidFields(absl::string_view reason, const std::vector<Violation>& violations) {
  const Violation& first = violations.front();
  absl::Status status(absl::StatusCode::kInvalidArgument, absl::StrCat(first.field, ": ", first.description));
  google::rpc::Status details = Describe(status, reason, {{"field", first.field}});
  google::rpc::BadRequest bad_request;
  for (const Violation& each : violations) {
    auto* violation = bad_request.add_field_violations();
    violation->set_field(each.field);
    violation->set_description(each.description);
  }
  details.add_details()->PackFrom(bad_request);
  return Attach(status, details);
}

absl::Status ServiceError(absl::StatusCode code, absl::string_view reason, absl::string_view constant_message,
                          const Metadata& metadata, absl::Duration retry_after) {
  absl::Status status(code, constant_message);
  google::rpc::Status details = Describe(status, reason, metadata);
  if (retry_after > absl::ZeroDuration()) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(retry_after));
    retry.mutable_retry_delay()->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(retry_after % absl::Seconds(1))));
    details.add_details()->PackFrom(retry);
  }
  return Attach(status, details);
}

std::string ErrorDetails(const absl::Status& status) {
  if (const auto payload = status.GetPayload(kPayload)) return std::string(*payload);
  return Describe(status, kInternal, {}).SerializeAsString();
}

std::string ErrorReason(const absl::Status& status) { return Detail<google::rpc::ErrorInfo>(status).reason(); }

std::string ErrorField(const absl::Status& status) {
  const auto bad_request = Detail<google::rpc::BadRequest>(status);
  return bad_request.field_violations().empty() ? "" : bad_request.field_violations(0).field();
}

absl::Duration RetryAfter(const absl::Status& status) {
  const auto retry = Detail<google::rpc::RetryInfo>(status);
  return absl::Seconds(retry.retry_delay().seconds()) + absl::Nanoseconds(retry.retry_delay().nanos());
}

absl::Status StorageFull() {
  return ServiceError(absl::StatusCode::kResourceExhausted, kStorageFull, "the store's disk is full", {},
                      absl::Seconds(10));
}

}  // namespace unmask
