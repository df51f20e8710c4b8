// A Generate or Infill call in flight: one reactor object each, born in the handler, gone in OnDone.
#ifndef UNMASK_COORDINATOR_GENERATION_CALL_H_
#define UNMASK_COORDINATOR_GENERATION_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "coordinator/service_context.h"

namespace unmask {

grpc::ServerUnaryReactor* Generate(const ServiceContext& context, grpc::CallbackServerContext* call,
                                   const grpc::ByteBuffer* request, grpc::ByteBuffer* response);
grpc::ServerUnaryReactor* Infill(const ServiceContext& context, grpc::CallbackServerContext* call,
                                 const grpc::ByteBuffer* request, grpc::ByteBuffer* response);
grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerateStream(const ServiceContext& context,
                                                           grpc::CallbackServerContext* call,
                                                           const grpc::ByteBuffer* request);
grpc::ServerWriteReactor<grpc::ByteBuffer>* InfillStream(const ServiceContext& context,
                                                         grpc::CallbackServerContext* call,
                                                         const grpc::ByteBuffer* request);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_GENERATION_CALL_H_
