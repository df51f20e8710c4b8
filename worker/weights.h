// A rank's part of the weights, packed for its backend.
#ifndef UNMASK_WORKER_WEIGHTS_H_
#define UNMASK_WORKER_WEIGHTS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cluster/communicator.h"
#include "cluster/shard.h"
#include "kernels/backend.h"
#include "worker/config.h"
#include "worker/safetensors.h"

namespace unmask {

// A matrix in the backend's memory that is not packed.
struct OwnedTensor {
  std::unique_ptr<Buffer> memory;
  Tensor tensor;
};

struct LayerWeights {
  OwnedTensor attention_norm;               // (1, hidden) fp32
  std::unique_ptr<PackedMatrix> qkv;        // q | k | v; null in the last layer,
  std::unique_ptr<PackedMatrix> query;      // which needs its queries for fewer rows
  std::unique_ptr<PackedMatrix> key_value;  // than its keys and values.
  std::unique_ptr<PackedMatrix> attention_out;
  OwnedTensor mlp_norm;                   // (1, hidden) fp32
  std::unique_ptr<PackedMatrix> gate_up;  // gate | up
  std::unique_ptr<PackedMatrix> down;
};

struct Weights {
  OwnedTensor embedding;  // (vocabulary rows of this rank, hidden), as stored
  std::vector<LayerWeights> layers;
  OwnedTensor final_norm;  // (1, hidden) fp32
  std::unique_ptr<PackedMatrix> head;
  int64_t bytes = 0;   // Of the above.
  std::string digest;  // Hexadecimal, of all ranks' slices in rank order: equal on every rank.
};

using LoadingProgress = std::function<absl::Status(int64_t done, int64_t total)>;

// The checkpoint has passed CheckTensors. Called by all ranks; fails on all where it fails on one. `progress` hears of
// the bytes done and to do, of this rank at the dtype it computes in, and may end the loading by an error. The
// checkpoint's pages are given back as loading goes on.
absl::StatusOr<Weights> LoadWeights(const Checkpoint& checkpoint, const Config& config, const Shard& shard,
                                    Backend* backend, Communicator* ranks, const LoadingProgress& progress);

}  // namespace unmask

#endif  // UNMASK_WORKER_WEIGHTS_H_
