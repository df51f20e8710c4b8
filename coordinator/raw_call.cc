#include "coordinator/raw_call.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include "base/status.h"
#include "coordinator/errors.h"

namespace unmask {

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

grpc::ByteBuffer ToBytes(const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace unmask
