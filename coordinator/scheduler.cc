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

// Of the K/V memory, what batch sequences leave to interactive ones that may come.
constexpr double kInteractiveKv = 0.25;

bool Finite(const google::protobuf::RepeatedField<float>& figures) {
  return std::all_of(figures.begin(), figures.end(), [](float figure) { return std::isfinite(figure); });
}

bool Interactive(const Sequence& sequence) { return sequence.priority() != v1::PRIORITY_BATCH; }

bool HasDeadline(const Sequence& sequence) { return std::isfinite(sequence.deadline); }

Demand DemandOf(const Sequence& sequence) {
  const int64_t windows = sequence.WindowsLeft();
  return {.windows = windows, .cost = static_cast<double>(sequence.WorkLeft()) / std::max<int64_t>(windows, 1)};
}

}  // namespace

absl::Status Scheduler::Admit(std::unique_ptr<Sequence>& sequence) {
  if (sequence->KvPositions() > limits_.kv_positions) {
    return ServiceError(
        absl::StatusCode::kResourceExhausted, kOverloaded, "the sequence exceeds the replica's K/V memory",
        {{"positions", absl::StrCat(sequence->KvPositions())}, {"kv_positions", absl::StrCat(limits_.kv_positions)}});
  }
  const bool interactive = Interactive(*sequence);
  const int64_t work = sequence->WorkLeft();
  ids_.insert(sequence->id());
  work_waiting_ += work;
  if (interactive) work_waiting_interactive_ += work;
  positions_waiting_ += sequence->KvPositions();
  (interactive ? interactive_ : batch_).push_back(std::move(sequence));
  return absl::OkStatus();
}

std::unique_ptr<Sequence> Scheduler::TakeWaiting(Sequences* queue, Sequences::iterator it) {
  std::unique_ptr<Sequence> sequence = std::move(*it);
  queue->erase(it);
  const int64_t work = sequence->WorkLeft();
  work_waiting_ -= work;
  if (queue == &interactive_) work_waiting_interactive_ -= work;
  positions_waiting_ -= sequence->KvPositions();
  return sequence;
}

void Scheduler::Count(const Sequence& running, int sign) {
  const int64_t kv = sign * running.KvPositions();
  kv_used_ += kv;
  if (!Interactive(running)) {
    kv_used_batch_ += kv;
    batch_running_ += sign;
  }
  if (HasDeadline(running)) deadlines_running_ += sign;
  work_running_ += sign * running.WorkLeft();
}

bool Scheduler::BatchIsFull(double max_cost) const {
  if (batch_running_ == 0) return false;
  const Sequence& first = *batch_.front();
  if (kv_used_batch_ + first.KvPositions() > (1 - kInteractiveKv) * limits_.kv_positions) return true;
  double cost = first.NextCost();
  for (const auto& sequence : running_) {
    if (!Interactive(*sequence)) cost += sequence->NextCost();
  }
  return cost > kStepsToServeAll * max_cost;
}

const Scheduler::Sequences* Scheduler::NextQueue(double max_cost) const {
  const bool batch_may = !batch_.empty() && !BatchIsFull(max_cost);
  if (batch_may && (interactive_.empty() || starts_without_batch_ >= kBatchPatience)) return &batch_;
  return interactive_.empty() ? nullptr : &interactive_;
}

bool Scheduler::HasRoom(const Sequence& first, double max_cost) const {
  if (kv_used_ + first.KvPositions() > limits_.kv_positions) return false;
  double cost = 0;
  for (const Sequence* other : Sharers(Interactive(first))) cost += other->NextCost();
  return cost == 0 || cost + first.NextCost() <= kStepsToServeAll * max_cost;
}

std::vector<const Sequence*> Scheduler::Sharers(bool interactive) const {
  std::vector<const Sequence*> sharers;
  for (const auto& sequence : running_) {
    // Batch windows beside interactive ones give way to them (BatchShare).
    if (!interactive || Interactive(*sequence)) sharers.push_back(sequence.get());
  }
  return sharers;
}

double Scheduler::ExpectedObstacle(const Sequence& newcomer, const StepMeasure& measure) const {
  if (deadlines_running_ == 0) return 0;
  const std::vector<const Sequence*> sharers = Sharers(Interactive(newcomer));
  std::vector<Demand> demands;
  for (const Sequence* sharer : sharers) demands.push_back(DemandOf(*sharer));
  const std::vector<double> without = ExpectedEnds(demands, measure);
  demands.push_back(DemandOf(newcomer));
  const std::vector<double> with = ExpectedEnds(demands, measure);
  double obstacle = 0;
  for (size_t i = 0; i < sharers.size(); ++i) {
    // One that is late in any case is no reason to let others wait.
    const bool can_be_in_time = measure.now + without[i] <= sharers[i]->deadline;
    if (can_be_in_time && measure.now + with[i] > sharers[i]->due) obstacle = std::max(obstacle, without[i]);
  }
  return obstacle;
}

