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

  // Called by all ranks with equal batches of at most max_rows rows together. Writes the K/V of every row, and one
  // record of this rank's vocabulary rows for each of the batches' specs in turn; errors show in the backend's
  // Synchronize(). Several batches are computed apart, each by a thread of its own where the backend has some.
  //
  // Saved, exactly: in the last layer only sampled rows have queries, attention and MLP, and only they have logits. A
  // batch that samples nothing ends with the last layer's K/V.
  void Forward(absl::Span<const Batch> batches, absl::Span<CandidateRecord> records);

  // How many batches are computed at the same time; 1 where one batch is always best.
  int parts_at_once() const;

  // Bytes of activations that `max_rows` rows take.
  static int64_t ActivationBytes(const Config& config, const Shard& shard, int32_t max_rows, DType compute_dtype);

  // For tests, of steps in one batch: hears of the residual stream after the embedding (0) and after layer i (i + 1, in
  // the last layer of sampled rows alone).
  using Watcher = std::function<void(int depth, const Tensor& hidden)>;
  void Watch(Watcher watcher) { watcher_ = std::move(watcher); }

  // For tests, likewise: what the head sees, one row for each of batch.sampled; valid after Forward until the next one.
  const Tensor& final_states() const { return final_states_; }

 private:
  struct Activations {
    Activations Rows(int64_t begin, int64_t end) const;

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

  // On the activations of one batch, which are all of its rows' and first those of fewer, sampled ones.
  void ForwardBatch(const Batch& batch, Activations a, absl::Span<CandidateRecord> records);
  void Embed(const Batch& batch, const Activations& a);
  void AttendAll(int layer, const RowLayout& rows, const Activations& a);
  void StoreKeysAndValues(int layer, const RowLayout& rows, const Activations& a);
  void AttendSampled(int layer, const RowLayout& rows, const Activations& a);
  void Project(int layer, const RowLayout& rows, const Tensor& q, const Activations& a);
  void Mlp(int layer, const Activations& a);

  int64_t q_columns() const { return shard_.heads.size() * config_.head_dim(); }
  int64_t kv_columns() const { return shard_.kv_heads.size() * config_.head_dim(); }

  const Config& config_;
  const Shard& shard_;
  const Weights& weights_;
  const std::vector<int32_t> kv_map_;  // This rank's query head -> its K/V head.
  Backend* const backend_;
  Communicator* const ranks_;
  std::vector<std::unique_ptr<Buffer>> memory_;
  Activations activations_;  // Views of it, of max_rows rows.
  Tensor final_states_;
  Watcher watcher_;
};

}  // namespace unmask

#endif  // UNMASK_WORKER_MODEL_H_
