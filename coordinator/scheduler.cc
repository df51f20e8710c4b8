#include "coordinator/scheduler.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/errors.h"

namespace unmask {

using internal::v1::Step;
using internal::v1::StepResult;

namespace {

// How many interactive ones may go before a batch one that waits.
constexpr int kBatchPatience = 8;

// All that run get their turn within so many steps.
constexpr double kStepsToServeAll = 2;

bool Finite(const google::protobuf::RepeatedField<float>& figures) {
  return std::all_of(figures.begin(), figures.end(), [](float figure) { return std::isfinite(figure); });
}

bool Interactive(const Sequence& sequence) { return sequence.spec().priority != v1::PRIORITY_BATCH; }

}  // namespace

absl::Status Scheduler::Admit(std::unique_ptr<Sequence>& sequence) {
  if (sequence->KvPositions() > limits_.kv_positions) {
    return ServiceError(
        absl::StatusCode::kResourceExhausted, kOverloaded, "the sequence exceeds the replica's K/V memory",
        {{"positions", absl::StrCat(sequence->KvPositions())}, {"kv_positions", absl::StrCat(limits_.kv_positions)}});
  }
  work_waiting_ += sequence->WorkLeft();
  (Interactive(*sequence) ? interactive_ : batch_).push_back(std::move(sequence));
  return absl::OkStatus();
}

Scheduler::Sequences* Scheduler::NextQueue() {
  if (batch_.empty()) return interactive_.empty() ? nullptr : &interactive_;
  return interactive_.empty() || starts_without_batch_ >= kBatchPatience ? &batch_ : &interactive_;
}

void Scheduler::StartWaiting(double max_cost) {
  double cost = 0;
  for (const auto& sequence : running_) cost += sequence->NextCost();
  while (Sequences* queue = NextQueue()) {
    // Strictly in order: the first in line waits for room, so a long sequence is not starved by short ones.
    Sequence& first = *queue->front();
    if (kv_used_ + first.KvPositions() > limits_.kv_positions) return;
    if (!running_.empty() && cost + first.NextCost() > kStepsToServeAll * max_cost) return;
    cost += first.NextCost();
    kv_used_ += first.KvPositions();
    work_waiting_ -= first.WorkLeft();
    starts_without_batch_ = queue == &batch_ || batch_.empty() ? 0 : starts_without_batch_ + 1;
    running_.push_back(std::move(queue->front()));
    queue->pop_front();
  }
}

std::vector<Sequence*> Scheduler::ChooseWindows(double max_cost) {
  // A suspect goes alone, so that a death convicts or clears it and nobody else.
  for (const auto& sequence : running_) {
    if (sequence->suspect) return {sequence.get()};
  }
  std::vector<Sequence*> chosen;
  int64_t rows = 0;
  double cost = 0;
  bool any_batch = false;
  const auto take = [&](bool interactive) {
    for (const auto& sequence : running_) {
      if (Interactive(*sequence) != interactive) continue;
      const int64_t next_rows = sequence->NextRows();
      const double next_cost = sequence->NextCost();
      const bool fits = rows + next_rows <= limits_.max_rows && cost + next_cost <= max_cost;
      if (!chosen.empty() && !fits) continue;
      chosen.push_back(sequence.get());
      rows += next_rows;
      cost += next_cost;
      any_batch |= !interactive;
    }
  };
  const bool batch_first = steps_without_batch_ >= kBatchPatience;
  take(/*interactive=*/!batch_first);
  take(/*interactive=*/batch_first);
  const bool batch_runs = std::any_of(running_.begin(), running_.end(), [](const auto& s) { return !Interactive(*s); });
  steps_without_batch_ = any_batch || !batch_runs ? 0 : steps_without_batch_ + 1;
  return chosen;
}

std::optional<Step> Scheduler::Plan(double max_cost, std::vector<Sequence*>* started) {
  if (step_in_flight_) return std::nullopt;
  StartWaiting(max_cost);
  if (running_.empty()) return std::nullopt;
  Step step;
  step.set_id(++steps_);
  in_step_.clear();
  cost_in_flight_ = 0;
  for (Sequence* sequence : ChooseWindows(max_cost)) {
    cost_in_flight_ += sequence->NextCost();
    internal::v1::Window* window = step.add_windows();
    *window = sequence->PlanWindow();
    in_step_.push_back({.sequence = sequence->id(),
                        .sampled = window->sample_size(),
                        .margin = window->sampling().margin(),
                        .entropy = window->sampling().entropy()});
    if (!std::exchange(sequence->started, true)) started->push_back(sequence);
  }
  step.mutable_release()->Add(releases_.begin(), releases_.end());
  releases_.clear();
  step_in_flight_ = true;
  return step;
}

// Whether an answer has all that its step asked for, and only tokens that exist.
absl::Status Scheduler::Check(const StepResult& result) const {
  if (!step_in_flight_ || result.id() != steps_) {
    return absl::InvalidArgumentError(absl::StrCat("a result for step ", result.id(), ", which is not in flight"));
  }
  if (!result.error().empty()) return absl::InternalError(absl::StrCat("the replica refused a step: ", result.error()));
  if (result.candidates_size() != static_cast<int>(in_step_.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("candidates for ", result.candidates_size(), " windows, not ", in_step_.size()));
  }
  for (size_t i = 0; i < in_step_.size(); ++i) {
    const WindowInFlight& window = in_step_[i];
    const internal::v1::Candidates& candidates = result.candidates(i);
    if (candidates.not_finite()) continue;
    if (candidates.tokens_size() != window.sampled || candidates.confidences_size() != window.sampled ||
        (window.margin && candidates.margins_size() != window.sampled) ||
        (window.entropy && candidates.entropies_size() != window.sampled)) {
      return absl::InvalidArgumentError(
          absl::StrCat("candidates for ", candidates.tokens_size(), " positions, not ", window.sampled));
    }
    // Strategies sort by these: NaN has no place in an order.
    if (!Finite(candidates.confidences()) || !Finite(candidates.margins()) || !Finite(candidates.entropies())) {
      return absl::InvalidArgumentError("a confidence, margin or entropy is not finite, and not_finite is not set");
    }
    for (int32_t token : candidates.tokens()) {
      if (token < 0 || token >= embedding_size_) {
        return absl::InvalidArgumentError(
            absl::StrCat("proposed token ", token, " is not in [0, ", embedding_size_, ")"));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Scheduler::Progress>> Scheduler::Apply(const StepResult& result) {
  UNMASK_RETURN_IF_ERROR(Check(result));
  absl::flat_hash_map<uint64_t, int> window_of;
  for (size_t i = 0; i < in_step_.size(); ++i) window_of[in_step_[i].sequence] = i;

  step_in_flight_ = false;
  std::vector<Progress> progress;
  Sequences took_part;
  Sequences others;
  for (auto& sequence : running_) {
    const auto window = window_of.find(sequence->id());
    if (window == window_of.end()) {
      others.push_back(std::move(sequence));
      continue;
    }
    Progress& step = progress.emplace_back();
    step.sequence = sequence.get();
    const uint32_t steps = sequence->steps_run();
    const int32_t tokens = sequence->tokens_committed();
    const int32_t blocks = sequence->blocks_ended();
    absl::StatusOr<StepOutcome> outcome = sequence->Advance(result.candidates(window->second));
    step.status = outcome.status();
    step.denoised = sequence->steps_run() > steps;
    step.tokens = sequence->tokens_committed() - tokens;
    step.first_block_ended = blocks == 0 && sequence->blocks_ended() > 0;
    if (outcome.ok()) step.events = std::move(outcome->events);
    if (!outcome.ok() || sequence->done()) {
      kv_used_ -= sequence->KvPositions();
      releases_.push_back(sequence->id());
      step.over = std::move(sequence);
    } else {
      took_part.push_back(std::move(sequence));
    }
  }
  running_ = std::move(others);
  std::move(took_part.begin(), took_part.end(), std::back_inserter(running_));
  in_step_.clear();
  return progress;
}

std::unique_ptr<Sequence> Scheduler::Cancel(uint64_t id) {
  const auto has_id = [id](const auto& sequence) { return sequence->id() == id; };
  for (Sequences* queue : {&interactive_, &batch_}) {
    if (auto it = std::find_if(queue->begin(), queue->end(), has_id); it != queue->end()) {
      std::unique_ptr<Sequence> sequence = std::move(*it);
      queue->erase(it);
      work_waiting_ -= sequence->WorkLeft();
      return sequence;
    }
  }
  const auto it = std::find_if(running_.begin(), running_.end(), has_id);
  return it == running_.end() ? nullptr : Remove(it);
}

std::unique_ptr<Sequence> Scheduler::Remove(Sequences::iterator running) {
  std::unique_ptr<Sequence> sequence = std::move(*running);
  running_.erase(running);
  kv_used_ -= sequence->KvPositions();
  releases_.push_back(sequence->id());
  return sequence;
}

std::unique_ptr<Sequence> Scheduler::GiveAway() {
  for (Sequences* queue : {&interactive_, &batch_}) {
    if (queue->empty()) continue;
    std::unique_ptr<Sequence> last = std::move(queue->back());  // It would wait longest.
    queue->pop_back();
    work_waiting_ -= last->WorkLeft();
    return last;
  }
  if (running_.size() < 2) return nullptr;
  const auto at_block_start = [](const auto& sequence) { return sequence->AtBlockStart() && !sequence->suspect; };
  const auto it = std::find_if(running_.begin(), running_.end(), at_block_start);
  return it == running_.end() ? nullptr : Remove(it);
}

std::vector<uint64_t> Scheduler::TakeReleases() { return std::exchange(releases_, {}); }

std::vector<std::unique_ptr<Sequence>> Scheduler::Abandon() {
  for (const auto& sequence : running_) {
    ++sequence->replays;
    const bool in_step = std::any_of(in_step_.begin(), in_step_.end(),
                                     [&](const auto& window) { return window.sequence == sequence->id(); });
    if (!step_in_flight_ || !in_step) continue;
    sequence->suspect = true;
    if (in_step_.size() == 1) ++sequence->deaths_alone;
  }
  std::vector<std::unique_ptr<Sequence>> abandoned;
  for (Sequences* sequences : {&running_, &interactive_, &batch_}) {
    for (auto& sequence : *sequences) {
      sequence->LoseKv();
      abandoned.push_back(std::move(sequence));
    }
    sequences->clear();
  }
  std::sort(abandoned.begin(), abandoned.end(), [](const auto& a, const auto& b) { return a->id() < b->id(); });
  in_step_.clear();
  releases_.clear();
  work_waiting_ = 0;
  kv_used_ = 0;
  step_in_flight_ = false;
  return abandoned;
}

int64_t Scheduler::work_running() const {
  int64_t work = 0;
  for (const auto& sequence : running_) work += sequence->WorkLeft();
  return work;
}

}  // namespace unmask
