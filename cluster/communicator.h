// What the ranks of one replica say to each other. Collectives are called by all ranks in the same order, from one
// thread a rank. A replica dies as one: a collective that cannot complete ends the process (Open MPI 4.1 offers nothing
// else), so none returns an error.
#ifndef UNMASK_CLUSTER_COMMUNICATOR_H_
#define UNMASK_CLUSTER_COMMUNICATOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/tensor.h"

namespace unmask {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Rank 0's bytes, everywhere. Ranks that wait here for long sleep: an idle replica costs no core.
  virtual void Broadcast(std::string* bytes) = 0;

  // tensor = sum over ranks of tensor, fp32, added in rank order for each element whatever the tensor's size: a row's
  // bits do not depend on its neighbours. Of one rank there is nothing to add, and any thread may call.
  virtual void AllReduceSum(const Tensor& tensor) = 0;

  // Every rank's bytes (any sizes), in rank order, everywhere.
  virtual std::vector<std::string> AllGather(const std::string& bytes) = 0;

  virtual void Barrier() = 0;
};

// One rank, no library.
std::unique_ptr<Communicator> SoloCommunicator();

// MPI_COMM_WORLD, initialised here (MPI_THREAD_FUNNELED) and finalised by the destructor. Host memory. Ranks of one
// machine add in shared memory, unless share_memory is false; the bits are the same.
absl::StatusOr<std::unique_ptr<Communicator>> MpiCommunicator(int* argc, char*** argv, bool share_memory = true);

}  // namespace unmask

#endif  // UNMASK_CLUSTER_COMMUNICATOR_H_
