// Decides what one replica does next. Holds no thread, clock, lock or socket: the owner serialises calls and alternates
// Plan() and Apply().
#ifndef UNMASK_COORDINATOR_SCHEDULER_H_
#define UNMASK_COORDINATOR_SCHEDULER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "coordinator/batch_share.h"
#include "coordinator/forecast.h"
#include "coordinator/sequence.h"
#include "unmask/internal/v1/replica.pb.h"

namespace unmask {

// What the replica can hold.
struct ReplicaLimits {
  int64_t kv_positions = 0;  // Canvas positions with K/V; reserved for a sequence's whole life.
  int64_t max_rows = 0;      // Of one step; a window is never split, so a lone larger one is sent all the same.
};

class Scheduler {
 public:
  Scheduler(ReplicaLimits limits, int32_t embedding_size) : limits_(limits), embedding_size_(embedding_size) {}

  // What Apply hands back: a sequence that did a step, and the sequence itself once it is over.
  struct Progress {
    Sequence* sequence = nullptr;  // Valid until the next call.
    StepOutcome outcome;
    std::unique_ptr<Sequence> over;  // Done or failed: no longer the scheduler's.
    absl::Status status;             // Of `over`.
  };

  // Queues a sequence, in order within its priority. RESOURCE_EXHAUSTED, and the sequence is left with the caller,
  // when its K/V would not fit even alone.
  absl::Status Admit(std::unique_ptr<Sequence>& sequence);

  // Seconds until a sequence that came now would end, by what is here. Those that run share its steps; those that wait,
  // and those that it would make late, go first.
  double ExpectedEnd(const Sequence& newcomer, const StepMeasure& measure) const;

  // The next step, or nothing when there is nothing to do or a step is in flight. measure.max_cost bounds it
  // (Sequence::NextCost), but for a lone window; interactive sequences fill it first. Sequences whose first step this
  // is are added to `started`.
  std::optional<internal::v1::Step> Plan(const StepMeasure& measure, std::vector<Sequence*>* started);

  // The result of the step in flight, one Candidates for each of its windows. INVALID_ARGUMENT when it does not fit the
  // step: nothing was applied, and the replica cannot be trusted.
  absl::StatusOr<std::vector<Progress>> Apply(const internal::v1::StepResult& result);

  // Forgets a sequence; its K/V is freed before the next step. Null when it is not here. A result in flight for it is
  // ignored.
  std::unique_ptr<Sequence> Cancel(uint64_t id);

  // K/V of cancelled and finished sequences, when no step is due that would carry it.
  std::vector<uint64_t> TakeReleases();

  // A sequence that another replica may as well compute: one that waits, else one of several that run and moves freely.
  // Null when there is none. Not while a step is in flight.
  std::unique_ptr<Sequence> GiveAway();

  // The replica is gone: hands back all sequences, in order of arrival, ready to go on elsewhere. Those that were in
  // its last step are suspects; a lone one is charged with the death of this life of the replica.
  std::vector<std::unique_ptr<Sequence>> Abandon(const std::string& life);

  int running() const { return static_cast<int>(running_.size()); }
  int waiting() const { return static_cast<int>(interactive_.size() + batch_.size()); }
  bool empty() const { return running_.empty() && waiting() == 0; }
  bool step_in_flight() const { return step_in_flight_; }
  double cost_in_flight() const { return cost_in_flight_; }
  int64_t kv_positions_used() const { return kv_used_; }
  uint64_t steps() const { return steps_; }
  int64_t work_running() const { return work_running_; }            // Work units left to what runs,
  int64_t work_waiting() const { return work_waiting_; }            // and to what waits.
  int64_t positions_waiting() const { return positions_waiting_; }  // Canvas positions of what waits.

 private:
  using Sequences = std::deque<std::unique_ptr<Sequence>>;

  // Moves sequences to running_ as far as K/V lasts, a step or two can hold all their windows (more would only slow
  // each other), and nobody that runs is made late.
  void StartWaiting(const StepMeasure& measure);
  const Sequences* NextQueue(double max_cost) const;  // Whose first may start next; null: nobody may.
  bool BatchIsFull(double max_cost) const;            // No more of batch_ may run, whoever else runs.
  bool HasRoom(const Sequence& first, double max_cost) const;
  // Those whose windows an interactive or a batch sequence meets in its steps.
  std::vector<const Sequence*> Sharers(bool interactive) const;
  // Seconds until the last of those has ended that would be late if it ran too; 0: it makes nobody late.
  double ExpectedObstacle(const Sequence& newcomer, const StepMeasure& measure) const;
  bool Pressed(const StepMeasure& measure) const;  // Somebody interactive would be late if batch took its share.
  std::vector<Sequence*> ChooseWindows(const StepMeasure& measure);  // Whose next windows share the next step.
  std::unique_ptr<Sequence> TakeWaiting(Sequences* queue, Sequences::iterator it);
  void Count(const Sequence& running, int sign);  // Into or out of what is said of running_.

  const ReplicaLimits limits_;
  const int32_t embedding_size_;
  Sequences interactive_;         // Waiting, in order of arrival.
  Sequences batch_;               // Likewise; behind interactive ones, but never passed over for ever.
  int starts_without_batch_ = 0;  // Since one of batch_ started while it waited ...
  int steps_without_batch_ = 0;   // ... and of those that run, steps that had no room for one whose turn it was.
  BatchShare share_;
  Sequences running_;  // Hold K/V. The next step starts with the first; those that took part go to the end.
  struct WindowInFlight {
    uint64_t sequence = 0;
    int sampled = 0;
    bool margin = false;
    bool entropy = false;
    int asked = 0;
  };
  absl::Status Check(const internal::v1::StepResult& result) const;
  std::unique_ptr<Sequence> Remove(Sequences::iterator running);  // From running_, freeing its K/V.
  std::vector<WindowInFlight> in_step_;                           // Of the step in flight, window for window.
  std::vector<uint64_t> releases_;
  absl::flat_hash_set<uint64_t> ids_;  // Of all that are here.
  int64_t work_waiting_ = 0;
  int64_t work_waiting_interactive_ = 0;  // Of it.
  int64_t positions_waiting_ = 0;
  int64_t work_running_ = 0;
  int64_t kv_used_ = 0;
  int64_t kv_used_batch_ = 0;  // Of it.
  int batch_running_ = 0;
  int deadlines_running_ = 0;  // Of those that run, how many have one.
  uint64_t steps_ = 0;
  bool step_in_flight_ = false;
  double cost_in_flight_ = 0;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_SCHEDULER_H_
