// The one way from the bytes of a public call to its request: who calls is checked before anything is parsed.
//
// Public methods take raw bytes also because gRPC's callback API, left to itself, answers a malformed or non-UTF-8
// request with UNIMPLEMENTED and no message. (A server interceptor could not refuse: it can only delay a handler.)
#ifndef UNMASK_COORDINATOR_RAW_CALL_H_
#define UNMASK_COORDINATOR_RAW_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "coordinator/grpc_status.h"
#include "coordinator/request_names.h"
#include "coordinator/service_context.h"
#include "google/protobuf/message_lite.h"

namespace unmask {

// A header of the call; nothing where it has none of this name (in lower case).
std::optional<absl::string_view> Header(const grpc::CallbackServerContext& call, const char* name);

// Refuses who may not call `method` (see coordinator/access.h; its name as in the proto), else parses: INVALID_ARGUMENT
// with reason MALFORMED_REQUEST when the bytes are no message of this type.
absl::Status ReadRequest(const Access& access, const char* method, const grpc::CallbackServerContext& call,
                         const grpc::ByteBuffer& bytes, google::protobuf::MessageLite* message);
grpc::ByteBuffer ToBytes(const google::protobuf::MessageLite& message);

// How a call is found again: by the request's own field and the call's headers; the reply's say it back.
RequestNames NameCall(const grpc::CallbackServerContext& call, const std::string& id_field);
// Says them: in the trailers of a call that was refused at once, since clients' retry policies repeat none that has had
// headers.
void SayNames(const RequestNames& names, bool admitted, grpc::CallbackServerContext* call);

// Until the client's deadline.
absl::Duration TimeLeft(const grpc::CallbackServerContext& call);
// The error of a call in OnCancel: the client has left, or its deadline has passed.
absl::Status WhyCancelled(const grpc::CallbackServerContext& call);

// What gRPC hands to a unary handler.
struct UnaryCall {
  grpc::CallbackServerContext* context;
  const grpc::ByteBuffer* request;
  grpc::ByteBuffer* response;
};

// A unary method that answers at once: answer(request) yields absl::StatusOr of the response. method: as in the proto.
template <typename Request, typename Answer>
grpc::ServerUnaryReactor* AnswerUnary(const UnaryCall& call, const char* method, const ServiceContext& context,
                                      const Answer& answer) {
  const auto received = std::chrono::steady_clock::now();
  Request request;
  absl::Status status = ReadRequest(*context.access, method, *call.context, *call.request, &request);
  if (status.ok()) {
    auto response = answer(request);
    status = response.status();
    if (status.ok()) *call.response = ToBytes(*response);
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - received;
  context.metrics->RequestFinished(method, status, taken.count());
  grpc::ServerUnaryReactor* reactor = call.context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_RAW_CALL_H_
