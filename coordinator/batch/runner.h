// Runs batch jobs: one thread owns the book and the lines in flight. Lines go the way of every request, through
// coordinator/generation.h or coordinator/scoring.h, with batch priority, and only as many at a time as keep the
// replicas busy.
#ifndef UNMASK_COORDINATOR_BATCH_RUNNER_H_
#define UNMASK_COORDINATOR_BATCH_RUNNER_H_

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "coordinator/batch/book.h"
#include "coordinator/batch/census.h"
#include "coordinator/batch/line.h"
#include "coordinator/service_context.h"

namespace unmask {

// What is answered where there is no runner.
absl::Status NoBatchStore();

// Who hears of every change of one job, on the runner's thread: must not block. A deleted job is unspecified.
class BatchWatcher {
 public:
  virtual ~BatchWatcher() = default;
  virtual void OnJob(const v1::BatchJob& job) = 0;
};

// Thread-safe.
class BatchRunner {
 public:
  // `book` is null while the store cannot be opened (its disk is full), and then `why` says so.
  using Command = std::function<void(BatchBook* book, const absl::Status& why)>;

  // Takes up where the last coordinator with this folder stopped. FAILED_PRECONDITION for one that cannot be used.
  static absl::StatusOr<std::unique_ptr<BatchRunner>> Start(const ServiceContext& context, const std::string& folder);
  // Ends the lines in flight; they are computed anew some day.
  ~BatchRunner();

  // Runs the command on the runner's thread, soon.
  void Post(Command command);

  // Tells the watcher of the job now, and from then on of its changes, until Unwatch or its end. For commands only.
  void Watch(const v1::BatchJob& job, std::shared_ptr<BatchWatcher> watcher);
  void Unwatch(const BatchWatcher* watcher);

  // As of the last change.
  BatchCensus Census();

  // Starts no more lines and drops those in flight: nobody waits for them, and shutting down waits for nobody but them.
  void Drain();

  const BatchFolder& folder() const { return folder_; }

 private:
  class Flight;
  using Clock = std::chrono::steady_clock;
  struct Landing {
    uint64_t flight = 0;
    absl::StatusOr<BatchReply> result;
  };

  BatchRunner(const ServiceContext& context, const std::string& folder);
  absl::Status Open();
  void Run();
  void Land(std::vector<Landing> landings);
  void Recall(bool all);  // Lines of jobs that run no more, or all.
  bool Dispatch();        // Lines as far as there is room; false: there are none.
  bool Launch();          // One; false: there is none.
  void Tell();
  void Count(bool jobs_changed);
  Clock::time_point NextLook() const;

  const ServiceContext context_;
  const BatchFolder folder_;

  // The thread's own.
  std::unique_ptr<BatchBook> book_;
  absl::Status closed_;  // Why there is no book.
  std::map<uint64_t, std::unique_ptr<Flight>> flights_;
  uint64_t last_flight_ = 0;
  std::multimap<std::string, std::shared_ptr<BatchWatcher>> watchers_;  // By job.
  Clock::time_point not_before_;  // Of the next launch: the service has told us to wait.
  Clock::time_point retry_store_;

  Mutex mutex_;
  CondVar woken_;
  std::vector<Command> commands_ ABSL_GUARDED_BY(mutex_);
  std::vector<Landing> landings_ ABSL_GUARDED_BY(mutex_);
  BatchCensus census_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_RUNNER_H_
