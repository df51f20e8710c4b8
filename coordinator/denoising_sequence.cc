#include "coordinator/denoising_sequence.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace unmask {

using internal::v1::Candidates;
using internal::v1::Sampling;
using internal::v1::Window;

DenoisingSequence::DenoisingSequence(uint64_t id, SequenceSpec spec)
    : Sequence(id),
      spec_(std::move(spec)),
      strategy_(*FindStrategy(spec_.options.remasking())),
      blocks_((static_cast<int32_t>(spec_.canvas.size()) - spec_.prompt_length + spec_.options.block_length() - 1) /
              spec_.options.block_length()),
      steps_per_block_(spec_.options.steps() / blocks_),
      canvas_(spec_.canvas),
      confidences_(canvas_.size(), 0),
      given_(canvas_.size()),
      answer_(spec_.model.get(), /*ends=*/!spec_.infill() && !spec_.options.reference_parity(),
              {spec_.options.stop().begin(), spec_.options.stop().end()}) {
  const int32_t mask = spec_.model->mask();
  std::transform(canvas_.begin(), canvas_.end(), given_.begin(), [mask](int32_t token) { return token != mask; });
  BeginBlock();
}

int32_t DenoisingSequence::BlockEnd() const {
  return std::min<int32_t>(BlockBegin() + spec_.options.block_length(), canvas_.size());
}

int32_t DenoisingSequence::MasksIn(int32_t begin, int32_t end) const {
  return std::count(canvas_.begin() + begin, canvas_.begin() + end, spec_.model->mask());
}

absl::Span<const int32_t> DenoisingSequence::AnswerTokens() const {
  return absl::MakeConstSpan(canvas_).subspan(spec_.prompt_length);
}

bool DenoisingSequence::Rebuilds() const {
  return spec_.options.cache() != v1::CACHE_NONE && step_in_block_ > 0 && !kv_current_;
}

int32_t DenoisingSequence::WindowBegin() const {
  return spec_.options.cache() == v1::CACHE_NONE || step_in_block_ == 0 ? 0 : BlockBegin();
}

int32_t DenoisingSequence::WindowEnd() const {
  return spec_.options.cache() == v1::CACHE_DUAL && step_in_block_ > 0 ? BlockEnd() : canvas_.size();
}

int64_t DenoisingSequence::NextRows() const {
  const int64_t rows = Rebuilds() ? canvas_.size() : WindowEnd() - WindowBegin();
  return rows * branches();
}

int64_t DenoisingSequence::StepsOfABlock() const {
  // Surplus steps are not run, but for the one strategy that may reveal nothing in a step.
  const bool may_idle = spec_.options.remasking() == v1::REMASKING_RANDOM_S_OVER_T;
  return may_idle ? steps_per_block_ : std::min(steps_per_block_, spec_.options.block_length());
}

int64_t DenoisingSequence::StepsLeftInBlock() const { return std::max<int64_t>(StepsOfABlock() - step_in_block_, 1); }

int64_t DenoisingSequence::WindowsLeft() const {
  return done_ ? 0 : StepsLeftInBlock() + (blocks_ - block_ - 1) * StepsOfABlock();
}

int64_t DenoisingSequence::WorkLeft() const {
  if (done_) return 0;
  const int64_t canvas = canvas_.size();
  const int64_t block = spec_.options.block_length();
  const int64_t steps = StepsOfABlock();
  const int64_t left = StepsLeftInBlock();
  const int64_t blocks_after = blocks_ - block_ - 1;
  // Rows of the windows after each block's first, which covers the canvas: this block's, and those of all later blocks.
  int64_t rows = canvas, rows_after = canvas * blocks_after;
  if (spec_.options.cache() == v1::CACHE_DUAL) {
    rows = block;
    rows_after = block * blocks_after;
  } else if (spec_.options.cache() == v1::CACHE_PREFIX) {
    rows = canvas - BlockBegin();
    rows_after = (rows - block) * blocks_after - block * blocks_after * (blocks_after - 1) / 2;
  }
  const int64_t this_block = step_in_block_ == 0 ? canvas + (left - 1) * rows : left * rows;
  const int64_t total = this_block + canvas * blocks_after + (steps - 1) * rows_after;
  return static_cast<int64_t>(std::max<int64_t>(total, 1) * branches() * RowCost());
}

// Every mask up to the block's end that the window covers. In parity mode that includes masks of the prompt and masks
// that earlier blocks left, as LLaDA's generate.py has it; otherwise only the block holds any.
std::vector<int32_t> DenoisingSequence::SampledPositions() const {
  std::vector<int32_t> positions;
  const int32_t mask = spec_.model->mask();
  for (int32_t p = WindowBegin(); p < BlockEnd(); ++p) {
    if (canvas_[p] == mask) positions.push_back(p);
  }
  return positions;
}

