// What all ranks of a replica do together: rank 0 hears it from the coordinator and passes it on. The orders are the
// coordinator's own messages; one with nothing in it is the end.
#ifndef UNMASK_WORKER_ORDERS_H_
#define UNMASK_WORKER_ORDERS_H_

#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "cluster/communicator.h"
#include "unmask/internal/v1/replica.pb.h"
#include "worker/engine.h"

namespace unmask {

// Rank 0: carries out what `next` yields, on all ranks, until it yields nothing; `done` gets the results. An error is
// an engine's, on all ranks alike.
absl::Status LeadRanks(const std::function<std::optional<internal::v1::CoordinatorMessage>()>& next,
                       const std::function<void(const internal::v1::StepResult&)>& done, Engine* engine,
                       Communicator* ranks);

// The other ranks: until rank 0 ends it.
absl::Status FollowRankZero(Engine* engine, Communicator* ranks);

}  // namespace unmask

#endif  // UNMASK_WORKER_ORDERS_H_
