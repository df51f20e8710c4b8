#include "coordinator/raw_call.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include <string>

#include "coordinator/errors.h"

namespace unmask {

absl::Status ParseBytes(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite* message) {
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
