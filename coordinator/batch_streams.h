// The streams of BatchService: an input on its way in, and a job being watched.
#ifndef UNMASK_COORDINATOR_BATCH_STREAMS_H_
#define UNMASK_COORDINATOR_BATCH_STREAMS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "coordinator/batch/runner.h"
#include "coordinator/service_context.h"

namespace unmask {

grpc::ServerReadReactor<grpc::ByteBuffer>* MakeBatchUpload(const ServiceContext& context, BatchRunner* runner,
                                                           grpc::CallbackServerContext* call,
                                                           grpc::ByteBuffer* response);
grpc::ServerWriteReactor<grpc::ByteBuffer>* MakeBatchWatch(const ServiceContext& context, BatchRunner* runner,
                                                           grpc::CallbackServerContext* call,
                                                           const grpc::ByteBuffer* request);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_STREAMS_H_
