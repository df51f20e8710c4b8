// The estimate of a log-likelihood from its samples.
#ifndef UNMASK_COORDINATOR_SCORE_ESTIMATE_H_
#define UNMASK_COORDINATOR_SCORE_ESTIMATE_H_

#include <optional>

#include "absl/types/span.h"

namespace unmask {

struct ScoreEstimate {
  double log_likelihood = 0;  // The samples' mean.
  // Batches of `strata` samples are independent of each other, the samples of one are not: so by the spread of the
  // batches' means, and of the samples where there is one batch, which is an upper bound. Absent for a lone sample.
  std::optional<double> standard_error;
};

// samples: at least one, a multiple of strata.
ScoreEstimate EstimateScore(absl::Span<const double> samples, int strata);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_SCORE_ESTIMATE_H_
