// The shard plan of a replica, as the coordinator holds and checks it: which rank has which part of the model.
#ifndef UNMASK_COORDINATOR_SHARD_PLAN_H_
#define UNMASK_COORDINATOR_SHARD_PLAN_H_

#include "absl/status/status.h"
#include "unmask/internal/v1/replica.pb.h"

namespace unmask {

// FAILED_PRECONDITION unless the ranks are numbered from 0, their query heads, MLP columns and vocabulary rows follow
// each other without gap or overlap over the whole model, and each rank holds exactly the K/V heads that its query
// heads read.
absl::Status CheckShardPlan(const internal::v1::ReplicaDescription& description);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_SHARD_PLAN_H_
