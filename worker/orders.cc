#include "worker/orders.h"

#include <string>

#include "base/status.h"

namespace unmask {
namespace {

using internal::v1::CoordinatorMessage;
using internal::v1::StepResult;

// A result where the order was a step.
absl::StatusOr<std::optional<StepResult>> CarryOut(const CoordinatorMessage& order, Engine* engine) {
  switch (order.message_case()) {
    case CoordinatorMessage::kAttached:
      engine->Forget();
      break;
    case CoordinatorMessage::kRelease:
      engine->Release(order.release());
      break;
    case CoordinatorMessage::kStep:
      return engine->Run(order.step());
    case CoordinatorMessage::MESSAGE_NOT_SET:
      break;
  }
  return std::nullopt;
}

}  // namespace

absl::Status LeadRanks(const std::function<std::optional<CoordinatorMessage>()>& next,
                       const std::function<void(const StepResult&)>& done, Engine* engine, Communicator* ranks) {
  while (true) {
    const std::optional<CoordinatorMessage> order = next();
    // A message of a newer coordinator, which this worker does not know, must not end it.
    if (order.has_value() && order->message_case() == CoordinatorMessage::MESSAGE_NOT_SET) continue;
    std::string bytes = order.value_or(CoordinatorMessage()).SerializeAsString();
    ranks->Broadcast(&bytes);
    if (!order.has_value()) return absl::OkStatus();
    UNMASK_ASSIGN_OR_RETURN(const auto result, CarryOut(*order, engine));
    if (result.has_value()) done(*result);
  }
}

absl::Status FollowRankZero(Engine* engine, Communicator* ranks) {
  while (true) {
    std::string bytes;
    ranks->Broadcast(&bytes);
    CoordinatorMessage order;
    if (!order.ParseFromString(bytes)) return absl::InternalError("rank 0 sent what is no order");
    if (order.message_case() == CoordinatorMessage::MESSAGE_NOT_SET) return absl::OkStatus();
    UNMASK_RETURN_IF_ERROR(CarryOut(order, engine).status());
  }
}

}  // namespace unmask
