#include "kernels/candidate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace unmask {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

}  // namespace

CandidateRecord EmptyCandidate() {
  return {.score = kNone,
          .logit = kNone,
          .token = -1,
          .not_finite = 0,
          .max = kNone,
          .sum = 0,
          .weighted = 0,
          .second = kNone,
          .asked = kNone};
}

CandidateRecord Merge(const CandidateRecord& lower_ids, const CandidateRecord& higher_ids) {
  // Of equal scores the lower ids keep theirs.
  const bool higher_wins = lower_ids.token < 0 || (higher_ids.token >= 0 && higher_ids.score > lower_ids.score);
  const CandidateRecord& best = higher_wins ? higher_ids : lower_ids;
  CandidateRecord merged = best;
  merged.not_finite = lower_ids.not_finite | higher_ids.not_finite;

  // The softmax sums, moved to the common maximum m: each l - m grows by its range's own maximum minus m.
  const bool higher_is_larger = higher_ids.max > lower_ids.max;
  const CandidateRecord& large = higher_is_larger ? higher_ids : lower_ids;
  const CandidateRecord& small = higher_is_larger ? lower_ids : higher_ids;
  merged.max = large.max;
  merged.sum = large.sum;
  merged.weighted = large.weighted;
  merged.second = std::max(large.second, small.max);
  merged.asked = std::max(lower_ids.asked, higher_ids.asked);  // One range at the most has it.
  if (small.max > kNone) {
    const float shift = small.max - large.max;
    const float scale = std::exp(shift);
    merged.sum += scale * small.sum;
    // Below e^-100 nothing is left of it, and an infinite shift times 0 would be NaN.
    if (scale > 0) merged.weighted += scale * (small.weighted + shift * small.sum);
  }
  return merged;
}

CandidateFigures Figures(const CandidateRecord& record) {
  CandidateFigures figures{.token = record.token,
                           .confidence = 0,
                           .margin = 0,
                           .entropy = 0,
                           .log_probability = kNone,
                           .not_finite = record.not_finite != 0};
  if (record.sum > 0) {
    figures.confidence = std::exp(record.logit - record.max) / record.sum;
    figures.margin = (1.0f - std::exp(record.second - record.max)) / record.sum;
    // Rounding may leave a certain token a little below 0.
    figures.entropy = std::max(0.0f, std::log(record.sum) - record.weighted / record.sum);
    figures.log_probability = record.asked - record.max - std::log(record.sum);
  }
  return figures;
}

}  // namespace unmask
