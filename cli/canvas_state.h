// What a stream of a generation has told so far. Pure: it consumes events and is drawn by others. Not thread-safe.
#ifndef UNMASK_CLI_CANVAS_STATE_H_
#define UNMASK_CLI_CANVAS_STATE_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "unmask/v1/inference.pb.h"

namespace unmask {

// A stretch of what is drawn: text that was given, or `masks` positions to fill in.
struct CanvasPart {
  std::string given = "";
  int masks = 0;
};

// What the client knows beside the stream.
struct CanvasLayout {
  std::string prompt = "";  // Shown before the canvas; may be empty.
  // Infill: the text with its gaps. Empty: everything after the prompt is to be filled in.
  std::vector<CanvasPart> parts = {};
  int32_t mask_id = -1;            // Finds the gaps in the canvas.
  std::set<int32_t> end_ids = {};  // EOS and EOT: shown as a mark, not as text.
  bool ids_only = false;           // The checkpoint has no tokenizer: a token's text is its id.
};

// A position to be filled in.
struct Slot {
  enum class State { kMask, kProposed, kKept };
  int32_t position = 0;  // In the canvas.
  int block = 0;
  State state = State::kMask;
  std::string text = "";  // Of the token alone; U+FFFD where it holds only a part of a character.
  int32_t token_id = -1;
  float confidence = 0;
  int step = 0;      // That revealed it, from 1, over all blocks.
  bool end = false;  // The token ends the text.
};

class CanvasState {
 public:
  explicit CanvasState(CanvasLayout layout) : layout_(std::move(layout)) {}

  // Events that contradict the ones before (a position outside the canvas) are passed over: a view must not fail.
  void Apply(const v1::GenerateStreamResponse& event);

  const CanvasLayout& layout() const { return layout_; }
  const std::vector<Slot>& slots() const { return slots_; }  // In the canvas' order.
  bool accepted() const { return accepted_; }
  bool completed() const { return completed_; }

  int block() const { return block_; }  // The active one.
  int blocks() const { return blocks_; }
  int steps_planned() const { return steps_planned_; }
  int steps() const { return steps_; }  // Denoising steps so far.
  int kept() const { return kept_; }    // Slots revealed so far.
  int forward_passes() const;           // Until the end: one a step, which is the least.
  const v1::GenerationOptions& options() const { return options_; }
  const v1::GenerateResponse& response() const { return response_; }  // Once completed.

  // Text of the blocks that are done, and how many slots it covers. Characters are whole in it. Not of an infill, whose
  // text is not that of its slots alone.
  const std::string& settled_text() const { return settled_text_; }
  int settled_slots() const { return settled_slots_; }

 private:
  void Apply(const v1::Accepted& accepted);
  void Apply(const v1::StepEvent& step);
  void Apply(const v1::BlockEvent& block);
  void Apply(const v1::Commit& commit);
  Slot* Find(int32_t position);
  static void Mask(Slot* slot);

  CanvasLayout layout_;
  std::vector<Slot> slots_;
  v1::GenerationOptions options_;
  v1::GenerateResponse response_;
  std::string settled_text_;
  int settled_slots_ = 0;
  bool accepted_ = false;
  bool completed_ = false;
  int block_ = 0;
  int blocks_ = 0;
  int steps_planned_ = 0;
  int steps_ = 0;
  int kept_ = 0;
};

}  // namespace unmask

#endif  // UNMASK_CLI_CANVAS_STATE_H_
