// LLaDA's forward pass over the rows of a batch, on this rank's slices: the same on every rank, every backend and every
// policy.
#ifndef UNMASK_WORKER_MODEL_H_
#define UNMASK_WORKER_MODEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cluster/communicator.h"
#include "cluster/shard.h"
#include "kernels/backend.h"
#include "worker/batch.h"
#include "worker/config.h"
#include "worker/weights.h"

namespace unmask {

class Model {
 public:
  // Everything lent must outlive the model. Memory for `max_rows` rows is taken at once. RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<Model>> Make(const Config& config, const Shard& shard, const Weights& weights,
                                                     int32_t max_rows, Backend* backend, Communicator* ranks);

  // Called by all ranks with equal batches of at most max_rows rows. Writes the K/V of every row, and one record of
  // this rank's vocabulary rows for each of batch.specs; errors show in the backend's Synchronize().
  //
  // Saved, exactly: in the last layer only sampled rows have queries, attention and MLP, and only they have logits. A
  // batch that samples nothing ends with the last layer's K/V.
  void Forward(const Batch& batch, absl::Span<CandidateRecord> records);

  // Bytes of activations that `max_rows` rows take.
  static int64_t ActivationBytes(const Config& config, const Shard& shard, int32_t max_rows, DType compute_dtype);

  // For tests: hears of the residual stream after the embedding (0) and after layer i (i + 1, in the last layer of
  // sampled rows alone).
  using Watcher = std::function<void(int depth, const Tensor& hidden)>;
  void Watch(Watcher watcher) { watcher_ = std::move(watcher); }

  // For tests: what the head sees, one row for each of batch.sampled; valid after Forward until the next one.
  const Tensor& final_states() const { return final_states_; }

 private:
  struct Activations {
    std::vector<std::unique_ptr<Buffer>> memory;
    Tensor hidden;     // (rows, hidden) fp32, the residual stream
    Tensor delta;      // the same shape; a sublayer's output, and the residual stream of fewer rows
    Tensor normed;     // (rows, hidden) compute dtype
    Tensor qkv;        // (rows, q | k | v of this rank) fp32
    Tensor mixed;      // (rows, q of this rank) compute dtype; attention's output
    Tensor gate_up;    // (rows, gate | up of this rank) fp32
    Tensor activated;  // (rows, MLP columns of this rank) compute dtype
  };

  Model(const Config& config, const Shard& shard, const Weights& weights, Backend* backend, Communicator* ranks);
  absl::Status Allocate(int32_t max_rows);

  void Embed(const Batch& batch, const Tensor& hidden);
  void AttendAll(int layer, const RowLayout& rows, const Tensor& hidden, const Tensor& delta);
  void StoreKeysAndValues(int layer, const RowLayout& rows, const Tensor& hidden);
  void AttendSampled(int layer, const RowLayout& rows, const Tensor& hidden, const Tensor& delta);
  void Project(int layer, const RowLayout& rows, const Tensor& q, const Tensor& hidden, const Tensor& delta);
  void Mlp(int layer, const Tensor& hidden, const Tensor& delta);

  int64_t q_columns() const { return shard_.heads.size() * config_.head_dim(); }
  int64_t kv_columns() const { return shard_.kv_heads.size() * config_.head_dim(); }

  const Config& config_;
  const Shard& shard_;
  const Weights& weights_;
  const std::vector<int32_t> kv_map_;  // This rank's query head -> its K/V head.
  Backend* const backend_;
  Communicator* const ranks_;
  Activations activations_;
  Tensor final_states_;
  Watcher watcher_;
};

}  // namespace unmask

#endif  // UNMASK_WORKER_MODEL_H_
