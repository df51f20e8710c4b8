// What one rank's vocabulary rows say about one sampled position: a few floats instead of a row of logits.
#ifndef UNMASK_KERNELS_CANDIDATE_H_
#define UNMASK_KERNELS_CANDIDATE_H_

#include <cstdint>
#include <limits>

namespace unmask {

// Merge() folds records of disjoint ranges of ids, lowest ids first (in rank order), and is exact in what decides the
// token (score, then lowest id). Plain data: ranks exchange its bytes.
struct CandidateRecord {
  float score;    // Best of logit / temperature + Gumbel noise (the plain logit at temperature 0); -inf: none allowed.
  float logit;    // Of the best, as the confidence softmax sees it: -inf for an unconfident id.
  int32_t token;  // The best; ties take the lowest id. -1: none allowed.
  int32_t not_finite;  // A logit (before suppression) was NaN or infinite.
  // The confidence softmax:
  float max;       // Largest logit m; -inf: no id takes part.
  float sum;       // Sum of e^(l-m).
  float weighted;  // Sum of (l-m) e^(l-m).
  float second;    // Second largest logit (equal to max on a tie); -inf: none.
  float asked;     // Logit of SampleSpec.asked; -inf: it is not among these ids, takes no part, or none was asked for.
};

// The record of no ids: Merge with it changes nothing.
constexpr CandidateRecord EmptyCandidate() {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
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
CandidateRecord Merge(const CandidateRecord& lower_ids, const CandidateRecord& higher_ids);

// Merge, given how to take an exponential: a device has one of its own.
template <typename Exp>
constexpr CandidateRecord MergeWith(const Exp& exp, const CandidateRecord& lower_ids,
                                    const CandidateRecord& higher_ids) {
  // Of equal scores the lower ids keep theirs.
  const bool higher_wins = lower_ids.token < 0 || (higher_ids.token >= 0 && higher_ids.score > lower_ids.score);
  CandidateRecord merged = higher_wins ? higher_ids : lower_ids;
  merged.not_finite = lower_ids.not_finite | higher_ids.not_finite;

  // The softmax sums, moved to the common maximum m: each l - m grows by its range's own maximum minus m.
  const bool higher_is_larger = higher_ids.max > lower_ids.max;
  const CandidateRecord& large = higher_is_larger ? higher_ids : lower_ids;
  const CandidateRecord& small = higher_is_larger ? lower_ids : higher_ids;
  merged.max = large.max;
  merged.sum = large.sum;
  merged.weighted = large.weighted;
  merged.second = large.second < small.max ? small.max : large.second;
  merged.asked = lower_ids.asked < higher_ids.asked ? higher_ids.asked : lower_ids.asked;  // One range at most has it.
  if (small.max > -std::numeric_limits<float>::infinity()) {
    const float shift = small.max - large.max;
    const float scale = exp(shift);
    merged.sum += scale * small.sum;
    // Below e^-100 nothing is left of it, and an infinite shift times 0 would be NaN.
    if (scale > 0) merged.weighted += scale * (small.weighted + shift * small.sum);
  }
  return merged;
}

// What a record says once all ranges are merged. All 0 where no id takes part in the softmax, but for -inf.
struct CandidateFigures {
  int32_t token;
  float confidence;       // e^(logit - max) / sum
  float margin;           // Largest minus second largest probability.
  float entropy;          // ln(sum) - weighted / sum, nats
  float log_probability;  // Of the id that was asked for: asked - max - ln(sum); -inf where there is none.
  bool not_finite;
};
CandidateFigures Figures(const CandidateRecord& record);

}  // namespace unmask

#endif  // UNMASK_KERNELS_CANDIDATE_H_
