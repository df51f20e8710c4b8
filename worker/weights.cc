#include "worker/weights.h"

#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "worker/agree.h"
#include "worker/slice_reader.h"
#include "worker/tensor_plan.h"

namespace unmask {
namespace {

class Loader {
 public:
  Loader(const Checkpoint& checkpoint, const Config& config, const Shard& shard, Backend* backend)
      : config_(config), backend_(backend), reader_(checkpoint, config, shard) {}

  absl::Status LoadEmbedding(Weights* weights) {
    UNMASK_ASSIGN_OR_RETURN(const Tensor stored, reader_.Read(Role::kEmbedding));
    UNMASK_ASSIGN_OR_RETURN(weights->embedding, Upload(stored, stored.dtype));
    if (config_.tied) {
      UNMASK_ASSIGN_OR_RETURN(weights->head, PackHead(stored));
    }
    return Finish();
  }

  absl::Status LoadLayer(int layer, LayerWeights* weights) {
    UNMASK_ASSIGN_OR_RETURN(weights->attention_norm, Norm(Role::kAttentionNorm, layer));
    UNMASK_ASSIGN_OR_RETURN(const Tensor query, reader_.Read(Role::kQuery, layer));
    UNMASK_ASSIGN_OR_RETURN(const Tensor key, reader_.Read(Role::kKey, layer));
    UNMASK_ASSIGN_OR_RETURN(const Tensor value, reader_.Read(Role::kValue, layer));
    if (layer + 1 < config_.layers) {
      UNMASK_ASSIGN_OR_RETURN(weights->qkv, Pack({query, key, value}));
    } else {
      UNMASK_ASSIGN_OR_RETURN(weights->query, Pack({query}));
      UNMASK_ASSIGN_OR_RETURN(weights->key_value, Pack({key, value}));
    }
    UNMASK_ASSIGN_OR_RETURN(const Tensor out, reader_.Read(Role::kAttentionOut, layer));
    UNMASK_ASSIGN_OR_RETURN(weights->attention_out, Pack({out}));
    UNMASK_ASSIGN_OR_RETURN(weights->mlp_norm, Norm(Role::kMlpNorm, layer));
    UNMASK_ASSIGN_OR_RETURN(const Tensor gate, reader_.Read(Role::kGate, layer));
    UNMASK_ASSIGN_OR_RETURN(const Tensor up, reader_.Read(Role::kUp, layer));
    UNMASK_ASSIGN_OR_RETURN(weights->gate_up, Pack({gate, up}));
    UNMASK_ASSIGN_OR_RETURN(const Tensor down, reader_.Read(Role::kDown, layer));
    UNMASK_ASSIGN_OR_RETURN(weights->down, Pack({down}));
    return Finish();
  }

  absl::Status LoadHead(Weights* weights) {
    UNMASK_ASSIGN_OR_RETURN(weights->final_norm, Norm(Role::kFinalNorm, 0));
    if (!config_.tied) {
      UNMASK_ASSIGN_OR_RETURN(const Tensor head, reader_.Read(Role::kHead));
      UNMASK_ASSIGN_OR_RETURN(weights->head, PackHead(head));
    }
    return Finish();
  }

  int64_t elements_read() const { return reader_.elements_read(); }
  int64_t bytes() const { return bytes_; }
  std::string Digest() const { return reader_.Digest(); }

 private:
  absl::StatusOr<OwnedTensor> Norm(Role role, int layer) {
    UNMASK_ASSIGN_OR_RETURN(const Tensor stored, reader_.Read(role, layer));
    return Upload(stored, DType::kF32);
  }

  absl::StatusOr<OwnedTensor> Upload(const Tensor& host, DType dtype) {
    const int64_t bytes = host.rows * host.columns * static_cast<int64_t>(ByteSize(dtype));
    OwnedTensor owned;
    UNMASK_ASSIGN_OR_RETURN(owned.memory, backend_->Allocate(bytes));
    owned.tensor = {dtype, host.rows, host.columns, host.columns, owned.memory->data()};
    backend_->Upload(host, owned.tensor);
    bytes_ += bytes;
    return owned;
  }

  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(std::initializer_list<Tensor> slices) {
    return Counted(backend_->Pack(slices));
  }

  absl::StatusOr<std::unique_ptr<PackedMatrix>> PackHead(const Tensor& head) {
    return Counted(backend_->PackHead({head}));
  }

  absl::StatusOr<std::unique_ptr<PackedMatrix>> Counted(absl::StatusOr<std::unique_ptr<PackedMatrix>> packed) {
    if (packed.ok()) bytes_ += (*packed)->bytes();
    return packed;
  }

  // Uploads may still read the pages until the backend is in step.
  absl::Status Finish() {
    UNMASK_RETURN_IF_ERROR(backend_->Synchronize());
    reader_.Forget();
    return absl::OkStatus();
  }

  const Config& config_;
  Backend* const backend_;
  SliceReader reader_;
  int64_t bytes_ = 0;
};

// One digest of all ranks': of their digests, in rank order.
std::string Combine(const std::string& own, Communicator* ranks) {
  std::string all;
  for (const std::string& digest : ranks->AllGather(own)) all += digest;
  XXH128_canonical_t combined;
  XXH128_canonicalFromHash(&combined, XXH3_128bits(all.data(), all.size()));
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(combined.digest), sizeof combined.digest));
}

}  // namespace

absl::StatusOr<Weights> LoadWeights(const Checkpoint& checkpoint, const Config& config, const Shard& shard,
                                    Backend* backend, Communicator* ranks, const LoadingProgress& progress) {
  Loader loader(checkpoint, config, shard, backend);
  Weights weights;
  weights.layers.resize(config.layers);
  const int64_t item = ByteSize(backend->compute_dtype());
  const int64_t total = SliceElements(config, shard) * item;

  // Ranks agree after each part: where one finds its own broken, all end at once.
  const auto finish = [&](absl::Status status) {
    if (status.ok()) status = progress(loader.elements_read() * item, total);
    return Agree(status, ranks);
  };
  UNMASK_RETURN_IF_ERROR(finish(loader.LoadEmbedding(&weights)));
  for (int layer = 0; layer < config.layers; ++layer) {
    UNMASK_RETURN_IF_ERROR(finish(loader.LoadLayer(layer, &weights.layers[layer])));
  }
  UNMASK_RETURN_IF_ERROR(finish(loader.LoadHead(&weights)));
  weights.bytes = loader.bytes();
  weights.digest = Combine(loader.Digest(), ranks);
  return weights;
}

}  // namespace unmask
