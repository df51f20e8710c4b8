// One rank of a replica: Step in, StepResult out. All ranks do the same with the same messages, and the result is the
// same on each. Not thread-safe.
#ifndef UNMASK_WORKER_ENGINE_H_
#define UNMASK_WORKER_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cluster/communicator.h"
#include "kernels/backend.h"
#include "unmask/internal/v1/replica.pb.h"
#include "worker/kv_cache.h"
#include "worker/model.h"
#include "worker/step_check.h"

namespace unmask {

class Engine {
 public:
  Engine(const StepLimits& limits, Model* model, KvCache* kv, Backend* backend, Communicator* ranks)
      : limits_(limits), model_(model), kv_(kv), backend_(backend), ranks_(ranks) {}

  // Called by all ranks with equal steps. A step that breaks a rule gives a result with an error and changes nothing
  // but its releases. An error here is the end of the replica: its K/V may be half written.
  absl::StatusOr<internal::v1::StepResult> Run(const internal::v1::Step& step);

  void Release(const internal::v1::Release& release);

  // A new connection: the sequences of the last one are gone.
  void Forget() { kv_->Clear(); }

 private:
  // Every rank's records, merged in rank order. Fails on all ranks where one's backend failed.
  absl::StatusOr<std::vector<CandidateRecord>> Gather(const std::vector<CandidateRecord>& own);

  const StepLimits limits_;
  Model* const model_;
  KvCache* const kv_;
  Backend* const backend_;
  Communicator* const ranks_;
};

}  // namespace unmask

#endif  // UNMASK_WORKER_ENGINE_H_
