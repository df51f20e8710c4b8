#include "coordinator/grpc_status.h"

#include <string>

#include "coordinator/errors.h"

namespace unmask {

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      ErrorDetails(status));
}

}  // namespace unmask
