// Ranks go on together or end together.
#ifndef UNMASK_WORKER_AGREE_H_
#define UNMASK_WORKER_AGREE_H_

#include "absl/status/status.h"
#include "cluster/communicator.h"

namespace unmask {

// Called by all ranks: OK if all bring OK, else the lowest failing rank's error, on every rank alike.
absl::Status Agree(const absl::Status& status, Communicator* ranks);

}  // namespace unmask

#endif  // UNMASK_WORKER_AGREE_H_
