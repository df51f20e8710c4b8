// What a replica computes of one request, window by window: all that the scheduler, a replica and the fleet know of a
// generation (coordinator/denoising_sequence.h) or of a part of a score (coordinator/scoring_sequence.h). Its tokens
// are the truth; K/V on a replica is a cache of them, so a Sequence can go on anywhere.
//
// Not thread-safe: one owner at a time, moved by unique_ptr. Holds no clock.
#ifndef UNMASK_COORDINATOR_SEQUENCE_H_
#define UNMASK_COORDINATOR_SEQUENCE_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/served_model.h"
#include "unmask/internal/v1/replica.pb.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

// What came of a task of a score (coordinator/score_plan.h).
struct TaskScore {
  int32_t task = 0;
  double log_likelihood = 0;  // Of a sample.
  bool match = false;         // Of greedy decoding.
};

// What a window did.
struct StepOutcome {
  // If somebody watches: at most one StepEvent and then a BlockEvent for each block that ended.
  std::vector<v1::GenerateStreamResponse> events;
  // It was a denoising step of this strategy, which committed so many tokens, and ended the sequence's first block.
  std::optional<v1::Remasking> denoised;
  int tokens = 0;
  bool first_block_ended = false;
  std::optional<TaskScore> score;  // It ended a task.
};

// Who waits for a sequence. Called by whoever owns the sequence, never under a lock of the caller's own that a method
// here could need; must not block.
class SequenceSink {
 public:
  virtual ~SequenceSink() = default;
  // A replica has it now; again after each move.
  virtual void OnPlaced(absl::string_view /*replica*/, uint64_t /*epoch*/) {}
  // Its first step was dispatched.
  virtual void OnStarted() = 0;
  // Its first block is decided: text that will not change.
  virtual void OnFirstBlock() {}
  virtual void OnEvents(std::vector<v1::GenerateStreamResponse> events) = 0;
  virtual void OnScore(const TaskScore& /*score*/) {}
  // Once, at the end. The response lacks timing; of a score it has only what tells how it was computed.
  virtual void OnDone(absl::StatusOr<v1::GenerateResponse> response) = 0;
  // Nobody waits any more: the sequence need not be computed.
  virtual bool Abandoned() const { return false; }
};

class Sequence {
 public:
  explicit Sequence(uint64_t id) : id_(id) {}
  virtual ~Sequence() = default;

  uint64_t id() const { return id_; }
  virtual v1::Priority priority() const = 0;
  virtual const std::string& request_id() const = 0;
  virtual bool done() const = 0;

  // Rows of the next window, both branches of guidance counted.
  virtual int64_t NextRows() const = 0;
  // What the next window costs to compute, in rows of no context: attention to the canvas makes a row dearer.
  virtual double NextCost() const = 0;
  // K/V positions that it needs on a replica, for all its life.
  virtual int64_t KvPositions() const = 0;
  // What all windows until the end cost, at the most, in the units of NextCost, rounded: work units.
  virtual int64_t WorkLeft() const = 0;
  // How many windows that is.
  virtual int64_t WindowsLeft() const = 0;

  // What to compute next. The same until Advance or LoseKv. Not when done.
  virtual internal::v1::Window PlanWindow() const = 0;

  // Takes what PlanWindow's window yielded. INTERNAL with reason NUMERICS_FAULT when the model's logits were not
  // finite: the sequence cannot go on.
  virtual absl::StatusOr<StepOutcome> Advance(const internal::v1::Candidates& candidates) = 0;

  // The replica that held its K/V is gone.
  virtual void LoseKv() = 0;

  // Nothing on a replica is worth keeping for its next window: it moves for free.
  virtual bool MovesFreely() const = 0;

  // The result; only when done. Lacks timing.
  virtual v1::GenerateResponse Response() const = 0;

  // Kept by whoever dispatches it.
  bool started = false;  // A step of it was dispatched.
  std::string numerics;  // Of the replicas that may compute it; "": any, until it started.
  int32_t replays = 0;   // Replicas that were lost under it.
  // Of these, the lives that ended since its last step, with it alone in the step: three convict it. Processes that
  // were only cut off, and come back, count once however often that happens.
  std::set<std::string> deadly_lives;
  bool suspect = false;  // It was in a step that killed: it goes alone until it survives one.
  // On the fleet's clock, in seconds: when whoever waits gives up, and when it should be over, a little earlier.
  double deadline = std::numeric_limits<double>::infinity();
  double due = std::numeric_limits<double>::infinity();
  std::shared_ptr<SequenceSink> sink;

 protected:
  // Of one row of a canvas of this length.
  static double RowCost(const internal::v1::ModelShape& shape, int64_t canvas_length);
  // The error of logits that were not finite.
  static absl::Status CheckFinite(const internal::v1::Candidates& candidates, uint32_t step);
  // It went on: a step that kills is replayed until it convicts, and its last one did not.
  void Survive();
  // What every reply says of how it was computed. approximations: its own.
  void Sign(const ServedModel& model, std::vector<std::string> approximations, v1::GenerateResponse* response) const;

 private:
  const uint64_t id_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_SEQUENCE_H_
