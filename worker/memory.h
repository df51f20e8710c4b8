// How much memory this process may still take, and how much of it the K/V gets.
#ifndef UNMASK_WORKER_MEMORY_H_
#define UNMASK_WORKER_MEMORY_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace unmask {

// Bytes that the machine has left, within the limit of the container where there is one. The pages of files count as
// left: a checkpoint that was just read fills a container with them.
int64_t AvailableMemory();

struct KvMemory {
  int64_t limit = 0;           // Bytes of this rank, as asked for; 0: choose.
  int64_t available = 0;       // Bytes for this rank.
  int64_t position_bytes = 0;  // Of one position on this rank.
  int64_t max_sequence_length = 0;
};

// Positions whose K/V is kept. Chosen: half of what is available, but no less than four sequences of full length where
// these fit in nine tenths, and no more than 64. Where not one fits INVALID_ARGUMENT for what was asked for,
// RESOURCE_EXHAUSTED for what is available, which may be more another time.
absl::StatusOr<int64_t> KvPositions(const KvMemory& memory);

}  // namespace unmask

#endif  // UNMASK_WORKER_MEMORY_H_
