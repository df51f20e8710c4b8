// Which of a step's candidates to keep: the remasking strategies. Pure functions; the others stay masked.
//
// Ties everywhere: the surest candidate first, then the lowest position.
#ifndef UNMASK_COORDINATOR_REMASKING_H_
#define UNMASK_COORDINATOR_REMASKING_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "unmask/v1/options.pb.h"

namespace unmask {

// What the model proposes at one masked position.
struct Candidate {
  int32_t position = 0;
  int32_t token = 0;
  float confidence = 0;  // Softmax probability of the token.
  float margin = 0;      // Largest minus second largest probability.
  float entropy = 0;     // Of the softmax, nats.
};

// One decision. Every strategy reads the part that it needs.
struct RemaskingStep {
  int quota = 0;  // Fixed-count strategies: how many to keep.
  int step = 0;   // Within the block, from 0 ...
  int steps = 1;  // ... of so many.
  float threshold = 0;
  float factor = 0;
  float entropy_bound = 0;
  uint64_t seed = 0;
  uint32_t noise_step = 0;  // Denoising step since the sequence began.
};

struct RemaskingStrategy {
  v1::Remasking id;
  // Adaptive strategies decide by the candidates how many to keep; their last allowed step keeps all.
  bool adaptive;
  bool needs_margin;
  bool needs_entropy;
  // Indices into the candidates (which are ascending in position) that are kept, ascending.
  std::vector<int> (*keep)(absl::Span<const Candidate> candidates, const RemaskingStep& step);
};

// Every value of the enum but UNSPECIFIED; nullptr for that and for numbers that are none of its values.
const RemaskingStrategy* FindStrategy(v1::Remasking id);

// How many of a block's `masks` its step `step` of `steps` reveals: masks / steps, and one more in each of the first
// masks % steps steps. LLaDA's get_num_transfer_tokens.
int TransferCount(int masks, int steps, int step);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_REMASKING_H_
