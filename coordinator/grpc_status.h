// absl::Status for the wire: code, message, and the details of coordinator/errors.h.
#ifndef UNMASK_COORDINATOR_GRPC_STATUS_H_
#define UNMASK_COORDINATOR_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace unmask {

grpc::Status ToGrpc(const absl::Status& status);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_GRPC_STATUS_H_