Window DenoisingSequence::PlanWindow() const {
  Window window;
  window.set_sequence(id());
  window.set_length(canvas_.size());
  window.add_horizons(canvas_.size());  // Bidirectional: every row sees the whole canvas.
  if (Rebuilds()) {
    FillRows(block_canvas_, 0, canvas_.size(), &window);
    return window;
  }
  FillRows(canvas_, WindowBegin(), WindowEnd(), &window);
  const std::vector<int32_t> sampled = SampledPositions();
  window.mutable_sample()->Add(sampled.begin(), sampled.end());
  FillSampling(window.mutable_sampling());
  return window;
}

void DenoisingSequence::FillRows(const std::vector<int32_t>& canvas, int32_t begin, int32_t end, Window* window) const {
  window->set_begin(begin);
  window->mutable_tokens()->Add(canvas.begin() + begin, canvas.begin() + end);
  if (spec_.options.cfg_scale() <= 0) return;
  window->set_cfg_scale(spec_.options.cfg_scale());
  for (int32_t p = begin; p < end; ++p) window->add_unconditional_tokens(given_[p] ? spec_.model->mask() : canvas[p]);
}

void DenoisingSequence::FillSampling(Sampling* sampling) const {
  const v1::GenerationOptions& options = spec_.options;
  const ServedModel& model = *spec_.model;
  sampling->set_temperature(options.temperature());
  sampling->set_seed(options.seed());
  sampling->set_noise_step(steps_run_);
  sampling->set_margin(strategy_.needs_margin);
  sampling->set_entropy(strategy_.needs_entropy);
  if (!options.reference_parity()) {
    sampling->set_token_bound(model.token_bound());
    sampling->add_suppressed(model.mask());
  }
  if (options.logits_eos_inf()) sampling->add_suppressed(model.eos());
  if (options.confidence_eos_eot_inf()) {
    // generate.py assigns -inf to EOS in the noised logits and to EOT in the plain ones. At temperature 0 both are one
    // tensor; above it the noised one is read no more, and only EOT's confidence goes.
    if (options.temperature() == 0) sampling->add_unconfident(model.eos());
    if (model.eot) sampling->add_unconfident(*model.eot);
  }
}

absl::StatusOr<StepOutcome> DenoisingSequence::Advance(const Candidates& candidates) {
  UNMASK_RETURN_IF_ERROR(CheckFinite(candidates, steps_run_));
  StepOutcome outcome;
  if (Rebuilds()) {
    kv_current_ = true;
    return outcome;
  }
  const std::vector<Candidate> read = ReadCandidates(candidates);
  const std::vector<int> kept = Keep(read);
  for (int i : kept) {
    canvas_[read[i].position] = read[i].token;
    confidences_[read[i].position] = read[i].confidence;
  }
  kv_current_ = true;
  Survive();
  ++forward_passes_;
  outcome.denoised = strategy_.id;
  outcome.tokens = static_cast<int>(kept.size());
  if (spec_.events) DescribeStep(read, kept, &outcome);
  ++steps_run_;
  ++step_in_block_;

  answer_.Follow(AnswerTokens());
  if (!answer_.ended() && !BlockEnded()) return outcome;
  const int32_t ended_block = block_;
  outcome.first_block_ended = blocks_ended_++ == 0;
  if (answer_.ended()) {
    Finish();
  } else {
    BeginBlock();
  }
  if (spec_.events) DescribeBlock(ended_block, &outcome);
  return outcome;
}

std::vector<Candidate> DenoisingSequence::ReadCandidates(const Candidates& candidates) const {
  const std::vector<int32_t> positions = SampledPositions();
  std::vector<Candidate> read(positions.size());
  for (size_t i = 0; i < positions.size(); ++i) {
    read[i] = {.position = positions[i], .token = candidates.tokens(i), .confidence = candidates.confidences(i)};
    if (strategy_.needs_margin) read[i].margin = candidates.margins(i);
    if (strategy_.needs_entropy) read[i].entropy = candidates.entropies(i);
  }
  return read;
}

