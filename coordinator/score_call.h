// A Score call in flight: one reactor object each, born in the handler, gone in OnDone.
#ifndef UNMASK_COORDINATOR_SCORE_CALL_H_
#define UNMASK_COORDINATOR_SCORE_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "coordinator/service_context.h"

namespace unmask {

grpc::ServerUnaryReactor* Score(const ServiceContext& context, grpc::CallbackServerContext* call,
                                const grpc::ByteBuffer* request, grpc::ByteBuffer* response);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_SCORE_CALL_H_