double Scheduler::ExpectedEnd(const Sequence& newcomer, const StepMeasure& measure) const {
  const bool interactive = Interactive(newcomer);
  std::vector<Demand> demands;
  double cost = 0;
  double work = 0;
  for (const Sequence* sharer : Sharers(interactive)) {
    demands.push_back(DemandOf(*sharer));
    cost += demands.back().cost;
    work += sharer->WorkLeft();
  }
  const Demand own = DemandOf(newcomer);
  demands.push_back(own);
  double wait = step_in_flight_ ? measure.Time(cost_in_flight_) : 0;
  const int64_t waiting = interactive ? interactive_.size() : this->waiting();
  const double obstacle = ExpectedObstacle(newcomer, measure);
  if (waiting == 0 && obstacle == 0 && HasRoom(newcomer, measure.max_cost)) {
    return wait + ExpectedEnds(demands, measure).back();
  }
  // Those that run make room one after the other, those that wait go first; whoever ends is followed by another.
  const double throughput = measure.times == nullptr ? 1 : measure.times->Throughput();
  const double ahead = (interactive ? work_waiting_interactive_ : work_waiting_) + work / demands.size();
  wait += throughput > 0 ? std::max(obstacle, ahead / throughput) : 0;
  return wait + own.windows * RoundTime(cost + own.cost, demands.size(), measure);
}

void Scheduler::StartWaiting(const StepMeasure& measure) {
  while (const Sequences* next = NextQueue(measure.max_cost)) {
    // Strictly in order: the first in line waits for room, so a long sequence is not starved by short ones.
    if (!HasRoom(*next->front(), measure.max_cost) || ExpectedObstacle(*next->front(), measure) > 0) return;
    Sequences* queue = next == &batch_ ? &batch_ : &interactive_;
    starts_without_batch_ = queue == &batch_ || batch_.empty() ? 0 : starts_without_batch_ + 1;
    running_.push_back(TakeWaiting(queue, queue->begin()));
    const Sequence& started = *running_.back();
    Count(started, +1);
    if (queue == &interactive_) {
      const Demand demand = DemandOf(started);
      share_.Meet(measure.now, demand.windows * measure.Time(demand.cost));
    }
  }
}

bool Scheduler::Pressed(const StepMeasure& measure) const {
  if (deadlines_running_ == 0) return false;
  const std::vector<const Sequence*> sharers = Sharers(/*interactive=*/true);
  std::vector<Demand> demands;
  for (const Sequence* sharer : sharers) demands.push_back(DemandOf(*sharer));
  const std::vector<double> ends = ExpectedEnds(demands, measure);
  for (size_t i = 0; i < sharers.size(); ++i) {
    if (measure.now + ends[i] * (1 + BatchShare::kShare) > sharers[i]->due) return true;
  }
  return false;
}

std::vector<Sequence*> Scheduler::ChooseWindows(const StepMeasure& measure) {
  // A suspect goes alone, so that a death convicts or clears it and nobody else.
  for (const auto& sequence : running_) {
    if (sequence->suspect) return {sequence.get()};
  }
  std::vector<Sequence*> chosen;
  int64_t rows = 0;
  double cost = 0;
  const auto take = [&](Sequence* sequence) {
    chosen.push_back(sequence);
    rows += sequence->NextRows();
    cost += sequence->NextCost();
  };
  const auto fits = [&](const Sequence& sequence, double max_cost) {
    return chosen.empty() || (rows + sequence.NextRows() <= limits_.max_rows && cost + sequence.NextCost() <= max_cost);
  };
  std::vector<Sequence*> batch;
  for (const auto& sequence : running_) {
    if (!Interactive(*sequence)) batch.push_back(sequence.get());
  }
  const double batch_cost = std::min(measure.max_cost, measure.Within(share_.LongestStep(measure.now)));
  const auto take_batch = [&] {
    for (Sequence* sequence : batch) {
      if (fits(*sequence, batch_cost)) take(sequence);
    }
  };
  const bool passed_over = !batch.empty() && steps_without_batch_ >= kBatchPatience;
  if (passed_over) take_batch();
  for (const auto& sequence : running_) {
    if (Interactive(*sequence) && fits(*sequence, measure.max_cost)) take(sequence.get());
  }
  if (passed_over || batch.empty()) {
    steps_without_batch_ = 0;
    share_.KeepAtMost(0);
    return chosen;
  }
  if (chosen.empty()) {
    take_batch();
    return chosen;
  }
  share_.Earn(measure.Time(cost), Pressed(measure));
  bool no_room = false;
  double needed = 0;  // By the first that did not come along.
  for (Sequence* sequence : batch) {
    const double added = measure.Time(cost + sequence->NextCost()) - measure.Time(cost);
    if (!fits(*sequence, measure.max_cost)) {
      no_room |= share_.Covers(added);
    } else if (share_.Covers(added)) {
      share_.Pay(added);
      take(sequence);
      continue;
    }
    if (needed == 0) needed = added;
    if (!no_room) break;
  }
  share_.KeepAtMost(needed);
  steps_without_batch_ = no_room ? steps_without_batch_ + 1 : 0;
  return chosen;
}