std::vector<int> DenoisingSequence::Keep(const std::vector<Candidate>& candidates) const {
  const v1::GenerationOptions& options = spec_.options;
  RemaskingStep step = {.quota = TransferCount(block_masks_, steps_per_block_, step_in_block_),
                        .step = step_in_block_,
                        .steps = steps_per_block_,
                        .threshold = options.threshold(),
                        .factor = options.factor(),
                        .entropy_bound = options.entropy_bound(),
                        .seed = options.seed(),
                        .noise_step = steps_run_};
  const bool last = step_in_block_ + 1 == steps_per_block_;
  if (strategy_.adaptive && last) {  // Bounded by steps: all that is left.
    std::vector<int> all(candidates.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = i;
    return all;
  }
  return strategy_.keep(candidates, step);
}

bool DenoisingSequence::BlockEnded() const {
  if (step_in_block_ == steps_per_block_)
    return true;  // In parity mode masks may be left: the model proposed the mask.
  if (MasksIn(BlockBegin(), BlockEnd()) > 0) return false;
  // Fast-dLLM's cached loops look for masks at the end of a pass that reads the cache, so a block takes two at least;
  // dInfer's factor loop looks before it.
  const bool spare_pass = spec_.options.reference_parity() && spec_.options.cache() != v1::CACHE_NONE &&
                          spec_.options.remasking() != v1::REMASKING_FACTOR && step_in_block_ < 2;
  return !spare_pass;
}

void DenoisingSequence::BeginBlock() {
  step_in_block_ = 0;
  kv_current_ = false;
  for (++block_; block_ < blocks_; ++block_) {
    const int masks = MasksIn(BlockBegin(), BlockEnd());
    if (masks == 0) continue;  // Infill: fixed text.
    block_masks_ = masks;
    block_canvas_ = canvas_;
    return;
  }
  Finish();
}

void DenoisingSequence::Finish() {
  if (answer_.ended()) {  // What lies beyond the end does not exist.
    const size_t end = spec_.prompt_length + answer_.tokens_read();
    std::fill(canvas_.begin() + end, canvas_.end(), spec_.model->eos());
    std::fill(confidences_.begin() + end, confidences_.end(), 0.0f);
  }
  answer_.Finish(AnswerTokens());
  done_ = true;
}

void DenoisingSequence::DescribeStep(const std::vector<Candidate>& candidates, const std::vector<int>& kept,
                                     StepOutcome* outcome) const {
  v1::StepEvent* event = outcome->events.emplace_back().mutable_step();
  event->set_block(block_);
  event->set_step(step_in_block_);
  event->set_merged(1);
  event->set_masks_left(MasksIn(0, canvas_.size()));
  auto text = [this](int32_t token) {
    if (!spec_.model->tokenizer) return std::string();
    return spec_.model->tokenizer->Decode({token}, /*skip_special=*/false).value_or("");
  };
  size_t next = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& candidate = candidates[i];
    if (next < kept.size() && kept[next] == static_cast<int>(i)) {
      ++next;
      v1::Commit* commit = event->add_commits();
      commit->set_position(candidate.position);
      commit->set_token_id(candidate.token);
      commit->set_confidence(candidate.confidence);
      commit->set_text(text(candidate.token));
      commit->set_kind(v1::COMMIT_KIND_UNMASKED);
    } else if (spec_.output.proposals()) {
      v1::Proposal* proposal = event->add_proposals();
      proposal->set_position(candidate.position);
      proposal->set_token_id(candidate.token);
      proposal->set_confidence(candidate.confidence);
      proposal->set_text(text(candidate.token));
    }
  }
}

void DenoisingSequence::DescribeBlock(int32_t block, StepOutcome* outcome) {
  v1::BlockEvent* event = outcome->events.emplace_back().mutable_block();
  event->set_block(block);
  event->set_text_delta(answer_.TakeDelta());
}

v1::GenerateResponse DenoisingSequence::Response() const {
  const ServedModel& model = *spec_.model;
  v1::GenerateResponse response;
  response.set_text(answer_.text());
  const bool ids = spec_.output.token_ids() || !model.tokenizer;
  int32_t generated = 0;
  for (size_t p = spec_.prompt_length; p < canvas_.size(); ++p) {
    if (spec_.infill() && given_[p]) continue;
    ++generated;
    if (ids) response.add_token_ids(canvas_[p]);
    if (spec_.output.confidences()) response.add_confidences(confidences_[p]);
  }
  if (spec_.output.canvas()) response.mutable_canvas()->Add(canvas_.begin(), canvas_.end());
  response.set_finish_reason(answer_.ended().value_or(v1::FINISH_REASON_LENGTH));
  response.mutable_usage()->set_prompt_tokens(static_cast<int32_t>(canvas_.size()) - generated);
  response.mutable_usage()->set_completion_tokens(answer_.ended() ? answer_.tokens_read() : generated);
  response.mutable_usage()->set_steps(steps_run_);
  response.mutable_usage()->set_forward_passes(forward_passes_);
  *response.mutable_options() = spec_.options;
  std::vector<std::string> approximations;
  if (spec_.options.cache() != v1::CACHE_NONE) approximations.push_back(v1::Cache_Name(spec_.options.cache()));
  Sign(model, std::move(approximations), &response);
  int32_t position = spec_.prompt_length;
  for (size_t i = 0; i < spec_.segments.size(); ++i) {
    const SequenceSpec::Segment& segment = spec_.segments[i];
    if (segment.masks) {
      v1::InfilledSpan* span = response.add_spans();
      span->set_segment(i);
      const auto tokens = absl::MakeConstSpan(canvas_).subspan(position, segment.length);
      if (model.tokenizer) span->set_text(model.tokenizer->Decode(tokens, /*skip_special=*/true).value_or(""));
      span->mutable_token_ids()->Add(tokens.begin(), tokens.end());
    }
    position += segment.length;
  }
  return response;
}

}  // namespace unmask
