// A part of a score: tasks one after the other, each a window that sees the whole canvas, so that every window may be
// computed anywhere. Several such sequences are what shares a step.
#ifndef UNMASK_COORDINATOR_SCORING_SEQUENCE_H_
#define UNMASK_COORDINATOR_SCORING_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/score_plan.h"
#include "coordinator/sequence.h"

namespace unmask {

class ScoringSequence final : public Sequence {
 public:
  // tasks: indices into the plan's, at least one.
  ScoringSequence(uint64_t id, std::shared_ptr<const ScorePlan> plan, std::vector<int32_t> tasks);

  v1::Priority priority() const override { return plan_->priority; }
  const std::string& request_id() const override { return plan_->request_id; }
  bool done() const override { return next_ == tasks_.size(); }

  int64_t NextRows() const override { return static_cast<int64_t>(canvas_.size()) * branches(); }
  double NextCost() const override { return CostOf(canvas_.size()); }
  int64_t KvPositions() const override { return int64_t{length_} * branches(); }
  int64_t WorkLeft() const override { return static_cast<int64_t>(work_left_); }
  int64_t WindowsLeft() const override { return windows_left_; }

  internal::v1::Window PlanWindow() const override;
  absl::StatusOr<StepOutcome> Advance(const internal::v1::Candidates& candidates) override;

  void LoseKv() override {}
  bool MovesFreely() const override { return true; }

  // How it was computed, and in how many forward passes; the scores went to the sink.
  v1::GenerateResponse Response() const override;

 private:
  int branches() const { return plan_->cfg_scale > 0 ? 2 : 1; }
  double CostOf(int64_t canvas_length) const;  // Of a window.
  const ScoreTask& task() const { return plan_->tasks[tasks_[next_]]; }
  int32_t prompt_length() const { return static_cast<int32_t>(plan_->prompt.size()); }
  std::vector<int32_t> MaskedPositions() const;
  void BeginTask();
  void SkipWindows(int64_t windows);  // Computed, or never to be.
  // The reference's estimate from one sample: - (sum of cross entropies) / (share of the target that is masked).
  double LogLikelihood(const internal::v1::Candidates& candidates) const;
  // Reveals the most confident token; whether the target comes of it, once that is certain.
  std::optional<bool> Reveal(const internal::v1::Candidates& candidates);

  const std::shared_ptr<const ScorePlan> plan_;
  const std::vector<int32_t> tasks_;
  int32_t length_ = 0;           // Of the longest canvas.
  size_t next_ = 0;              // Of tasks_.
  std::vector<int32_t> canvas_;  // Of the next window.
  int32_t revealed_ = 0;         // Steps of greedy decoding run.
  int32_t forward_passes_ = 0;
  int64_t windows_left_ = 0;
  double work_left_ = 0;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_SCORING_SEQUENCE_H_
