// One rank of a replica, put together: what it is known by before its weights are loaded, and what computes after.
#ifndef UNMASK_WORKER_RANK_H_
#define UNMASK_WORKER_RANK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cluster/communicator.h"
#include "cluster/shard.h"
#include "kernels/backend.h"
#include "unmask/internal/v1/replica.pb.h"
#include "worker/config.h"
#include "worker/engine.h"
#include "worker/kv_cache.h"
#include "worker/model.h"
#include "worker/safetensors.h"
#include "worker/weights.h"

namespace unmask {

struct RankOptions {
  std::string model;           // The checkpoint's folder.
  std::string dtype = "auto";  // auto, fp32, bf16 or int8.
  std::string device = "cpu";  // Or cuda.
  int threads = 0;             // 0: the cores allowed, divided by the ranks of this host.
  int64_t kv_memory = 0;       // Bytes of K/V of this rank; 0: chosen.
  int32_t max_rows = 0;        // Of a step; 0: two canvases of full length.
  // This replica among those that share this host's cores, memory and devices.
  int host_replica = 0;
  int host_replicas = 1;
  // What the weights must be: the digest in `numerics`, of this many ranks; empty: whatever they are.
  std::string weights_digest;
};

class Rank {
 public:
  // Called by all ranks, as Load; both fail on all where they fail on one. Quick. DATA_LOSS for a corrupt checkpoint,
  // INVALID_ARGUMENT or UNIMPLEMENTED for what can never work.
  static absl::StatusOr<std::unique_ptr<Rank>> Open(const RankOptions& options, Communicator* ranks);

  // Loads and packs the weights, takes the memory. `progress` as in LoadWeights. DATA_LOSS too for weights that are
  // finite but not those of options.weights_digest.
  absl::Status Load(const LoadingProgress& progress);

  // After Open: shape, dtype and ranks.
  const internal::v1::ReplicaDescription& description() const { return description_; }

  // After Load.
  const internal::v1::ReplicaReady& ready() const { return ready_; }
  Engine* engine() { return engine_.get(); }
  Model* model() { return model_.get(); }
  Backend* backend() { return backend_.get(); }
  const Config& config() const { return config_; }
  const Shard& shard() const { return shard_; }
  const Weights& weights() const { return weights_; }

 private:
  Rank(const RankOptions& options, Communicator* ranks) : options_(options), ranks_(ranks) {}

  absl::Status ReadCheckpoint();
  // What a rank computes in: the same on every rank.
  struct Precision {
    DType dtype = DType::kF32;
    bool int8 = false;  // The layers' products.
  };
  absl::Status CheckDigest() const;  // Of loaded weights: the same answer on every rank.
  absl::StatusOr<Precision> ChoosePrecision();
  bool AllRanks(bool own);                                                  // Whether all say so.
  int SharersHere() const { return options_.host_replicas * ranks_here_; }  // Ranks of this host.
  absl::Status OpenDevice(const Precision& precision);
  absl::Status ConnectDevices();
  void Describe(const Precision& precision);
  void Announce(int64_t kv_positions);

  const RankOptions options_;
  Communicator* const ranks_;
  Config config_;
  Shard shard_;
  std::unique_ptr<Checkpoint> checkpoint_;  // Until loaded.
  std::unique_ptr<Backend> backend_;        // Outlives everything below.
  std::unique_ptr<Communicator> devices_;   // Sums of tensors that lie on devices; null where `ranks_` can.
  Weights weights_;
  std::unique_ptr<KvCache> kv_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Engine> engine_;
  int ranks_here_ = 1;  // On this host,
  int rank_here_ = 0;   // of which this is.
  int32_t max_rows_ = 0;
  internal::v1::ReplicaDescription description_;
  internal::v1::ReplicaReady ready_;
};

}  // namespace unmask

#endif  // UNMASK_WORKER_RANK_H_
