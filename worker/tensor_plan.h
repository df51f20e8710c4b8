// Which tensors a LLaDA checkpoint has, their shapes, and the slice of each that a rank reads. Linear weights are [out,
// in]: q, k, v, gate, up, the embedding and the head are cut by rows, attention's and the MLP's output by columns.
//
// `ff_out` names two things: a block's down projection and, outside the blocks, the head.
#ifndef UNMASK_WORKER_TENSOR_PLAN_H_
#define UNMASK_WORKER_TENSOR_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cluster/shard.h"
#include "worker/config.h"
#include "worker/safetensors.h"

namespace unmask {

enum class Role {
  kEmbedding,
  kAttentionNorm,
  kQuery,
  kKey,
  kValue,
  kAttentionOut,
  kMlpNorm,
  kGate,
  kUp,
  kDown,
  kFinalNorm,
  kHead,
};

// A tensor of the model; layer is 0 outside the blocks.
struct PlannedTensor {
  Role role;
  int layer;
};

struct MatrixSlice {
  Range rows;  // [0, 1) for a norm's weight.
  Range columns;
  int64_t elements() const { return rows.size() * columns.size(); }
};

// Every tensor that the checkpoint must hold, in the order of the forward pass.
std::vector<PlannedTensor> PlanTensors(const Config& config);

std::string TensorName(PlannedTensor tensor);
std::vector<int64_t> TensorShape(PlannedTensor tensor, const Config& config);
MatrixSlice SliceOf(PlannedTensor tensor, const Config& config, const Shard& shard);

// Elements of all slices of a rank.
int64_t SliceElements(const Config& config, const Shard& shard);

// DATA_LOSS naming the first tensor that is missing, has another shape, or is not the model's.
absl::Status CheckTensors(const Checkpoint& checkpoint, const Config& config);

}  // namespace unmask

#endif  // UNMASK_WORKER_TENSOR_PLAN_H_
