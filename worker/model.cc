#include "worker/model.h"

#include <utility>

#include "base/status.h"

namespace unmask {
namespace {

// The first rows of a wider or longer buffer, as a dense matrix of `columns`.
Tensor Reshape(const Tensor& buffer, int64_t rows, int64_t columns) {
  return {buffer.dtype, rows, columns, columns, buffer.data};
}

}  // namespace

Model::Model(const Config& config, const Shard& shard, const Weights& weights, Backend* backend, Communicator* ranks)
    : config_(config),
      shard_(shard),
      weights_(weights),
      kv_map_(shard.KvMap(config.heads, config.kv_heads)),
      backend_(backend),
      ranks_(ranks) {}

absl::StatusOr<std::unique_ptr<Model>> Model::Make(const Config& config, const Shard& shard, const Weights& weights,
                                                   int32_t max_rows, Backend* backend, Communicator* ranks) {
  std::unique_ptr<Model> model(new Model(config, shard, weights, backend, ranks));
  UNMASK_RETURN_IF_ERROR(model->Allocate(max_rows));
  return model;
}

absl::Status Model::Allocate(int32_t max_rows) {
  const DType dtype = backend_->compute_dtype();
  const struct {
    Tensor* tensor;
    DType dtype;
    int64_t columns;
  } plan[] = {
      {&activations_.hidden, DType::kF32, config_.hidden_size},
      {&activations_.delta, DType::kF32, config_.hidden_size},
      {&activations_.normed, dtype, config_.hidden_size},
      {&activations_.qkv, DType::kF32, q_columns() + 2 * kv_columns()},
      {&activations_.mixed, dtype, q_columns()},
      {&activations_.gate_up, DType::kF32, 2 * shard_.columns.size()},
      {&activations_.activated, dtype, shard_.columns.size()},
  };
  for (const auto& part : plan) {
    const int64_t bytes = max_rows * part.columns * static_cast<int64_t>(ByteSize(part.dtype));
    UNMASK_ASSIGN_OR_RETURN(auto memory, backend_->Allocate(bytes));
    *part.tensor = {part.dtype, max_rows, part.columns, part.columns, memory->data()};
    activations_.memory.push_back(std::move(memory));
  }
  return absl::OkStatus();
}

int64_t Model::ActivationBytes(const Config& config, const Shard& shard, int32_t max_rows, DType compute_dtype) {
  const int64_t item = ByteSize(compute_dtype);
  const int64_t q = shard.heads.size() * config.head_dim();
  const int64_t kv = shard.kv_heads.size() * config.head_dim();
  const int64_t row = config.hidden_size * (8 + item) + 4 * (q + 2 * kv) + item * q + (8 + item) * shard.columns.size();
  return row * max_rows;
}

void Model::Forward(const Batch& batch, absl::Span<CandidateRecord> records) {
  const int64_t rows = batch.tokens.size();
  Tensor hidden = activations_.hidden.Rows(0, rows);
  Tensor delta = activations_.delta.Rows(0, rows);
  Embed(batch, hidden);

  const int last = config_.layers - 1;
  for (int layer = 0; layer < last; ++layer) {
    AttendAll(layer, batch.rows, hidden, delta);
    Mlp(layer, hidden, delta);
    if (watcher_) watcher_(layer + 1, hidden);
  }

  StoreKeysAndValues(last, batch.rows, hidden);
  if (batch.sampled.empty()) return;
  const int64_t sampled = batch.sampled.size();
  backend_->TakeRows(hidden, batch.sampled, delta.Rows(0, sampled));
  std::swap(hidden, delta);
  hidden = hidden.Rows(0, sampled);
  delta = delta.Rows(0, sampled);
  AttendSampled(last, batch.sampled_rows, hidden, delta);
  Mlp(last, hidden, delta);
  if (watcher_) watcher_(last + 1, hidden);

  final_states_ = activations_.normed.Rows(0, sampled);
  backend_->RmsNorm(hidden, weights_.final_norm.tensor, config_.norm_epsilon, final_states_);
  backend_->PickCandidates(final_states_, *weights_.head, static_cast<int32_t>(shard_.vocabulary.begin), batch.specs,
                           records);
}

// x = wte[token]: each rank has some of the tokens' rows and zero for the others.
void Model::Embed(const Batch& batch, const Tensor& hidden) {
  backend_->Embed(weights_.embedding.tensor, batch.tokens, static_cast<int32_t>(shard_.vocabulary.begin), hidden);
  ranks_->AllReduceSum(hidden);
  if (watcher_) watcher_(0, hidden);
}

// x += attn_out(attention(norm(x)))
void Model::AttendAll(int layer, const RowLayout& rows, const Tensor& hidden, const Tensor& delta) {
  const LayerWeights& w = weights_.layers[layer];
  const Tensor normed = activations_.normed.Rows(0, hidden.rows);
  const Tensor qkv = activations_.qkv.Rows(0, hidden.rows);
  backend_->RmsNorm(hidden, w.attention_norm.tensor, config_.norm_epsilon, normed);
  backend_->MatMul(normed, *w.qkv, qkv);
  backend_->RotateAndStore(rows, layer, static_cast<int>(shard_.heads.size()), static_cast<int>(shard_.kv_heads.size()),
                           config_.head_dim(), config_.rope_theta, qkv);
  Project(layer, rows, qkv.Columns(0, q_columns()), hidden, delta);
}

// The same in two halves for the last layer: keys and values of every row,
void Model::StoreKeysAndValues(int layer, const RowLayout& rows, const Tensor& hidden) {
  const LayerWeights& w = weights_.layers[layer];
  const Tensor normed = activations_.normed.Rows(0, hidden.rows);
  const Tensor kv = Reshape(activations_.qkv, hidden.rows, 2 * kv_columns());
  backend_->RmsNorm(hidden, w.attention_norm.tensor, config_.norm_epsilon, normed);
  backend_->MatMul(normed, *w.key_value, kv);
  backend_->RotateAndStore(rows, layer, /*heads=*/0, static_cast<int>(shard_.kv_heads.size()), config_.head_dim(),
                           config_.rope_theta, kv);
}

// and queries of the sampled ones.
void Model::AttendSampled(int layer, const RowLayout& rows, const Tensor& hidden, const Tensor& delta) {
  const LayerWeights& w = weights_.layers[layer];
  const Tensor normed = activations_.normed.Rows(0, hidden.rows);
  const Tensor q = Reshape(activations_.qkv, hidden.rows, q_columns());
  backend_->RmsNorm(hidden, w.attention_norm.tensor, config_.norm_epsilon, normed);
  backend_->MatMul(normed, *w.query, q);
  backend_->RotateAndStore(rows, layer, static_cast<int>(shard_.heads.size()), /*kv_heads=*/0, config_.head_dim(),
                           config_.rope_theta, q);
  Project(layer, rows, q, hidden, delta);
}

void Model::Project(int layer, const RowLayout& rows, const Tensor& q, const Tensor& hidden, const Tensor& delta) {
  const Tensor mixed = activations_.mixed.Rows(0, hidden.rows);
  backend_->Attend(rows, layer, static_cast<int>(shard_.heads.size()), config_.head_dim(), kv_map_, q, mixed);
  backend_->MatMul(mixed, *weights_.layers[layer].attention_out, delta);
  ranks_->AllReduceSum(delta);
  backend_->Add(delta, hidden);
}

// x += down(silu(gate(norm(x))) * up(norm(x)))
void Model::Mlp(int layer, const Tensor& hidden, const Tensor& delta) {
  const LayerWeights& w = weights_.layers[layer];
  const Tensor normed = activations_.normed.Rows(0, hidden.rows);
  const Tensor gate_up = activations_.gate_up.Rows(0, hidden.rows);
  const Tensor activated = activations_.activated.Rows(0, hidden.rows);
  backend_->RmsNorm(hidden, w.mlp_norm.tensor, config_.norm_epsilon, normed);
  backend_->MatMulSwiGlu(normed, *w.gate_up, gate_up, activated);
  backend_->MatMul(activated, *w.down, delta);
  ranks_->AllReduceSum(delta);
  backend_->Add(delta, hidden);
}

}  // namespace unmask
