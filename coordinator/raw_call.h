// Public methods take raw bytes and parse them here: left to itself, gRPC's callback API answers a malformed or
// non-UTF-8 request with UNIMPLEMENTED and no message.
#ifndef UNMASK_COORDINATOR_RAW_CALL_H_
#define UNMASK_COORDINATOR_RAW_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/grpc_status.h"
#include "coordinator/metrics.h"
#include "google/protobuf/message_lite.h"

namespace unmask {

// INVALID_ARGUMENT with reason MALFORMED_REQUEST when the bytes are no message of this type.
absl::Status ParseBytes(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite* message);
grpc::ByteBuffer ToBytes(const google::protobuf::MessageLite& message);

// What gRPC hands to a unary handler.
struct UnaryCall {
  grpc::CallbackServerContext* context;
  const grpc::ByteBuffer* request;
  grpc::ByteBuffer* response;
};

// A unary method that answers at once: answer(request) yields absl::StatusOr of the response. method: as in the proto.
template <typename Request, typename Answer>
grpc::ServerUnaryReactor* AnswerUnary(const UnaryCall& call, const char* method, Metrics* metrics,
                                      const Answer& answer) {
  const auto received = std::chrono::steady_clock::now();
  Request request;
  absl::Status status = ParseBytes(*call.request, &request);
  if (status.ok()) {
    auto response = answer(request);
    status = response.status();
    if (status.ok()) *call.response = ToBytes(*response);
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - received;
  metrics->RequestFinished(method, status, taken.count());
  grpc::ServerUnaryReactor* reactor = call.context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_RAW_CALL_H_
