#include "cli/canvas_state.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace unmask {
namespace {

constexpr int32_t kMaxCanvas = 1 << 20;  // Positions; more than any model's context, and no harm to draw.

}  // namespace

void CanvasState::Apply(const v1::GenerateStreamResponse& event) {
  switch (event.event_case()) {
    case v1::GenerateStreamResponse::kAccepted:
      return Apply(event.accepted());
    case v1::GenerateStreamResponse::kStep:
      return Apply(event.step());
    case v1::GenerateStreamResponse::kBlock:
      return Apply(event.block());
    case v1::GenerateStreamResponse::kCompleted:
      response_ = event.completed();
      options_ = response_.options();
      completed_ = true;
      return;
    case v1::GenerateStreamResponse::EVENT_NOT_SET:
      return;  // An event of a newer server.
  }
}

void CanvasState::Apply(const v1::Accepted& accepted) {
  accepted_ = true;
  options_ = accepted.options();
  blocks_ = std::max(accepted.blocks(), 1);
  slots_.clear();
  const int32_t begin = std::max(accepted.prompt_length(), 0);
  if (layout_.parts.empty()) {
    const int32_t end = std::min(accepted.canvas_length(), kMaxCanvas);
    for (int32_t p = begin; p < end; ++p) slots_.push_back({.position = p});
  } else {
    // The gaps are the last masks of the canvas: whatever stands before the segments (a chat) comes first.
    size_t masks = 0;
    for (const CanvasPart& part : layout_.parts) masks += part.masks;
    for (int p = 0; p < accepted.canvas_size(); ++p) {
      if (accepted.canvas(p) == layout_.mask_id) slots_.push_back({.position = p});
    }
    if (slots_.size() > masks) slots_.erase(slots_.begin(), slots_.end() - masks);
  }
  // Blocks are counted in positions behind the prompt, given ones included.
  const int block_length = options_.block_length();
  for (Slot& slot : slots_) {
    slot.block = block_length > 0 ? (slot.position - begin) / block_length : 0;
  }
  steps_planned_ = options_.steps() > 0 ? options_.steps() : static_cast<int>(slots_.size());
}

void CanvasState::Apply(const v1::BlockEvent& block) {
  if (!layout_.parts.empty()) return;
  settled_text_ += block.text_delta();
  while (settled_slots_ < static_cast<int>(slots_.size()) && slots_[settled_slots_].block <= block.block())
    ++settled_slots_;
}

void CanvasState::Apply(const v1::StepEvent& step) {
  block_ = step.block();
  steps_ += std::max(step.merged(), 1);
  for (Slot& slot : slots_) {
    if (slot.state == Slot::State::kProposed) Mask(&slot);
  }
  for (const v1::Commit& commit : step.commits()) Apply(commit);
  for (const v1::Proposal& proposal : step.proposals()) {
    Slot* slot = Find(proposal.position());
    if (slot == nullptr || slot->state == Slot::State::kKept) continue;
    slot->state = Slot::State::kProposed;
    slot->token_id = proposal.token_id();
    slot->confidence = proposal.confidence();
    slot->end = layout_.end_ids.count(proposal.token_id()) > 0;
    slot->text = layout_.ids_only ? absl::StrCat(proposal.token_id(), " ") : proposal.text();
  }
}

void CanvasState::Apply(const v1::Commit& commit) {
  Slot* slot = Find(commit.position());
  if (slot == nullptr) return;
  if (slot->state == Slot::State::kKept) --kept_;
  if (commit.kind() == v1::COMMIT_KIND_REMASKED) {
    Mask(slot);
    return;
  }
  ++kept_;
  slot->state = Slot::State::kKept;
  slot->token_id = commit.token_id();
  slot->confidence = commit.confidence();
  slot->step = steps_;
  slot->end = layout_.end_ids.count(commit.token_id()) > 0;
  slot->text = layout_.ids_only ? absl::StrCat(commit.token_id(), " ") : commit.text();
}

void CanvasState::Mask(Slot* slot) { *slot = {.position = slot->position, .block = slot->block}; }

Slot* CanvasState::Find(int32_t position) {
  const auto slot =
      std::lower_bound(slots_.begin(), slots_.end(), position, [](const Slot& s, int32_t p) { return s.position < p; });
  return slot == slots_.end() || slot->position != position ? nullptr : &*slot;
}

int CanvasState::forward_passes() const { return completed_ ? response_.usage().forward_passes() : steps_; }

}  // namespace unmask
