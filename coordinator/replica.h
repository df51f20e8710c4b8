// One connection of one replica: its scheduler and the step in flight. A replica that comes back is a new Replica.
//
// Thread-safe. Its mutex is never held while a sink is called; it is while the sender queues a message, to keep their
// order.
#ifndef UNMASK_COORDINATOR_REPLICA_H_
#define UNMASK_COORDINATOR_REPLICA_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "base/mutex.h"
#include "coordinator/fleet_observer.h"
#include "coordinator/scheduler.h"
#include "coordinator/step_times.h"
#include "unmask/internal/v1/replica.pb.h"

namespace unmask {

class Replica {
 public:
  // Queues a message on the replica's stream; must not block, and may be called from any thread.
  using Sender = std::function<void(const internal::v1::CoordinatorMessage&)>;

  // observer: may be null, else outlives it.
  Replica(uint64_t epoch, internal::v1::ReplicaDescription description, internal::v1::ReplicaReady ready, Sender sender,
          FleetObserver* observer = nullptr);

  uint64_t epoch() const { return epoch_; }
  const internal::v1::ReplicaDescription& description() const { return description_; }
  const std::string& numerics() const { return ready_.numerics(); }
  const internal::v1::ReplicaReady& ready() const { return ready_; }

  // Takes a sequence and plans it as soon as no step is in flight. As Scheduler::Admit; UNAVAILABLE after Close.
  absl::Status Admit(std::unique_ptr<Sequence>& sequence);

  // Applies a result, tells the sinks, and sends the next step. An error means that the replica broke the protocol: the
  // caller drops it. Results of another epoch are ignored.
  absl::Status OnResult(const internal::v1::StepResult& result);

  // Null when it is not here; else the sequence, whose sink was not told.
  std::unique_ptr<Sequence> Cancel(uint64_t id);

  // Asks for a sequence that another replica, which has none, may compute instead: `taker` gets it after a result that
  // leaves one to give (Scheduler::GiveAway), outside the mutex. A second call before that replaces the first.
  using Taker = std::function<void(std::unique_ptr<Sequence>)>;
  void GiveAway(Taker taker);

  // The connection is gone: nothing is sent any more. As Scheduler::Abandon.
  std::vector<std::unique_ptr<Sequence>> Close();

  // The step in flight has taken longer than any healthy one would: the replica hangs.
  bool Overdue(std::chrono::steady_clock::time_point now) const;

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

 private:
  // Plans and sends while there is something to do. Called without the mutex.
  void Pump();

  const uint64_t epoch_;
  const internal::v1::ReplicaDescription description_;
  const internal::v1::ReplicaReady ready_;
  const Sender sender_;
  FleetObserver* const observer_;

  mutable Mutex mutex_;
  Scheduler scheduler_ ABSL_GUARDED_BY(mutex_);
  StepTimes times_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point sent_ ABSL_GUARDED_BY(mutex_);  // The step in flight.
  Taker taker_ ABSL_GUARDED_BY(mutex_);
  uint64_t tokens_ ABSL_GUARDED_BY(mutex_) = 0;  // Committed here.
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_REPLICA_H_
