#include "coordinator/batch/runner.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "coordinator/errors.h"
#include "coordinator/generation.h"
#include "coordinator/scoring.h"

namespace unmask {
namespace {

// Lines are launched while fewer sequences than this, a ready replica, wait for their first step: enough for replicas
// to fill each step, few enough that interactive requests find no queue of ours to be measured by.
constexpr int kWaitingPerReplica = 32;
// And this many are in flight whoever waits: behind a queue that never ends a job still advances.
constexpr size_t kLeastInFlight = 4;
constexpr size_t kMostInFlight = 1024;

constexpr std::chrono::milliseconds kLook(20);  // How often the queue is looked at while lines wait here.
constexpr std::chrono::seconds kRetryStore(1);  // How often a store in trouble is tried again.
constexpr char kMethod[] = "BatchLine";         // Of a line in log and metrics.

int64_t Now() { return absl::ToUnixSeconds(absl::Now()); }

}  // namespace

absl::Status NoBatchStore() {
  return ServiceError(absl::StatusCode::kFailedPrecondition, kStoreMissing,
                      "the service keeps no batch jobs: it was started without a store");
}

// A line being computed.
class BatchRunner::Flight final : public CallWriter {
 public:
  Flight(BatchRunner* runner, uint64_t id, BatchBook::Task task, BatchLine line)
      : task(std::move(task)), line(std::move(line)), runner_(*runner), id_(id) {
    if (std::holds_alternative<v1::ScoreRequest>(this->line.request)) {
      scoring_.emplace(runner_.context_, kMethod,
                       [this](const absl::StatusOr<v1::ScoreResponse>& result) { Land(result); });
    } else {
      generation_.emplace(runner_.context_, kMethod, this);
    }
  }

  // Its end is a landing, an early one perhaps.
  void Launch(const std::string& job) {
    const absl::Status submitted = std::visit(
        [&](auto request) {
          if (request.request_id().empty()) request.set_request_id(absl::StrCat(job, "-", task.line.index));
          return Submit(std::move(request));
        },
        line.request);
    if (!submitted.ok()) End(submitted);
    scoring_ ? scoring_->Open() : generation_->stream().Open();
  }

  void Recall() {
    if (std::exchange(recalled, true)) return;
    End(ServiceError(absl::StatusCode::kCancelled, kCancelled, "the batch job does not run"));
  }

  const BatchBook::Task task;
  const BatchLine line;
  bool recalled = false;  // Whatever comes back is of no interest.

 private:
  template <typename Request>
  absl::Status Submit(Request request) {
    return generation_->Submit(std::move(request), /*events=*/false, absl::InfiniteDuration());
  }
  absl::Status Submit(v1::ScoreRequest request) {
    return scoring_->Submit(std::move(request), absl::InfiniteDuration());
  }
  void End(const absl::Status& why) { scoring_ ? scoring_->End(why) : generation_->End(why); }

  void Write(const v1::GenerateStreamResponse&) override {}  // No events are asked for.
  void Finish(const absl::StatusOr<v1::GenerateResponse>& result) override { Land(result); }
  void Land(absl::StatusOr<BatchReply> result) {
    MutexLock lock(&runner_.mutex_);
    runner_.landings_.push_back({id_, std::move(result)});
    runner_.woken_.Signal();
  }

  BatchRunner& runner_;
  const uint64_t id_;
  // One of them.
  std::optional<Generation> generation_;
  std::optional<Scoring> scoring_;
};

BatchRunner::BatchRunner(const ServiceContext& context, const std::string& folder)
    : context_(context), folder_{folder} {}

absl::StatusOr<std::unique_ptr<BatchRunner>> BatchRunner::Start(const ServiceContext& context,
                                                                const std::string& folder) {
  std::unique_ptr<BatchRunner> runner(new BatchRunner(context, folder));
  UNMASK_RETURN_IF_ERROR(runner->folder_.Prepare());
  const absl::Status opened = runner->Open();
  if (!opened.ok() && !absl::IsResourceExhausted(opened)) return opened;
  runner->thread_ = std::thread([raw = runner.get()] { raw->Run(); });
  return runner;
}

absl::Status BatchRunner::Open() {
  absl::StatusOr<std::unique_ptr<BatchBook>> book = BatchBook::Open(folder_);
  closed_ = book.status();
  if (book.ok()) {
    book_ = *std::move(book);
    Count(/*jobs_changed=*/true);
  } else {
    MutexLock lock(&mutex_);
    census_.store_failing = true;
  }
  return closed_;
}

BatchRunner::~BatchRunner() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(&mutex_);
    stop_ = true;
    woken_.Signal();
  }
  thread_.join();
}

void BatchRunner::Post(Command command) {
  MutexLock lock(&mutex_);
  commands_.push_back(std::move(command));
  woken_.Signal();
}

void BatchRunner::Drain() {
  MutexLock lock(&mutex_);
  draining_ = true;
  woken_.Signal();
}

