// How many of an answer's tokens each row of a likelihood sample masks: stratified over the batch, so that few samples
// cover all noise levels.
#ifndef UNMASK_COORDINATOR_MASK_COUNTS_H_
#define UNMASK_COORDINATOR_MASK_COUNTS_H_

#include <vector>

namespace unmask {

// The reference's counts: round_half_even(k + r * answer_length / rows) for row r, wrapped into [1, answer_length].
// LLaDA's get_log_likelihood.py (forward_process), k uniform on [1, answer_length]. Where r * answer_length / rows is a
// half, rounding to even makes odd counts rarer: the estimate is biased, and kept so for parity. All arguments >= 1.
std::vector<int> ReferenceMaskCounts(int answer_length, int rows, int k);

// k + floor(r * answer_length / rows), wrapped likewise: every count is equally likely in every row.
std::vector<int> UnbiasedMaskCounts(int answer_length, int rows, int k);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_MASK_COUNTS_H_
