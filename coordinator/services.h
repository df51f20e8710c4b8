// The public services. Each is handed to the gRPC server, and holds no state of its own.
#ifndef UNMASK_COORDINATOR_SERVICES_H_
#define UNMASK_COORDINATOR_SERVICES_H_

#include <memory>

#include "coordinator/service_context.h"
#include "unmask/v1/model.pb.h"

namespace grpc {
class Service;
}

namespace unmask {

class BatchRunner;

std::unique_ptr<grpc::Service> MakeInferenceService(const ServiceContext& context);

// options: what is known of the model before a replica is ready.
std::unique_ptr<grpc::Service> MakeModelService(const ServiceContext& context, FleetOptions options);

// What GetModel and ListModels say.
v1::Model DescribeModel(const ServiceContext& context, const FleetOptions& options);

std::unique_ptr<grpc::Service> MakeFleetService(const ServiceContext& context);

// runner: null where the service has no store, and then its methods say so.
std::unique_ptr<grpc::Service> MakeBatchService(const ServiceContext& context, BatchRunner* runner);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_SERVICES_H_
