// A score as it is computed: which positions of which target every sample masks, and which samples are the same task.
#ifndef UNMASK_COORDINATOR_SCORE_PLAN_H_
#define UNMASK_COORDINATOR_SCORE_PLAN_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/served_model.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

// One window, or one after the other.
struct ScoreTask {
  int32_t target = 0;           // Index.
  std::vector<int32_t> masked;  // Positions of the canvas, ascending. Empty: greedy decoding of the whole target.

  bool greedy() const { return masked.empty(); }
};

// Immutable once it is made; shared by the sequences that compute it.
struct ScorePlan {
  std::shared_ptr<const ServedModel> model;
  std::vector<int32_t> prompt;
  std::vector<std::vector<int32_t>> targets;
  int32_t samples = 0;
  int32_t strata = 0;
  uint64_t seed = 0;
  float cfg_scale = 0;
  bool reference_parity = false;
  v1::Priority priority = v1::PRIORITY_INTERACTIVE;
  std::string request_id;

  std::vector<ScoreTask> tasks;
  // Of each target.
  struct Tasks {
    std::vector<int32_t> samples;  // Which task each of its samples is, in the order of draws.
    int32_t greedy = -1;           // -1: not asked for.
  };
  std::vector<Tasks> tasks_of;

  int32_t TargetLength(int32_t target) const { return static_cast<int32_t>(targets[target].size()); }
  std::vector<int32_t> Canvas(int32_t target) const;  // The prompt and the target, nothing masked.
  // Forward passes of a task, at the most.
  int32_t Windows(const ScoreTask& task) const { return task.greedy() ? TargetLength(task.target) : 1; }
};

// Errors as for a generation (coordinator/request.h). drawn_seed is used where the request has none.
absl::StatusOr<ScorePlan> ParseScore(const v1::ScoreRequest& request, const std::shared_ptr<const ServedModel>& model,
                                     uint64_t drawn_seed);

// Deals the tasks to at most `hands`, each as many windows as the others where that is possible: indices into tasks.
std::vector<std::vector<int32_t>> DealTasks(const ScorePlan& plan, int hands);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_SCORE_PLAN_H_
