#include "kernels/candidate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace unmask {

CandidateRecord Merge(const CandidateRecord& lower_ids, const CandidateRecord& higher_ids) {
  return MergeWith([](float x) { return std::exp(x); }, lower_ids, higher_ids);
}

CandidateFigures Figures(const CandidateRecord& record) {
  CandidateFigures figures{.token = record.token,
                           .confidence = 0,
                           .margin = 0,
                           .entropy = 0,
                           .log_probability = -std::numeric_limits<float>::infinity(),
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
