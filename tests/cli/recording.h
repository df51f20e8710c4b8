// Streams as a service would send them, made on the spot from a text and an order of reveal.
#ifndef UNMASK_TESTS_CLI_RECORDING_H_
#define UNMASK_TESTS_CLI_RECORDING_H_

#include <string>
#include <vector>

#include "cli/canvas_state.h"
#include "unmask/v1/inference.pb.h"
#include "unmask/v1/model.pb.h"

namespace unmask {

inline constexpr int kMaskId = 1000;
inline constexpr int kEosId = 1001;
inline constexpr int kEotId = 1002;

struct Recording {
  std::vector<std::string> tokens;        // Of the generated part; "<eos>" is the end of the sequence.
  std::string text;                       // Of the answer; empty: the tokens before the first "<eos>", joined.
  std::vector<std::vector<int>> reveals;  // For each step the indices of the tokens it commits.
  int prompt_length = 3;
  int block_length = 0;  // 0: one block.
  bool proposals = true;

  std::vector<v1::GenerateStreamResponse> Events() const;
};

// A recording whose tokens come in a fixed irregular order, `per_step` a step, block by block.
Recording Denoise(const std::vector<std::string>& tokens, int block_length, int per_step);

// The layout that goes with a recording.
CanvasLayout LayoutWithPrompt(const std::string& prompt);

// A model with a tokenizer and a chat template.
v1::Model SomeModel();

// The state after all events, or after the first `count`.
CanvasState Play(const CanvasLayout& layout, const std::vector<v1::GenerateStreamResponse>& events, int count = -1);

}  // namespace unmask

#endif  // UNMASK_TESTS_CLI_RECORDING_H_
