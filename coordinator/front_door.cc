#include "coordinator/front_door.h"

#include "absl/strings/str_cat.h"
#include "coordinator/errors.h"

namespace unmask {

absl::StatusOr<std::shared_ptr<const ServedModel>> FrontDoor::Enter() const {
  if (draining_) {
    return ServiceError(absl::StatusCode::kUnavailable, kDraining, "the service is shutting down", {},
                        absl::Seconds(1));
  }
  if (const int visits = visits_; visits > max_visits_) {
    return ServiceError(absl::StatusCode::kResourceExhausted, kOverloaded, "too many requests are open",
                        {{"open_requests", absl::StrCat(visits)}, {"max_open_requests", absl::StrCat(max_visits_)}},
                        absl::Seconds(1));
  }
  if (fleet_.AllFailed()) {
    return ServiceError(absl::StatusCode::kUnavailable, kNoHealthyReplica, "every replica has failed", {},
                        absl::Seconds(10));
  }
  if (std::shared_ptr<const ServedModel> model = fleet_.model()) return model;
  return ServiceError(absl::StatusCode::kUnavailable, kModelLoading, "no replica has loaded the model yet", {},
                      absl::Seconds(1));
}

absl::Status FrontDoor::Readiness() const {
  if (draining_) return absl::UnavailableError("draining");
  if (!fleet_.AnyReady()) return absl::UnavailableError("no replica is ready");
  return absl::OkStatus();
}

}  // namespace unmask
