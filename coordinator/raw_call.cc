#include "coordinator/raw_call.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include "base/status.h"
#include "coordinator/errors.h"

namespace unmask {
namespace {

// A client gives up at its own deadline, which its cancellation brings here a moment before ours.
constexpr std::chrono::milliseconds kDeadlineSlack(100);

}  // namespace

std::optional<absl::string_view> Header(const grpc::CallbackServerContext& call, const char* name) {
  const auto header = call.client_metadata().find(name);
  if (header == call.client_metadata().end()) return std::nullopt;
  return absl::string_view(header->second.data(), header->second.size());
}

absl::Status ReadRequest(const Access& access, const char* method, const grpc::CallbackServerContext& call,
                         const grpc::ByteBuffer& bytes, google::protobuf::MessageLite* message) {
  UNMASK_RETURN_IF_ERROR(access.Check(method, Header(call, "authorization")));
  grpc::ByteBuffer shared = bytes;  // Shares the slices; the reader wants it mutable.
  grpc::ProtoBufferReader reader(&shared);
  if (reader.status().ok() && message->ParseFromZeroCopyStream(&reader)) return absl::OkStatus();
  return ServiceError(absl::StatusCode::kInvalidArgument, kMalformedRequest,
                      "the request is not a well-formed message of its type", {{"type", message->GetTypeName()}});
}

RequestNames NameCall(const grpc::CallbackServerContext& call, const std::string& id_field) {
  return NameRequest(id_field, Header(call, kRequestIdHeader).value_or(""),
                     Header(call, kTraceparentHeader).value_or(""));
}

void SayNames(const RequestNames& names, bool admitted, grpc::CallbackServerContext* call) {
  const auto say = [&](const char* header, const std::string& value) {
    admitted ? call->AddInitialMetadata(header, value) : call->AddTrailingMetadata(header, value);
  };
  say(kRequestIdHeader, names.request_id);
  if (!names.traceparent.empty()) say(kTraceparentHeader, names.traceparent);
}

absl::Duration TimeLeft(const grpc::CallbackServerContext& call) {
  const auto deadline = call.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteDuration();
  return absl::FromChrono(deadline - std::chrono::system_clock::now());
}

absl::Status WhyCancelled(const grpc::CallbackServerContext& call) {
  const bool late = std::chrono::system_clock::now() + kDeadlineSlack >= call.deadline();
  return late ? ServiceError(absl::StatusCode::kDeadlineExceeded, kDeadline, "the deadline has passed")
              : ServiceError(absl::StatusCode::kCancelled, kCancelled, "the client cancelled the call");
}

grpc::ByteBuffer ToBytes(const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace unmask
