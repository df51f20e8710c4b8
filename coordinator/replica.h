// One connection of one replica: its scheduler and the step in flight. A replica that comes back is a new Replica.
//
// Thread-safe. Its mutex is never held while a sink is called; it is while the sender queues a message, to keep their
// order.
#ifndef UNMASK_COORDINATOR_REPLICA_H_
#define UNMASK_COORDINATOR_REPLICA_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/mutex.h"
#include "coordinator/fleet_observer.h"
#include "coordinator/scheduler.h"
#include "coordinator/step_times.h"
#include "unmask/internal/v1/replica.pb.h"

namespace unmask {

// How much may wait.
struct QueueBounds {
  double seconds = 600;                  // Of the replica's time, as measured.
  int64_t positions = int64_t{1} << 24;  // Of canvases, which is what memory holds.
};

class Replica {
 public:
  // Queues a message on the replica's stream; must not block, and may be called from any thread.
  using Sender = std::function<void(const internal::v1::CoordinatorMessage&)>;

  using Clock = std::chrono::steady_clock;

  // observer: may be null, else outlives it.
  Replica(uint64_t epoch, internal::v1::ReplicaDescription description, internal::v1::ReplicaReady ready, Sender sender,
          FleetObserver* observer = nullptr, std::function<Clock::time_point()> now = Clock::now);

  uint64_t epoch() const { return epoch_; }
  const internal::v1::ReplicaDescription& description() const { return description_; }
  const std::string& numerics() const { return ready_.numerics(); }
  const internal::v1::ReplicaReady& ready() const { return ready_; }

  // Takes a sequence and plans it as soon as no step is in flight. As Scheduler::Admit; UNAVAILABLE after Close.
  // bounds: of a newcomer, which is refused with RESOURCE_EXHAUSTED and the time after which to try again where it
  // would end after it is due, or where too much waits; null: it was accepted before.
  absl::Status Admit(std::unique_ptr<Sequence>& sequence, const QueueBounds* bounds = nullptr);

  // Seconds until a sequence that came now would end (Scheduler::ExpectedEnd).
  double ExpectedEnd(const Sequence& newcomer) const;

  // Applies a result, tells the sinks, and sends the next step. An error means that the replica broke the protocol: the
  // caller drops it. Results of another epoch are ignored.
  absl::Status OnResult(const internal::v1::StepResult& result);

  // Null when it is not here; else the sequence, whose sink was not told.
  std::unique_ptr<Sequence> Cancel(uint64_t id);

  // Asks for sequences that another replica, which has less to do, may compute instead: after results that leave some
  // to give (Scheduler::GiveAway), `taker` gets them outside the mutex, until both have as much to do. A second call
  // before that replaces the first.
  using Taker = std::function<void(std::unique_ptr<Sequence>)>;
  void GiveAway(const std::shared_ptr<const Replica>& to, Taker taker);

  // The connection is gone: nothing is sent any more. As Scheduler::Abandon.
  std::vector<std::unique_ptr<Sequence>> Close();

  // The step in flight has taken longer than any healthy one would: the replica hangs.
  bool Overdue(Clock::time_point now) const;

  struct Load {
    int running = 0;
    int waiting = 0;
    int64_t work_running = 0;  // Work units (Sequence::WorkLeft).
    int64_t work_waiting = 0;
    int64_t kv_positions_used = 0;
    uint64_t steps = 0;           // Sent, ...
    uint64_t steps_answered = 0;  // ... and come back.
    uint64_t tokens = 0;          // Committed.
    double throughput = 0;        // Work units per second, recently; 0: not measured yet.

    int64_t work_left() const { return work_running + work_waiting; }
  };
  Load load() const;
  // load().work_left(), without the mutex.
  int64_t work_left() const { return work_left_; }

 private:
  // Plans and sends while there is something to do. Called without the mutex. result: when the last one came, if this
  // follows from it.
  void Pump(std::optional<Clock::time_point> result = std::nullopt);
  void PublishWork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  StepMeasure Measure() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckQueue(const Sequence& newcomer, const QueueBounds& bounds) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint64_t epoch_;
  const internal::v1::ReplicaDescription description_;
  const internal::v1::ReplicaReady ready_;
  const Sender sender_;
  FleetObserver* const observer_;
  const std::function<Clock::time_point()> now_;
  std::atomic<int64_t> work_left_ = 0;

  mutable Mutex mutex_;
  Scheduler scheduler_ ABSL_GUARDED_BY(mutex_);
  StepTimes times_ ABSL_GUARDED_BY(mutex_);
  Clock::time_point sent_ ABSL_GUARDED_BY(mutex_);   // The step in flight ...
  Clock::time_point begun_ ABSL_GUARDED_BY(mutex_);  // ... and when its planning began.
  Taker taker_ ABSL_GUARDED_BY(mutex_);
  std::weak_ptr<const Replica> to_ ABSL_GUARDED_BY(mutex_);  // Whose work taker_ takes.
  uint64_t tokens_ ABSL_GUARDED_BY(mutex_) = 0;              // Committed here.
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_REPLICA_H_
