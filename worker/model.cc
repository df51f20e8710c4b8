#include "worker/model.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace unmask {
namespace {

// Weights that the last-level cache holds: every part of a step reads them all, one that shares operations only once.
constexpr int64_t kCachedWeights = 32 << 20;

// As many rows of fewer columns, without gaps, in the same memory.
Tensor Dense(const Tensor& rows, int64_t columns) { return {rows.dtype, rows.rows, columns, columns, rows.data}; }

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
    memory_.push_back(std::move(memory));
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

Model::Activations Model::Activations::Rows(int64_t begin, int64_t end) const {
  return {hidden.Rows(begin, end), delta.Rows(begin, end),   normed.Rows(begin, end),   qkv.Rows(begin, end),
          mixed.Rows(begin, end),  gate_up.Rows(begin, end), activated.Rows(begin, end)};
}

int Model::parts_at_once() const {
  return ranks_->size() == 1 && weights_.bytes <= kCachedWeights ? backend_->parts_at_once() : 1;
}

void Model::Forward(absl::Span<const Batch> batches, absl::Span<CandidateRecord> records) {
  struct Part {
    const Batch* batch;
    Activations activations;
    absl::Span<CandidateRecord> records;
  };
  std::vector<Part> parts;
  int64_t row = 0, record = 0;
  for (const Batch& batch : batches) {
    const int64_t rows = batch.tokens.size(), specs = batch.specs.size();
    parts.push_back({&batch, activations_.Rows(row, row + rows), records.subspan(record, specs)});
    row += rows;
    record += specs;
  }
  // The largest first, so that the threads end together.
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& a, const Part& b) { return a.batch->tokens.size() > b.batch->tokens.size(); });
  backend_->RunParts(static_cast<int64_t>(parts.size()),
                     [&](int64_t i) { ForwardBatch(*parts[i].batch, parts[i].activations, parts[i].records); });
  final_states_ = activations_.normed.Rows(0, batches[0].sampled.size());
}

void Model::ForwardBatch(const Batch& batch, Activations a, absl::Span<CandidateRecord> records) {
  Embed(batch, a);
  const int last = config_.layers - 1;
  for (int layer = 0; layer < last; ++layer) {
    AttendAll(layer, batch.rows, a);
    Mlp(layer, a);
    if (watcher_) watcher_(layer + 1, a.hidden);
  }

  StoreKeysAndValues(last, batch.rows, a);
  if (batch.sampled.empty()) return;
  const Tensor all = a.hidden;
  a = a.Rows(0, batch.sampled.size());
  backend_->TakeRows(all, batch.sampled, a.delta);
  std::swap(a.hidden, a.delta);
  AttendSampled(last, batch.sampled_rows, a);
  Mlp(last, a);
  if (watcher_) watcher_(last + 1, a.hidden);

  backend_->RmsNorm(a.hidden, weights_.final_norm.tensor, config_.norm_epsilon, a.normed);
  backend_->PickCandidates(a.normed, *weights_.head, static_cast<int32_t>(shard_.vocabulary.begin), batch.specs,
                           records);
}

// x = wte[token]: each rank has some of the tokens' rows and zero for the others.
void Model::Embed(const Batch& batch, const Activations& a) {
  backend_->Embed(weights_.embedding.tensor, batch.tokens, static_cast<int32_t>(shard_.vocabulary.begin), a.hidden);
  ranks_->AllReduceSum(a.hidden);
  if (watcher_) watcher_(0, a.hidden);
}

// x += attn_out(attention(norm(x)))
void Model::AttendAll(int layer, const RowLayout& rows, const Activations& a) {
  const LayerWeights& w = weights_.layers[layer];
  backend_->RmsNorm(a.hidden, w.attention_norm.tensor, config_.norm_epsilon, a.normed);
  backend_->MatMul(a.normed, *w.qkv, a.qkv);
  backend_->RotateAndStore(rows, layer, static_cast<int>(shard_.heads.size()), static_cast<int>(shard_.kv_heads.size()),
                           config_.head_dim(), config_.rope_theta, a.qkv);
  Project(layer, rows, a.qkv.Columns(0, q_columns()), a);
}

// The same in two halves for the last layer: keys and values of every row,
void Model::StoreKeysAndValues(int layer, const RowLayout& rows, const Activations& a) {
  const LayerWeights& w = weights_.layers[layer];
  const Tensor kv = Dense(a.qkv, 2 * kv_columns());
  backend_->RmsNorm(a.hidden, w.attention_norm.tensor, config_.norm_epsilon, a.normed);
  backend_->MatMul(a.normed, *w.key_value, kv);
  backend_->RotateAndStore(rows, layer, /*heads=*/0, static_cast<int>(shard_.kv_heads.size()), config_.head_dim(),
                           config_.rope_theta, kv);
}

// and queries of the sampled ones.
void Model::AttendSampled(int layer, const RowLayout& rows, const Activations& a) {
  const LayerWeights& w = weights_.layers[layer];
  const Tensor q = Dense(a.qkv, q_columns());
  backend_->RmsNorm(a.hidden, w.attention_norm.tensor, config_.norm_epsilon, a.normed);
  backend_->MatMul(a.normed, *w.query, q);
  backend_->RotateAndStore(rows, layer, static_cast<int>(shard_.heads.size()), /*kv_heads=*/0, config_.head_dim(),
                           config_.rope_theta, q);
  Project(layer, rows, q, a);
}

void Model::Project(int layer, const RowLayout& rows, const Tensor& q, const Activations& a) {
  backend_->Attend(rows, layer, static_cast<int>(shard_.heads.size()), config_.head_dim(), kv_map_, q, a.mixed);
  backend_->MatMul(a.mixed, *weights_.layers[layer].attention_out, a.delta);
  ranks_->AllReduceSum(a.delta);
  backend_->Add(a.delta, a.hidden);
}

// x += down(silu(gate(norm(x))) * up(norm(x)))
void Model::Mlp(int layer, const Activations& a) {
  const LayerWeights& w = weights_.layers[layer];
  backend_->RmsNorm(a.hidden, w.mlp_norm.tensor, config_.norm_epsilon, a.normed);
  backend_->MatMulSwiGlu(a.normed, *w.gate_up, a.gate_up, a.activated);
  backend_->MatMul(a.activated, *w.down, a.delta);
  ranks_->AllReduceSum(a.delta);
  backend_->Add(a.delta, a.hidden);
}

}  // namespace unmask
