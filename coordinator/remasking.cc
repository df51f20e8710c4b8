#include "coordinator/remasking.h"

#include <algorithm>
#include <numeric>

#include "base/philox.h"

namespace unmask {
namespace {

using Candidates = absl::Span<const Candidate>;

// All indices, those with the largest key first; the sort is stable, so ties keep ascending positions.
template <typename Key>
std::vector<int> SurestFirst(Candidates candidates, Key key) {
  std::vector<int> order(candidates.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return key(candidates[a]) > key(candidates[b]); });
  return order;
}

// The first `count` of `order` (or all), ascending.
std::vector<int> Take(std::vector<int> order, size_t count) {
  order.resize(std::min(order.size(), count));
  std::sort(order.begin(), order.end());
  return order;
}

float Confidence(const Candidate& candidate) { return candidate.confidence; }

// 32 uniform bits for a position.
uint32_t RandomWord(const RemaskingStep& step, int32_t position) {
  return Noise(step.seed, NoiseStream::kRemasking, step.noise_step, static_cast<uint32_t>(position), 0)[0];
}

// The quota of highest confidences. LLaDA generate.py, remasking="low_confidence"; arXiv 2502.09992, algorithm 5.
std::vector<int> LowConfidence(Candidates candidates, const RemaskingStep& step) {
  return Take(SurestFirst(candidates, Confidence), step.quota);
}

// The quota of largest uniform draws. LLaDA generate.py, remasking="random".
std::vector<int> Random(Candidates candidates, const RemaskingStep& step) {
  return Take(SurestFirst(candidates, [&](const Candidate& c) { return RandomWord(step, c.position); }), step.quota);
}

// Each mask survives the step from t = 1 - i/N to s = t - 1/N with probability s/t = (N - i - 1) / (N - i).
// LLaDA, arXiv 2502.09992, algorithm 4.
std::vector<int> RandomSOverT(Candidates candidates, const RemaskingStep& step) {
  const uint64_t left = std::max(step.steps - step.step, 1);
  std::vector<int> kept;
  for (size_t i = 0; i < candidates.size(); ++i) {
    // word / 2^32 >= (left - 1) / left, in integers.
    if (uint64_t{RandomWord(step, candidates[i].position)} * left >= ((left - 1) << 32)) kept.push_back(i);
  }
  return kept;
}

// The best, and every other with confidence >= threshold. Fast-dLLM, arXiv 2505.22618 (llada/generate.py, threshold).
std::vector<int> ConfidenceThreshold(Candidates candidates, const RemaskingStep& step) {
  const std::vector<int> order = SurestFirst(candidates, Confidence);
  size_t count = 0;
  while (count < order.size() && (count == 0 || candidates[order[count]].confidence >= step.threshold)) ++count;
  return Take(order, count);
}

// With confidences sorted descending, the n-th (n >= 2) needs confidence >= 1 - factor / (n + 1); all before the first
// that falls short are kept, the first one always. When the very last candidate is the first to fall short, it is kept
// too: dInfer's generate_fastdllm.py (get_transfer_index_dynamic) slips so, and this is its rule. Bound: Fast-dLLM,
// theorem 1.
std::vector<int> Factor(Candidates candidates, const RemaskingStep& step) {
  const std::vector<int> order = SurestFirst(candidates, Confidence);
  size_t count = std::min<size_t>(order.size(), 1);
  while (count < order.size() && candidates[order[count]].confidence >= 1 - step.factor / (count + 2)) ++count;
  if (order.size() >= 2 && count == order.size() - 1) count = order.size();
  return Take(order, count);
}

// The quota of lowest entropies. Dream, generation_utils.py, alg="entropy" (its score is the negative entropy).
std::vector<int> Entropy(Candidates candidates, const RemaskingStep& step) {
  return Take(SurestFirst(candidates, [](const Candidate& c) { return -c.entropy; }), step.quota);
}

// The quota of widest margins p(1) - p(2). Dream, generation_utils.py, alg="topk_margin".
std::vector<int> Margin(Candidates candidates, const RemaskingStep& step) {
  return Take(SurestFirst(candidates, [](const Candidate& c) { return c.margin; }), step.quota);
}

// With entropies H sorted ascending, the longest run U with sum(H over U) - max(H over U) <= bound; one always. The
// left side bounds the error of revealing U at once. EB-sampler, arXiv 2505.24857.
std::vector<int> EntropyBound(Candidates candidates, const RemaskingStep& step) {
  const std::vector<int> order = SurestFirst(candidates, [](const Candidate& c) { return -c.entropy; });
  size_t count = 0;
  double kept_sum = 0;  // Of the next longer run this is sum - max: sorted ascending, its last is its largest.
  while (count < order.size() && (count == 0 || kept_sum <= step.entropy_bound)) {
    kept_sum += candidates[order[count]].entropy;
    ++count;
  }
  return Take(order, count);
}

// The quota of leftmost positions: autoregression's order.
std::vector<int> LeftToRight(Candidates candidates, const RemaskingStep& step) {
  std::vector<int> order(candidates.size());
  std::iota(order.begin(), order.end(), 0);
  return Take(std::move(order), step.quota);
}

constexpr RemaskingStrategy kStrategies[] = {
    // id, adaptive, needs_margin, needs_entropy, keep
    {v1::REMASKING_LOW_CONFIDENCE, false, false, false, LowConfidence},
    {v1::REMASKING_RANDOM, false, false, false, Random},
    {v1::REMASKING_RANDOM_S_OVER_T, false, false, false, RandomSOverT},
    {v1::REMASKING_CONFIDENCE_THRESHOLD, true, false, false, ConfidenceThreshold},
    {v1::REMASKING_FACTOR, true, false, false, Factor},
    {v1::REMASKING_ENTROPY, false, false, true, Entropy},
    {v1::REMASKING_MARGIN, false, true, false, Margin},
    {v1::REMASKING_ENTROPY_BOUND, true, false, true, EntropyBound},
    {v1::REMASKING_LEFT_TO_RIGHT, false, false, false, LeftToRight},
};

}  // namespace

const RemaskingStrategy* FindStrategy(v1::Remasking id) {
  for (const RemaskingStrategy& strategy : kStrategies) {
    if (strategy.id == id) return &strategy;
  }
  return nullptr;
}

int TransferCount(int masks, int steps, int step) { return masks / steps + (step < masks % steps ? 1 : 0); }

}  // namespace unmask
