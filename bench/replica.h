// A rank put together by hand, so that a benchmark sees inside: the product's engine over a backend that is timed, and
// generations that the product's own Sequence drives, a step at a time and without a coordinator.
#ifndef UNMASK_BENCH_REPLICA_H_
#define UNMASK_BENCH_REPLICA_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/profile.h"
#include "cluster/communicator.h"
#include "coordinator/denoising_sequence.h"
#include "worker/engine.h"

namespace unmask::bench {

class Replica {
 public:
  // dtype: fp32, bf16 or int8. Called by all ranks, as everything here. `ranks` must outlive it.
  static absl::StatusOr<std::unique_ptr<Replica>> Open(const std::string& folder, const std::string& dtype, int threads,
                                                       Communicator* ranks);

  // Starts `company` <= kMostCompany sequences that share their steps, in place of those before. Their tokens are
  // decided alike on every rank.
  static constexpr int kMostCompany = 32;
  void Begin(const SequenceSpec& spec, int company = 1);
  const Sequence* sequence() const { return sequences_.empty() ? nullptr : sequences_[0].get(); }  // The first.

  struct StepTime {
    double seconds = 0;  // The engine's and the sequences', wall.
    Profile profile;     // Of this rank.
    int64_t sampled = 0;
  };
  // Runs the sequences' next step; not when they are done.
  absl::StatusOr<StepTime> Step();

  // One window, outside any sequence.
  absl::StatusOr<internal::v1::StepResult> Run(const internal::v1::Window& window);
  // Of the last step, of this rank: (sampled rows, vocabulary rows).
  absl::StatusOr<std::vector<float>> Logits();

  std::shared_ptr<const ServedModel> served() const { return served_; }
  const Config& config() const { return config_; }
  std::string numerics() const { return backend_->Numerics(); }

 private:
  explicit Replica(Communicator* ranks) : ranks_(ranks) {}
  absl::Status Load(const std::string& folder, const std::string& dtype, int threads);

  Communicator* const ranks_;
  Config config_;
  Shard shard_;
  Profile profile_;
  std::unique_ptr<Backend> backend_;  // Outlives everything below.
  Weights weights_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<KvCache> kv_;
  std::unique_ptr<Engine> engine_;
  std::shared_ptr<ServedModel> served_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
  uint64_t last_id_ = 0;
};

// The benchmark's generation: prompt 64 ids, gen 64, block 32, steps 64, greedy, lowest confidence last, never ended
// early. CACHE_NONE, CACHE_PREFIX or CACHE_DUAL.
SequenceSpec BenchSpec(const std::shared_ptr<const ServedModel>& model, v1::Cache cache);

}  // namespace unmask::bench

#endif  // UNMASK_BENCH_REPLICA_H_
