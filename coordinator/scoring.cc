#include "coordinator/scoring.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "base/mutex.h"
#include "base/status.h"
#include "coordinator/request_record.h"
#include "coordinator/score_estimate.h"
#include "coordinator/score_plan.h"
#include "coordinator/scoring_sequence.h"

namespace unmask {
namespace {

// Of a score. As many windows share a step at the most; a small number, so that a large score takes turns with others
// instead of standing before them in the queue.
constexpr int kSequences = 32;

}  // namespace

// Where the sequences leave what they found; lives as long as one of them.
class Scoring::Board final : public SequenceSink {
 public:
  Board(Fleet* fleet, RequestRecord record, Finish finish)
      : fleet_(*fleet), record_(std::move(record)), finish_(std::move(finish)) {}

  void Identify(const RequestNames& names) {
    MutexLock lock(&mutex_);
    record_.Identify(names);
  }

  // Before any of the sequences is submitted.
  void Expect(std::shared_ptr<const ScorePlan> plan, std::vector<uint64_t> sequences) {
    MutexLock lock(&mutex_);
    plan_ = std::move(plan);
    scores_.resize(plan_->tasks.size());
    running_ = sequences.size();
    sequences_ = std::move(sequences);
  }

  void Open() {
    MutexLock lock(&mutex_);
    open_ = true;
    Tell();
  }

  void Abort(const absl::Status& why) {
    {
      MutexLock lock(&mutex_);
      if (!result_) Conclude(why);
    }
    CancelAll();
  }

  void OnPlaced(absl::string_view replica, uint64_t epoch) override {
    MutexLock lock(&mutex_);
    if (!result_) record_.Placed(replica, epoch);
  }
  void OnStarted() override {
    MutexLock lock(&mutex_);
    if (!result_) record_.Started();
  }
  void OnEvents(std::vector<v1::GenerateStreamResponse>) override {}
  void OnScore(const TaskScore& score) override {
    MutexLock lock(&mutex_);
    scores_[score.task] = score;
  }
  void OnDone(absl::StatusOr<v1::GenerateResponse> response) override {
    if (!response.ok()) return Abort(response.status());
    MutexLock lock(&mutex_);
    if (result_) return;
    numerics_.insert(response->numerics());
    response_.set_forward_passes(response_.forward_passes() + response->usage().forward_passes());
    response_.set_replays(std::max(response_.replays(), response->replays()));
    *response_.mutable_exactness() = response->exactness();
    if (--running_ == 0) Summarise();
  }
  bool Abandoned() const override {
    MutexLock lock(&mutex_);
    return result_.has_value();
  }

 private:
  void Summarise() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (int32_t i = 0; i < static_cast<int32_t>(plan_->targets.size()); ++i) {
      const ScorePlan::Tasks& tasks = plan_->tasks_of[i];
      std::vector<double> samples;
      for (const int32_t task : tasks.samples) samples.push_back(scores_[task].log_likelihood);
      const bool exact = plan_->TargetLength(i) == 1;  // Nothing is drawn.
      const ScoreEstimate estimate = EstimateScore(samples, exact ? 1 : plan_->strata);
      v1::TargetScore* score = response_.add_scores();
      score->set_log_likelihood(estimate.log_likelihood);
      if (exact || estimate.standard_error) score->set_standard_error(exact ? 0 : *estimate.standard_error);
      score->set_samples(samples.size());
      score->set_tokens(plan_->TargetLength(i));
      if (tasks.greedy >= 0) score->set_greedy_match(scores_[tasks.greedy].match);
    }
    response_.set_samples(plan_->samples);
    response_.set_strata(plan_->strata);
    response_.set_seed(plan_->seed);
    response_.set_cfg_scale(plan_->cfg_scale);
    response_.set_reference_parity(plan_->reference_parity);
    response_.set_prompt_tokens(plan_->prompt.size());
    response_.set_model(plan_->model->name);
    response_.set_numerics(absl::StrJoin(numerics_, ", "));
    response_.set_request_id(plan_->request_id);
    record_.Started();  // OnStarted comes from another thread and may be late.
    *response_.mutable_timing() = record_.Timing();
    Conclude(std::move(response_));
  }

  void Conclude(absl::StatusOr<v1::ScoreResponse> result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    record_.Finished(result);
    result_ = std::move(result);
    Tell();
  }

  void Tell() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (open_ && result_ && finish_) std::exchange(finish_, nullptr)(*result_);
  }

  // Without the mutex: the fleet may be telling this board of something else.
  void CancelAll() {
    std::vector<uint64_t> sequences;
    {
      MutexLock lock(&mutex_);
      sequences.swap(sequences_);
    }
    for (const uint64_t sequence : sequences) fleet_.Cancel(sequence);
  }

  Fleet& fleet_;
  mutable Mutex mutex_;
  RequestRecord record_ ABSL_GUARDED_BY(mutex_);
  Finish finish_ ABSL_GUARDED_BY(mutex_);  // Null once called.
  std::shared_ptr<const ScorePlan> plan_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint64_t> sequences_ ABSL_GUARDED_BY(mutex_);
  size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<TaskScore> scores_ ABSL_GUARDED_BY(mutex_);  // Of each task.
  std::set<std::string> numerics_ ABSL_GUARDED_BY(mutex_);
  v1::ScoreResponse response_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::StatusOr<v1::ScoreResponse>> result_ ABSL_GUARDED_BY(mutex_);
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
};

Scoring::Scoring(const ServiceContext& context, const char* method, Finish finish)
    : fleet_(*context.fleet),
      door_(*context.door),
      visit_(context.door),
      board_(std::make_shared<Board>(context.fleet, RequestRecord(context.metrics, method), std::move(finish))) {}

void Scoring::Identify(const RequestNames& names) {
  names_ = names;
  board_->Identify(names);
}

absl::Status Scoring::Submit(v1::ScoreRequest request, absl::Duration time_left) {
  if (names_.request_id.empty()) Identify(NameRequest(request.request_id(), "", ""));
  UNMASK_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  request.set_request_id(names_.request_id);
  UNMASK_ASSIGN_OR_RETURN(const std::shared_ptr<const ServedModel> model, door_.Enter());
  UNMASK_ASSIGN_OR_RETURN(ScorePlan parsed, ParseScore(request, model, RandomWord()));
  const auto plan = std::make_shared<const ScorePlan>(std::move(parsed));
  const std::vector<std::vector<int32_t>> shares = DealTasks(*plan, kSequences);
  std::vector<uint64_t> ids;
  for (size_t i = 0; i < shares.size(); ++i) ids.push_back(fleet_.NextSequenceId());
  board_->Expect(plan, ids);
  // All on replicas of one class, whichever is there: their numbers are summed.
  const std::shared_ptr<const Replica> any = fleet_.ReadyReplica();
  for (size_t i = 0; i < shares.size(); ++i) {
    auto sequence = std::make_unique<ScoringSequence>(ids[i], plan, shares[i]);
    sequence->sink = board_;
    if (any) sequence->numerics = any->numerics();
    UNMASK_RETURN_IF_ERROR(fleet_.Submit(std::move(sequence), time_left));
  }
  return absl::OkStatus();
}

void Scoring::End(const absl::Status& why) { board_->Abort(why); }

void Scoring::Open() { board_->Open(); }

}  // namespace unmask
