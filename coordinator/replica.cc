#include "coordinator/replica.h"

#include <optional>
#include <utility>

#include "base/status.h"
#include "coordinator/errors.h"

namespace unmask {

using internal::v1::CoordinatorMessage;
using internal::v1::Step;
using internal::v1::StepResult;
using Clock = std::chrono::steady_clock;

namespace {

// Windows share a step as long as it takes no longer than this: enough to fill a device, short enough that whoever
// joins or leaves waits little.
constexpr std::chrono::milliseconds kTargetStep(100);

}  // namespace

Replica::Replica(uint64_t epoch, internal::v1::ReplicaDescription description, internal::v1::ReplicaReady ready,
                 Sender sender, FleetObserver* observer)
    : epoch_(epoch),
      description_(std::move(description)),
      ready_(std::move(ready)),
      sender_(std::move(sender)),
      observer_(observer),
      scheduler_({.kv_positions = ready_.kv_positions(), .max_rows = ready_.max_rows()},
                 description_.shape().embedding_size()),
      times_(std::chrono::nanoseconds(ready_.warm_up_row_nanos())) {}

absl::Status Replica::Admit(std::unique_ptr<Sequence>& sequence) {
  if (sequence->sink) sequence->sink->OnPlaced(description_.name(), epoch_);
  {
    MutexLock lock(&mutex_);
    if (closed_) return absl::UnavailableError("the replica is gone");
    UNMASK_RETURN_IF_ERROR(scheduler_.Admit(sequence));
  }
  Pump();
  return absl::OkStatus();
}

void Replica::Pump() {
  CoordinatorMessage message;
  std::vector<std::shared_ptr<SequenceSink>> started_sinks;
  {
    MutexLock lock(&mutex_);
    if (closed_) return;
    std::vector<Sequence*> started;
    if (std::optional<Step> step = scheduler_.Plan(times_.LargestWithin(kTargetStep), &started)) {
      sent_ = Clock::now();
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
    std::vector<v1::GenerateStreamResponse> events;
    bool first_block = false;
    std::optional<absl::StatusOr<v1::GenerateResponse>> response;
  };
  std::vector<Told> told;
  Taker taker;
  std::unique_ptr<Sequence> given;
  {
    MutexLock lock(&mutex_);
    if (closed_ || result.epoch() != epoch_) return absl::OkStatus();
    const double cost = scheduler_.cost_in_flight();
    UNMASK_ASSIGN_OR_RETURN(std::vector<Scheduler::Progress> progress, scheduler_.Apply(result));
    const Clock::duration taken = Clock::now() - sent_;
    times_.Record(cost, taken);
    if (observer_ != nullptr) observer_->OnStep(std::chrono::duration<double>(taken).count(), result.candidates_size());
    for (Scheduler::Progress& step : progress) {
      tokens_ += step.tokens;
      if (observer_ != nullptr && step.denoised) {
        observer_->OnDenoised(step.sequence->spec().options.remasking(), step.tokens);
      }
      if (!step.sequence->sink) continue;
      Told& tell = told.emplace_back();
      tell.sink = step.sequence->sink;
      tell.events = std::move(step.events);
      tell.first_block = step.first_block_ended;
      if (!step.over) continue;
      if (step.status.ok()) {
        tell.response = step.over->Response();
      } else {
        tell.response = step.status;
      }
    }
    if (taker_ && (given = scheduler_.GiveAway())) taker = std::exchange(taker_, nullptr);
  }
  Pump();  // The replica computes while the clients are told.
  for (Told& tell : told) {
    if (tell.first_block) tell.sink->OnFirstBlock();
    if (!tell.events.empty()) tell.sink->OnEvents(std::move(tell.events));
    if (tell.response) tell.sink->OnDone(*std::move(tell.response));
  }
  if (given) taker(std::move(given));  // After its events were told: the next ones come from elsewhere.
  return absl::OkStatus();
}

void Replica::GiveAway(Taker taker) {
  MutexLock lock(&mutex_);
  taker_ = std::move(taker);
}

std::unique_ptr<Sequence> Replica::Cancel(uint64_t id) {
  std::unique_ptr<Sequence> cancelled;
  {
    MutexLock lock(&mutex_);
    cancelled = scheduler_.Cancel(id);
  }
  if (cancelled) Pump();
  return cancelled;
}

std::vector<std::unique_ptr<Sequence>> Replica::Close() {
  MutexLock lock(&mutex_);
  closed_ = true;
  taker_ = nullptr;
  return scheduler_.Abandon();
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
