// Sums between the devices of a replica's ranks; messages stay with the ranks' own communicator.
#ifndef UNMASK_CLUSTER_DEVICE_COMMUNICATOR_H_
#define UNMASK_CLUSTER_DEVICE_COMMUNICATOR_H_

#include <chrono>
#include <memory>

#include "absl/status/statusor.h"
#include "cluster/communicator.h"
#include "kernels/backend.h"

namespace unmask {

// Called by all ranks. For tensors of a backend with a queue: NCCL where each rank has a device of its own, else
// through the host. Both lent must outlive it.
absl::StatusOr<std::unique_ptr<Communicator>> DeviceCommunicator(Backend* backend, Communicator* ranks);

// Through the host: downloads, sums by `ranks`, uploads. Waits for the device each time.
std::unique_ptr<Communicator> StagedCommunicator(Backend* backend, Communicator* ranks);

struct NcclPatience {
  std::chrono::milliseconds start = std::chrono::seconds(60);  // For all ranks to find each other.
  // For a step, far beyond what any takes: a peer that died does not answer.
  std::chrono::milliseconds step = std::chrono::seconds(30);
};
// NCCL on the backend's queue; NOT_FOUND where the build has none. A sum that fails, or does not end in time, is given
// up, and fails the backend's Synchronize() (UNAVAILABLE or DEADLINE_EXCEEDED): a lost peer is never waited for.
absl::StatusOr<std::unique_ptr<Communicator>> NcclCommunicator(Backend* backend, Communicator* ranks,
                                                               const NcclPatience& patience = {});

}  // namespace unmask

#endif  // UNMASK_CLUSTER_DEVICE_COMMUNICATOR_H_
