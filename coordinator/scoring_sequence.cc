#include "coordinator/scoring_sequence.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace unmask {

using internal::v1::Candidates;
using internal::v1::Window;

ScoringSequence::ScoringSequence(uint64_t id, std::shared_ptr<const ScorePlan> plan, std::vector<int32_t> tasks)
    : Sequence(id), plan_(std::move(plan)), tasks_(std::move(tasks)) {
  for (const int32_t index : tasks_) {
    const ScoreTask& task = plan_->tasks[index];
    const int32_t length = prompt_length() + plan_->TargetLength(task.target);
    const int32_t windows = plan_->Windows(task);
    length_ = std::max(length_, length);
    windows_left_ += windows;
    work_left_ += windows * CostOf(length);
  }
  BeginTask();
}

double ScoringSequence::CostOf(int64_t canvas_length) const {
  return canvas_length * branches() * RowCost(plan_->model->shape, canvas_length);
}

void ScoringSequence::BeginTask() {
  revealed_ = 0;
  if (done()) return;
  canvas_ = plan_->Canvas(task().target);
  const int32_t mask = plan_->model->mask();
  if (task().greedy()) std::fill(canvas_.begin() + prompt_length(), canvas_.end(), mask);
  for (const int32_t position : task().masked) canvas_[position] = mask;
}

void ScoringSequence::SkipWindows(int64_t windows) {
  windows_left_ -= windows;
  work_left_ = windows_left_ == 0 ? 0 : std::max(work_left_ - windows * NextCost(), 1.0);
}

// Those of the task; in parity mode also where the prompt or the target itself holds a mask, as the reference has it.
std::vector<int32_t> ScoringSequence::MaskedPositions() const {
  std::vector<int32_t> positions;
  for (size_t p = 0; p < canvas_.size(); ++p) {
    if (canvas_[p] == plan_->model->mask()) positions.push_back(static_cast<int32_t>(p));
  }
  return positions;
}

Window ScoringSequence::PlanWindow() const {
  const ServedModel& model = *plan_->model;
  Window window;
  window.set_sequence(id());
  window.set_length(length_);
  window.add_horizons(static_cast<int32_t>(canvas_.size()));
  window.mutable_tokens()->Add(canvas_.begin(), canvas_.end());
  if (plan_->cfg_scale > 0) {
    window.set_cfg_scale(plan_->cfg_scale);
    auto* tokens = window.mutable_unconditional_tokens();
    tokens->Add(canvas_.begin(), canvas_.end());
    std::fill(tokens->begin(), tokens->begin() + prompt_length(), model.mask());
  }
  const std::vector<int32_t> masked = MaskedPositions();
  window.mutable_sample()->Add(masked.begin(), masked.end());
  if (!task().greedy()) {
    // Over all ids, as the model was trained: none is left out.
    const std::vector<int32_t> truth = plan_->Canvas(task().target);
    for (const int32_t position : masked) window.add_asked(truth[position]);
  } else if (!plan_->reference_parity) {
    window.mutable_sampling()->set_token_bound(model.token_bound());
    window.mutable_sampling()->add_suppressed(model.mask());
  }
  return window;
}

absl::StatusOr<StepOutcome> ScoringSequence::Advance(const Candidates& candidates) {
  UNMASK_RETURN_IF_ERROR(CheckFinite(candidates, forward_passes_));
  Survive();
  ++forward_passes_;
  SkipWindows(1);
  StepOutcome outcome;
  TaskScore score = {.task = tasks_[next_]};
  if (task().greedy()) {
    const std::optional<bool> match = Reveal(candidates);
    if (!match) return outcome;
    score.match = *match;
    SkipWindows(plan_->Windows(task()) - revealed_);
  } else {
    score.log_likelihood = LogLikelihood(candidates);
  }
  outcome.score = score;
  ++next_;
  BeginTask();
  return outcome;
}

double ScoringSequence::LogLikelihood(const Candidates& candidates) const {
  double sum = 0;
  for (const float log_probability : candidates.log_probabilities()) sum += log_probability;
  return sum * plan_->TargetLength(task().target) / static_cast<double>(task().masked.size());
}

std::optional<bool> ScoringSequence::Reveal(const Candidates& candidates) {
  const std::vector<int32_t> masked = MaskedPositions();
  const auto& confidences = candidates.confidences();
  if (!masked.empty()) {  // In parity mode the model may propose the mask, and nothing changes.
    const auto best = std::max_element(confidences.begin(), confidences.end()) - confidences.begin();
    canvas_[masked[best]] = candidates.tokens(best);
  }
  ++revealed_;
  const std::vector<int32_t>& target = plan_->targets[task().target];
  const int32_t mask = plan_->model->mask();
  bool equal = true;
  for (size_t i = 0; i < target.size(); ++i) {
    const int32_t token = canvas_[prompt_length() + i];
    if (token != target[i] && token != mask) return false;  // What is revealed stays.
    equal = equal && token == target[i];
  }
  if (revealed_ == static_cast<int32_t>(target.size())) return equal;
  return std::nullopt;
}

v1::GenerateResponse ScoringSequence::Response() const {
  v1::GenerateResponse response;
  response.mutable_usage()->set_forward_passes(forward_passes_);
  Sign(*plan_->model, {}, &response);
  return response;
}

}  // namespace unmask
