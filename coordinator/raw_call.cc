#include "coordinator/raw_call.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include <optional>
#include <string>

#include "base/status.h"
#include "coordinator/errors.h"

namespace unmask {

absl::Status ReadRequest(const Access& access, const char* method, const grpc::CallbackServerContext& call,
                         const grpc::ByteBuffer& bytes, google::protobuf::MessageLite* message) {
  std::optional<absl::string_view> authorization;
  if (const auto header = call.client_metadata().find("authorization"); header != call.client_metadata().end()) {
    authorization = absl::string_view(header->second.data(), header->second.size());
  }
  UNMASK_RETURN_IF_ERROR(access.Check(method, authorization));
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
