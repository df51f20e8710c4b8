#include "coordinator/replica.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "coordinator/errors.h"

namespace unmask {

using internal::v1::CoordinatorMessage;
using internal::v1::Step;
using internal::v1::StepResult;

namespace {

// Windows share a step as long as it takes no longer than this: enough to fill a device, short enough that whoever
// joins or leaves waits little.
constexpr std::chrono::milliseconds kTargetStep(100);

// What tells the processes of one start from those of any other: connections come and go, these stay.
std::string LifeOf(const internal::v1::ReplicaDescription& description) {
  std::string life = absl::StrCat(description.name(), "/", description.restarts(), "/", description.launcher_pid());
  for (const v1::Rank& rank : description.ranks()) absl::StrAppend(&life, "/", rank.host(), ":", rank.pid());
  return life;
}

double Seconds(std::chrono::duration<double> time) { return time.count(); }

}  // namespace

Replica::Replica(uint64_t epoch, internal::v1::ReplicaDescription description, internal::v1::ReplicaReady ready,
                 Sender sender, FleetObserver* observer, std::function<Clock::time_point()> now)
    : epoch_(epoch),
      description_(std::move(description)),
      ready_(std::move(ready)),
      sender_(std::move(sender)),
      observer_(observer),
      now_(std::move(now)),
      scheduler_({.kv_positions = ready_.kv_positions(), .max_rows = ready_.max_rows()},
                 description_.shape().embedding_size()),
      times_(std::chrono::nanoseconds(ready_.warm_up_row_nanos())) {}

StepMeasure Replica::Measure() const {
  return {.max_cost = times_.LargestWithin(kTargetStep), .now = Seconds(now_().time_since_epoch()), .times = &times_};
}

void Replica::PublishWork() { work_left_ = scheduler_.work_running() + scheduler_.work_waiting(); }

absl::Status Replica::CheckQueue(const Sequence& newcomer, const QueueBounds& bounds) const {
  const StepMeasure measure = Measure();
  const double throughput = times_.Throughput();
  const double wait = throughput > 0 ? scheduler_.work_waiting() / throughput : 0;
  const bool full =
      scheduler_.waiting() > 0 &&
      (wait > bounds.seconds || scheduler_.positions_waiting() + newcomer.KvPositions() > bounds.positions);
  if (!full && std::isinf(newcomer.deadline)) return absl::OkStatus();
  const double end = scheduler_.ExpectedEnd(newcomer, measure);
  if (!full && measure.now + end <= newcomer.due) return absl::OkStatus();
  const double too_long = full ? wait / 2 : measure.now + end - newcomer.due;
  return ServiceError(absl::StatusCode::kResourceExhausted, kOverloaded, "the service is overloaded",
                      {{"expected_seconds", absl::StrCat(std::ceil(end * 10) / 10)}},
                      std::clamp(absl::Seconds(too_long), absl::Seconds(1), absl::Minutes(1)));
}

absl::Status Replica::Admit(std::unique_ptr<Sequence>& sequence, const QueueBounds* bounds) {
  if (sequence->sink) sequence->sink->OnPlaced(description_.name(), epoch_);
  {
    MutexLock lock(&mutex_);
    if (closed_) return absl::UnavailableError("the replica is gone");
    if (bounds != nullptr) UNMASK_RETURN_IF_ERROR(CheckQueue(*sequence, *bounds));
    UNMASK_RETURN_IF_ERROR(scheduler_.Admit(sequence));
    PublishWork();
  }
  Pump();
  return absl::OkStatus();
}

double Replica::ExpectedEnd(const Sequence& newcomer) const {
  MutexLock lock(&mutex_);
  return scheduler_.ExpectedEnd(newcomer, Measure());
}

void Replica::Pump(std::optional<Clock::time_point> result) {
  CoordinatorMessage message;
  std::vector<std::shared_ptr<SequenceSink>> started_sinks;
  {
    MutexLock lock(&mutex_);
    if (closed_) return;
    std::vector<Sequence*> started;
    if (std::optional<Step> step = scheduler_.Plan(Measure(), &started)) {
      sent_ = now_();
      begun_ = result.value_or(sent_);
      step->set_epoch(epoch_);
      *message.mutable_step() = std::move(*step);
      for (Sequence* sequence : started) {
        sequence->numerics = ready_.numerics();
        if (sequence->sink) started_sinks.push_back(sequence->sink);
      }
    } else if (!scheduler_.step_in_flight()) {
      const std::vector<uint64_t> releases = scheduler_.TakeReleases();
      if (releases.empty()) return;
      message.mutable_release()->mutable_sequences()->Add(releases.begin(), releases.end());
    } else {
      return;
    }
    // Under the mutex, so that messages leave in the order in which they were decided; the sender only queues.
    sender_(message);
  }
  for (const auto& sink : started_sinks) sink->OnStarted();
}

absl::Status Replica::OnResult(const StepResult& result) {
  struct Told {
    std::shared_ptr<SequenceSink> sink;
    StepOutcome outcome;
    std::optional<absl::StatusOr<v1::GenerateResponse>> response;
  };
  const Clock::time_point came = now_();
  std::vector<Told> told;
  Taker taker;
  std::vector<std::unique_ptr<Sequence>> given;
  {
    MutexLock lock(&mutex_);
    if (closed_ || result.epoch() != epoch_) return absl::OkStatus();
    const double cost = scheduler_.cost_in_flight();
    UNMASK_ASSIGN_OR_RETURN(std::vector<Scheduler::Progress> progress, scheduler_.Apply(result));
    times_.Record(cost, came - begun_);  // With the coordinator's own time: it is what a step costs a sequence.
    if (observer_ != nullptr) observer_->OnStep(Seconds(came - sent_), result.candidates_size());
    for (Scheduler::Progress& step : progress) {
      tokens_ += step.outcome.tokens;
      if (observer_ != nullptr && step.outcome.denoised) {
        observer_->OnDenoised(*step.outcome.denoised, step.outcome.tokens);
      }
      if (!step.sequence->sink) continue;
      Told& tell = told.emplace_back();
      tell.sink = step.sequence->sink;
      tell.outcome = std::move(step.outcome);
      if (!step.over) continue;
      if (step.status.ok()) {
        tell.response = step.over->Response();
      } else {
        tell.response = step.status;
      }
    }
    if (const std::shared_ptr<const Replica> to = to_.lock(); to && taker_) {
      int64_t theirs = to->work_left();
      while (scheduler_.work_running() + scheduler_.work_waiting() > theirs) {
        std::unique_ptr<Sequence> next = scheduler_.GiveAway();
        if (!next) break;
        theirs += next->WorkLeft();
        given.push_back(std::move(next));
      }
      taker = taker_;
      if (scheduler_.work_running() + scheduler_.work_waiting() <= theirs) taker_ = nullptr;
    }
    PublishWork();
  }
  Pump(came);  // The replica computes while the clients are told.
  for (Told& tell : told) {
    if (tell.outcome.first_block_ended) tell.sink->OnFirstBlock();
    if (!tell.outcome.events.empty()) tell.sink->OnEvents(std::move(tell.outcome.events));
    if (tell.outcome.score) tell.sink->OnScore(*tell.outcome.score);
    if (tell.response) tell.sink->OnDone(*std::move(tell.response));
  }
  for (auto& sequence : given) taker(std::move(sequence));  // After its events were told: the next come from elsewhere.
  return absl::OkStatus();
}

void Replica::GiveAway(const std::shared_ptr<const Replica>& to, Taker taker) {
  MutexLock lock(&mutex_);
  if (closed_) return;
  to_ = to;
  taker_ = std::move(taker);
}

std::unique_ptr<Sequence> Replica::Cancel(uint64_t id) {
  std::unique_ptr<Sequence> cancelled;
  {
    MutexLock lock(&mutex_);
    cancelled = scheduler_.Cancel(id);
    PublishWork();
  }
  if (cancelled) Pump();
  return cancelled;
}

std::vector<std::unique_ptr<Sequence>> Replica::Close() {
  MutexLock lock(&mutex_);
  closed_ = true;
  taker_ = nullptr;
  work_left_ = 0;
  return scheduler_.Abandon(LifeOf(description_));
}

bool Replica::Overdue(Clock::time_point now) const {
  MutexLock lock(&mutex_);
  return !closed_ && scheduler_.step_in_flight() && now - sent_ > times_.Overdue(scheduler_.cost_in_flight());
}

Replica::Load Replica::load() const {
  MutexLock lock(&mutex_);
  return {.running = scheduler_.running(),
          .waiting = scheduler_.waiting(),
          .work_running = scheduler_.work_running(),
          .work_waiting = scheduler_.work_waiting(),
          .kv_positions_used = scheduler_.kv_positions_used(),
          .steps = scheduler_.steps(),
          .steps_answered = scheduler_.steps() - (scheduler_.step_in_flight() ? 1 : 0),
          .tokens = tokens_,
          .throughput = times_.Throughput()};
}

}  // namespace unmask