std::optional<Step> Scheduler::Plan(const StepMeasure& measure, std::vector<Sequence*>* started) {
  if (step_in_flight_) return std::nullopt;
  StartWaiting(measure);
  if (running_.empty()) return std::nullopt;
  Step step;
  step.set_id(++steps_);
  in_step_.clear();
  cost_in_flight_ = 0;
  for (Sequence* sequence : ChooseWindows(measure)) {
    cost_in_flight_ += sequence->NextCost();
    internal::v1::Window* window = step.add_windows();
    *window = sequence->PlanWindow();
    in_step_.push_back({.sequence = sequence->id(),
                        .sampled = window->sample_size(),
                        .margin = window->sampling().margin(),
                        .entropy = window->sampling().entropy(),
                        .asked = window->asked_size()});
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
    if (candidates.log_probabilities_size() != window.asked) {
      return absl::InvalidArgumentError(
          absl::StrCat(candidates.log_probabilities_size(), " log-probabilities, not ", window.asked));
    }
    // Strategies sort by these: NaN has no place in an order.
    if (!Finite(candidates.confidences()) || !Finite(candidates.margins()) || !Finite(candidates.entropies()) ||
        !Finite(candidates.log_probabilities())) {
      return absl::InvalidArgumentError(
          "a confidence, margin, entropy or log-probability is not finite, and not_finite is not set");
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
    Count(*sequence, -1);
    absl::StatusOr<StepOutcome> outcome = sequence->Advance(result.candidates(window->second));
    step.status = outcome.status();
    if (outcome.ok()) step.outcome = *std::move(outcome);
    if (!step.status.ok() || sequence->done()) {
      releases_.push_back(sequence->id());
      ids_.erase(sequence->id());
      step.over = std::move(sequence);
    } else {
      Count(*sequence, +1);
      took_part.push_back(std::move(sequence));
    }
  }
  running_ = std::move(others);
  std::move(took_part.begin(), took_part.end(), std::back_inserter(running_));
  in_step_.clear();
  return progress;
}

std::unique_ptr<Sequence> Scheduler::Cancel(uint64_t id) {
  if (ids_.erase(id) == 0) return nullptr;
  const auto has_id = [id](const auto& sequence) { return sequence->id() == id; };
  for (Sequences* queue : {&interactive_, &batch_}) {
    const auto it = std::find_if(queue->begin(), queue->end(), has_id);
    if (it != queue->end()) return TakeWaiting(queue, it);
  }
  const auto it = std::find_if(running_.begin(), running_.end(), has_id);
  return it == running_.end() ? nullptr : Remove(it);
}

std::unique_ptr<Sequence> Scheduler::Remove(Sequences::iterator running) {
  std::unique_ptr<Sequence> sequence = std::move(*running);
  running_.erase(running);
  Count(*sequence, -1);
  releases_.push_back(sequence->id());
  return sequence;
}

std::unique_ptr<Sequence> Scheduler::GiveAway() {
  for (Sequences* queue : {&interactive_, &batch_}) {
    if (queue->empty()) continue;
    ids_.erase(queue->back()->id());
    return TakeWaiting(queue, std::prev(queue->end()));  // It would wait longest.
  }
  if (running_.size() < 2) return nullptr;
  const auto may_move = [](const auto& sequence) { return sequence->MovesFreely() && !sequence->suspect; };
  const auto it = std::find_if(running_.begin(), running_.end(), may_move);
  if (it == running_.end()) return nullptr;
  ids_.erase((*it)->id());
  return Remove(it);
}

std::vector<uint64_t> Scheduler::TakeReleases() { return std::exchange(releases_, {}); }

std::vector<std::unique_ptr<Sequence>> Scheduler::Abandon(const std::string& life) {
  for (const auto& sequence : running_) {
    ++sequence->replays;
    const bool in_step = std::any_of(in_step_.begin(), in_step_.end(),
                                     [&](const auto& window) { return window.sequence == sequence->id(); });
    if (!step_in_flight_ || !in_step) continue;
    sequence->suspect = true;
    if (in_step_.size() == 1) sequence->deadly_lives.insert(life);
  }
  std::vector<std::unique_ptr<Sequence>> abandoned;
  for (Sequences* queue : {&interactive_, &batch_}) {
    while (!queue->empty()) abandoned.push_back(TakeWaiting(queue, std::prev(queue->end())));
  }
  for (auto& sequence : running_) {
    Count(*sequence, -1);
    abandoned.push_back(std::move(sequence));
  }
  running_.clear();
  ids_.clear();
  for (auto& sequence : abandoned) sequence->LoseKv();
  std::sort(abandoned.begin(), abandoned.end(), [](const auto& a, const auto& b) { return a->id() < b->id(); });
  in_step_.clear();
  releases_.clear();
  step_in_flight_ = false;
  return abandoned;
}

}  // namespace unmask
