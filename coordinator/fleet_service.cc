#include "coordinator/raw_call.h"
#include "coordinator/services.h"
#include "unmask/v1/fleet.grpc.pb.h"

namespace unmask {
namespace {

class FleetService final : public v1::FleetService::WithRawCallbackMethod_GetFleet<v1::FleetService::Service> {
 public:
  explicit FleetService(const ServiceContext& context) : context_(context) {}

  grpc::ServerUnaryReactor* GetFleet(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::GetFleetRequest>({call, request, response}, "GetFleet", context_,
                                            [this](const v1::GetFleetRequest&) -> absl::StatusOr<v1::GetFleetResponse> {
                                              return context_.fleet->Describe();
                                            });
  }

 private:
  const ServiceContext context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeFleetService(const ServiceContext& context) {
  return std::make_unique<FleetService>(context);
}

}  // namespace unmask
