// One generation: the canvas (prompt and masks), and its walk through blocks and steps.
#ifndef UNMASK_COORDINATOR_DENOISING_SEQUENCE_H_
#define UNMASK_COORDINATOR_DENOISING_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "coordinator/answer.h"
#include "coordinator/remasking.h"
#include "coordinator/sequence.h"
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

class DenoisingSequence final : public Sequence {
 public:
  DenoisingSequence(uint64_t id, SequenceSpec spec);

  const SequenceSpec& spec() const { return spec_; }
  v1::Priority priority() const override { return spec_.priority; }
  const std::string& request_id() const override { return spec_.request_id; }
  bool done() const override { return done_; }

  int64_t NextRows() const override;
  double NextCost() const override { return NextRows() * RowCost(); }
  int64_t KvPositions() const override { return static_cast<int64_t>(spec_.canvas.size()) * branches(); }
  int64_t WorkLeft() const override;
  int64_t WindowsLeft() const override;

  internal::v1::Window PlanWindow() const override;
  absl::StatusOr<StepOutcome> Advance(const internal::v1::Candidates& candidates) override;

  // The next window rebuilds it from the canvas as it stood before the block's first step, where the cache policy reads
  // K/V of earlier steps: rebuilding from today's tokens would change the text.
  void LoseKv() override { kv_current_ = false; }
  // Its next window begins a block.
  bool MovesFreely() const override { return step_in_block_ == 0; }

  v1::GenerateResponse Response() const override;

 private:
  double RowCost() const { return Sequence::RowCost(spec_.model->shape, canvas_.size()); }
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
  bool kv_current_ = false;  // A replica holds this block's K/V.
  bool done_ = false;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_DENOISING_SEQUENCE_H_
