// The replicas behind the service: who is there, and which of them computes a sequence. Sequences wait here when nobody
// can take them, and come back here when a replica dies.
//
// Thread-safe. Sinks are never called under its mutex. Lock order: Fleet, then Replica (its load is read under both).
#ifndef UNMASK_COORDINATOR_FLEET_H_
#define UNMASK_COORDINATOR_FLEET_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/mutex.h"
#include "coordinator/denoising_sequence.h"
#include "coordinator/fleet_observer.h"
#include "coordinator/replica.h"
#include "coordinator/served_model.h"
#include "unmask/internal/v1/replica.pb.h"
#include "unmask/v1/fleet.pb.h"

namespace unmask {

struct FleetOptions {
  std::string model_name;
  std::shared_ptr<const Tokenizer> tokenizer;  // Null: the checkpoint has none.
  std::optional<int32_t> eot;
  QueueBounds queue;                  // Of each replica, and of the fleet while it has none.
  FleetObserver* observer = nullptr;  // May be null, else outlives the fleet.
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

class Fleet {
 public:
  explicit Fleet(FleetOptions options);

  // --- The replicas' side. One caller per connection, in this order: Attach, Loading*, Ready, Drain?, Detach.

  // A replica has connected: its connection's epoch, larger than any before. FAILED_PRECONDITION when it cannot be a
  // part of this service: another model or shape, a shard plan with gaps, or a tokenizer larger than its embedding. A
  // connection that is still open under the same name keeps it, and the newcomer gets ALREADY_EXISTS.
  absl::StatusOr<uint64_t> Attach(const internal::v1::ReplicaDescription& description);
  void Loading(uint64_t epoch, const v1::LoadingProgress& progress);
  // It can compute; what waits may go to it. The Replica takes its results until Detach.
  absl::StatusOr<std::shared_ptr<Replica>> Ready(uint64_t epoch, const internal::v1::ReplicaReady& ready,
                                                 Replica::Sender sender);
  // It gets nothing new. True when it holds nothing (any more), so that its stream can end.
  void Drain(uint64_t epoch);
  bool Idle(uint64_t epoch) const;
  // It hangs: a step has been in flight for longer than any healthy one (Replica::Overdue).
  bool Overdue(uint64_t epoch, std::chrono::steady_clock::time_point now) const;
  // To be called after each result: if the replica has run out of work, the busiest one of its numerics is asked for
  // some, until both have as much to do.
  void Rebalance(uint64_t epoch);
  // Its connection is over; its sequences go on elsewhere or wait. Idempotent. Replica::OnResult must have returned.
  // reason: one of fleet_observer.h.
  void Detach(uint64_t epoch, const char* reason = kReplicaEnded);

  // --- The service's side.

  // Null until the first replica was ready; then for ever the same.
  std::shared_ptr<const ServedModel> model() const;
  bool AnyReady() const { return ReadyReplica() != nullptr; }
  // There are replicas, and each has died so often before it answered a step that it is taken for broken.
  bool AllFailed() const;
  // One that is ready, null if none is: what the service computes in.
  std::shared_ptr<const Replica> ReadyReplica() const;

  // A new id for a sequence, dense from 1.
  uint64_t NextSequenceId();

  // Places the sequence, or lets it wait. An error means that it will not be computed; its sink was not told.
  // RESOURCE_EXHAUSTED, with the time after which to try again, when by the replica's measured steps it would not end
  // within time_left, or when more waits than the queue holds.
  absl::Status Submit(std::unique_ptr<Sequence> sequence, absl::Duration time_left = absl::InfiniteDuration());

  // The most steps, a multiple of its blocks and no more than it asks for, with which a sequence that came now would be
  // over in time, by the replica's measured steps; 0: not even one a block.
  int32_t StepsWithin(const SequenceSpec& spec, absl::Duration time_left) const;

  // Forgets a sequence without telling its sink. False when it is not here (it is over).
  bool Cancel(uint64_t id);

  v1::GetFleetResponse Describe() const;
  // Sequences in replicas and waiting for one.
  int open_sequences() const;

 private:
  struct Member {
    v1::ReplicaStatus status;
    internal::v1::ReplicaDescription description;
    std::shared_ptr<Replica> replica;  // While READY or DRAINING.
    int fruitless = 0;  // Connections in a row that ended before they were ready, or with a first step unanswered.
    std::chrono::steady_clock::time_point left;  // When the last connection ended.
  };

  absl::Status Check(const internal::v1::ReplicaDescription& description) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Member* Find(uint64_t epoch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const Member* Find(uint64_t epoch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetTheLongGone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::shared_ptr<Replica> Choose(const Sequence& sequence, bool newcomer,
                                  absl::Span<const std::shared_ptr<Replica>> refused = {}) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Admits it to the best replica or lets it wait. newcomer: it may be refused.
  absl::Status Place(std::unique_ptr<Sequence> sequence, bool newcomer = false);
  std::shared_ptr<Replica> Get(uint64_t epoch) const;  // Null: no such connection, or not ready.
  std::vector<std::shared_ptr<Replica>> Replicas() const;

  const FleetOptions options_;

  mutable Mutex mutex_;
  std::map<std::string, Member> members_ ABSL_GUARDED_BY(mutex_);            // By name; DOWN ones stay a while.
  std::unordered_map<uint64_t, Member*> connected_ ABSL_GUARDED_BY(mutex_);  // By epoch.
  std::shared_ptr<const ServedModel> model_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Sequence>> waiting_ ABSL_GUARDED_BY(mutex_);  // In order of arrival.
  int64_t positions_waiting_ ABSL_GUARDED_BY(mutex_) = 0;                   // Canvas positions of theirs.
  uint64_t last_epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_FLEET_H_
