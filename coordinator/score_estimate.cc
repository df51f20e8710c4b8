#include "coordinator/score_estimate.h"

#include <cmath>
#include <numeric>
#include <vector>

namespace unmask {
namespace {

double Mean(absl::Span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / values.size();
}

}  // namespace

ScoreEstimate EstimateScore(absl::Span<const double> samples, int strata) {
  std::vector<double> independent;
  const size_t size = samples.size() > static_cast<size_t>(strata) ? strata : 1;
  for (size_t begin = 0; begin < samples.size(); begin += size)
    independent.push_back(Mean(samples.subspan(begin, size)));
  ScoreEstimate estimate;
  estimate.log_likelihood = Mean(independent);
  const size_t count = independent.size();
  if (count < 2) return estimate;
  double squares = 0;
  for (const double value : independent) squares += std::pow(value - estimate.log_likelihood, 2);
  estimate.standard_error = std::sqrt(squares / (count - 1) / count);
  return estimate;
}

}  // namespace unmask
