// One generation: the canvas (prompt and masks), and its walk through blocks and steps. The tokens are the truth; K/V
// on a replica is a cache of them, so a Sequence can go on anywhere.
//
// Not thread-safe: one owner at a time, moved by unique_ptr. Holds no clock.
#ifndef UNMASK_COORDINATOR_SEQUENCE_H_
#define UNMASK_COORDINATOR_SEQUENCE_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/answer.h"
#include "coordinator/remasking.h"
#include "coordinator/served_model.h"
#include "unmask/internal/v1/replica.pb.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

// What a valid request asks for (coordinator/request.h makes it).
struct SequenceSpec {
  std::shared_ptr<const ServedModel> model;
  v1::GenerationOptions options;  // Resolved: every scalar is set.
  std::vector<int32_t> canvas;    // The prompt, then the answer: masks (infill: fixed tokens and masks).
  int32_t prompt_length = 0;      // The answer, and the first block, begin here.
  // Infill: which part of the answer each segment is, in order; empty otherwise.
  struct Segment {
    int32_t length = 0;
    bool masks = false;
  };
  std::vector<Segment> segments;
  v1::OutputOptions output;
  v1::Priority priority = v1::PRIORITY_INTERACTIVE;
  std::string request_id;
  bool events = false;  // Somebody watches: Advance describes each step.

  bool infill() const { return !segments.empty(); }
};

// What a step changed, if somebody watches: at most one StepEvent and then a BlockEvent for each block that ended.
struct StepOutcome {
  std::vector<v1::GenerateStreamResponse> events;
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
  // Once, at the end. The response lacks timing.
  virtual void OnDone(absl::StatusOr<v1::GenerateResponse> response) = 0;
  // Nobody waits any more: the sequence need not be computed.
  virtual bool Abandoned() const { return false; }
};

class Sequence {
 public:
  Sequence(uint64_t id, SequenceSpec spec);

  uint64_t id() const { return id_; }
  const SequenceSpec& spec() const { return spec_; }
  bool done() const { return done_; }

  // Rows of the next window, both branches of guidance counted.
  int64_t NextRows() const;
  // What the next window costs to compute, in rows of no context: attention to the canvas makes a row dearer.
  double NextCost() const;
  // K/V positions that it needs on a replica, for all its life.
  int64_t KvPositions() const { return static_cast<int64_t>(spec_.canvas.size()) * branches(); }
  // What all windows until the end cost, at the most, in the units of NextCost, rounded: work units.
  int64_t WorkLeft() const;
  // How many windows that is.
  int64_t WindowsLeft() const;

  // What to compute next. The same until Advance or LoseKv. Not when done.
  internal::v1::Window PlanWindow() const;

  // Takes what PlanWindow's window yielded. INTERNAL with reason NUMERICS_FAULT when the model's logits were not
  // finite: the sequence cannot go on.
  absl::StatusOr<StepOutcome> Advance(const internal::v1::Candidates& candidates);

  // The replica that held its K/V is gone. The next window rebuilds it from the canvas as it stood before the block's
  // first step, where the cache policy reads K/V of earlier steps: rebuilding from today's tokens would change the
  // text.
  void LoseKv() { kv_current_ = false; }

  // Its next window begins a block: nothing on a replica is worth keeping, so it moves for free.
  bool AtBlockStart() const { return step_in_block_ == 0; }

  int32_t blocks_ended() const { return blocks_ended_; }
  int32_t tokens_committed() const { return tokens_committed_; }
  uint32_t steps_run() const { return steps_run_; }

  // The result; only when done. Lacks timing.
  v1::GenerateResponse Response() const;

  // Kept by whoever dispatches it.
  bool started = false;      // A step of it was dispatched.
  std::string numerics;      // Of the replicas that may compute it; "" until it started.
  int32_t replays = 0;       // Replicas that died under it.
  int32_t deaths_alone = 0;  // Of these since its last step, with it alone in the step: three convict it.
  bool suspect = false;      // It was in a step that killed: it goes alone until it survives one.
  // On the fleet's clock, in seconds: when whoever waits gives up, and when it should be over, a little earlier.
  double deadline = std::numeric_limits<double>::infinity();
  double due = std::numeric_limits<double>::infinity();
  std::shared_ptr<SequenceSink> sink;

 private:
  double RowCost() const;  // Of one row of this canvas.
  int64_t StepsOfABlock() const;  // At the most.
  int64_t StepsLeftInBlock() const;
  int branches() const { return spec_.options.cfg_scale() > 0 ? 2 : 1; }
  int32_t BlockBegin() const { return spec_.prompt_length + block_ * spec_.options.block_length(); }
  int32_t BlockEnd() const;
  int32_t MasksIn(int32_t begin, int32_t end) const;
  bool Rebuilds() const;        // Whether the next window is a rebuilding one.
  int32_t WindowBegin() const;  // Of the next window that samples ...
  int32_t WindowEnd() const;
  std::vector<int32_t> SampledPositions() const;
  void FillRows(const std::vector<int32_t>& canvas, int32_t begin, int32_t end, internal::v1::Window* window) const;
  void FillSampling(internal::v1::Sampling* sampling) const;
  std::vector<Candidate> ReadCandidates(const internal::v1::Candidates& candidates) const;
  std::vector<int> Keep(const std::vector<Candidate>& candidates) const;
  void DescribeStep(const std::vector<Candidate>& candidates, const std::vector<int>& kept, StepOutcome* outcome) const;
  bool BlockEnded() const;
  void BeginBlock();  // The next block that holds a mask, or Finish.
  void Finish();
  void DescribeBlock(int32_t block, StepOutcome* outcome);
  absl::Span<const int32_t> AnswerTokens() const;

  const uint64_t id_;
  const SequenceSpec spec_;
  const RemaskingStrategy& strategy_;
  const int32_t blocks_;
  const int32_t steps_per_block_;

  std::vector<int32_t> canvas_;
  std::vector<float> confidences_;     // Of each canvas position at its commit.
  std::vector<bool> given_;            // Not a mask at the start: masked in guidance's unconditional branch.
  std::vector<int32_t> block_canvas_;  // As it stood before the block's first step.
  Answer answer_;
  int32_t block_ = -1;
  int32_t step_in_block_ = 0;
  int32_t block_masks_ = 0;  // As the block began; its fixed-count schedule spreads them over its steps.
  uint32_t steps_run_ = 0;   // Also the noise's step.
  int32_t forward_passes_ = 0;
  int32_t blocks_ended_ = 0;
  int32_t tokens_committed_ = 0;
  bool kv_current_ = false;  // A replica holds this block's K/V.
  bool done_ = false;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_SEQUENCE_H_
