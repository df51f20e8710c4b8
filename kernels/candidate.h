// What one rank's vocabulary rows say about one sampled position: a few floats instead of a row of logits.
#ifndef UNMASK_KERNELS_CANDIDATE_H_
#define UNMASK_KERNELS_CANDIDATE_H_

#include <cstdint>

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
CandidateRecord EmptyCandidate();
CandidateRecord Merge(const CandidateRecord& lower_ids, const CandidateRecord& higher_ids);

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