void BatchRunner::Run() {
  bool looks = true;  // For lines to launch, at the time of NextLook.
  while (true) {
    std::vector<Command> commands;
    std::vector<Landing> landings;
    bool draining = false;
    {
      MutexLock lock(&mutex_);
      const Clock::time_point look = looks ? NextLook() : Clock::now() + kRetryStore;
      while (commands_.empty() && landings_.empty() && !stop_ && Clock::now() < look) woken_.WaitUntil(&mutex_, look);
      if (stop_ && commands_.empty()) break;
      commands.swap(commands_);
      landings.swap(landings_);
      draining = draining_;
    }
    if (!book_ && Clock::now() >= retry_store_) {
      retry_store_ = Clock::now() + kRetryStore;
      Open().IgnoreError();
    }
    Land(std::move(landings));
    for (const Command& command : commands) command(book_.get(), closed_);
    looks = false;
    if (!book_) continue;
    if (!book_->in_trouble() || Clock::now() >= retry_store_) {
      retry_store_ = Clock::now() + kRetryStore;
      book_->Save(Now()).IgnoreError();  // The book logs it, and tries again.
    }
    if (!commands.empty() || draining) Recall(/*all=*/draining);
    looks = !draining && Dispatch();
    Tell();
  }
  for (auto& [id, flight] : flights_) flight->Recall();
  flights_.clear();
}

BatchRunner::Clock::time_point BatchRunner::NextLook() const { return std::max(not_before_, Clock::now() + kLook); }

void BatchRunner::Land(std::vector<Landing> landings) {
  for (Landing& landing : landings) {
    const auto at = flights_.find(landing.flight);
    const std::unique_ptr<Flight> flight = std::move(at->second);
    flights_.erase(at);
    const absl::Duration wait = RetryAfter(landing.result.status());
    if (flight->recalled || wait > absl::ZeroDuration()) {
      // The service could not take it now: a fact about the service, not about the line.
      if (!flight->recalled) not_before_ = std::max(not_before_, Clock::now() + absl::ToChronoMilliseconds(wait));
      book_->Return(flight->task);
    } else {
      book_->Record(flight->task.key, RenderBatchResult(flight->line, flight->task.line.index, landing.result));
    }
  }
}

void BatchRunner::Recall(bool all) {
  for (auto& [id, flight] : flights_) {
    if (all || !book_->Runs(flight->task.key)) flight->Recall();
  }
}

bool BatchRunner::Dispatch() {
  if (Clock::now() < not_before_) return true;
  const v1::GetFleetResponse fleet = context_.fleet->Describe();
  const auto ready = std::count_if(fleet.replicas().begin(), fleet.replicas().end(),
                                   [](const auto& replica) { return replica.state() == v1::REPLICA_STATE_READY; });
  int64_t room = kWaitingPerReplica * std::max<int64_t>(ready, 1) - fleet.queued();
  room = std::max(room, static_cast<int64_t>(kLeastInFlight) - static_cast<int64_t>(flights_.size()));
  for (; room > 0 && flights_.size() < kMostInFlight; --room) {
    if (!Launch()) return false;
  }
  return true;
}

bool BatchRunner::Launch() {
  std::optional<BatchBook::Task> task = book_->Next();
  if (!task) return false;
  int column = 0;
  absl::StatusOr<BatchLine> line = ParseBatchLine(task->line.text, &column);
  if (!line.ok()) {
    // Validation has let it pass, so this is another release's format; its error is its result.
    book_->Record(task->key, RenderBatchResult({}, task->line.index, line.status()));
    return true;
  }
  const v1::BatchJob& job = book_->job(task->key);
  PrepareBatchLine(job, task->line.index, &*line);
  const uint64_t id = ++last_flight_;
  auto& flight = flights_[id] = std::make_unique<Flight>(this, id, *std::move(task), *std::move(line));
  flight->Launch(job.name());
  return true;
}

void BatchRunner::Watch(const v1::BatchJob& job, std::shared_ptr<BatchWatcher> watcher) {
  watcher->OnJob(job);
  if (job.state() < v1::BATCH_JOB_STATE_SUCCEEDED) watchers_.emplace(job.name(), std::move(watcher));
}

void BatchRunner::Unwatch(const BatchWatcher* watcher) {
  for (auto at = watchers_.begin(); at != watchers_.end();) {
    at = at->second.get() == watcher ? watchers_.erase(at) : std::next(at);
  }
}

BatchCensus BatchRunner::Census() {
  MutexLock lock(&mutex_);
  return census_;
}

void BatchRunner::Count(bool jobs_changed) {
  const v1::BatchJobCounts saved = book_->TakeSaved();
  context_.metrics->BatchItemsEnded(saved.succeeded(), saved.failed());
  MutexLock lock(&mutex_);
  if (jobs_changed) census_.jobs = book_->JobsByState();
  census_.items_running = static_cast<int64_t>(flights_.size());
  census_.store_failing = book_->in_trouble();
}

void BatchRunner::Tell() {
  const std::vector<v1::BatchJob> changes = book_->TakeChanges();
  Count(!changes.empty());
  for (const v1::BatchJob& job : changes) {
    const auto [begin, end] = watchers_.equal_range(job.name());
    for (auto at = begin; at != end; ++at) at->second->OnJob(job);
    const bool over = job.state() >= v1::BATCH_JOB_STATE_SUCCEEDED || job.state() == v1::BATCH_JOB_STATE_UNSPECIFIED;
    if (over) watchers_.erase(begin, end);
  }
}

}  // namespace unmask
