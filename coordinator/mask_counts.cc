#include "coordinator/mask_counts.h"

#include <cstdint>

namespace unmask {
namespace {

int Wrap(int64_t count, int answer_length) { return static_cast<int>((count - 1) % answer_length) + 1; }

}  // namespace

std::vector<int> ReferenceMaskCounts(int answer_length, int rows, int k) {
  std::vector<int> counts(rows);
  for (int r = 0; r < rows; ++r) {
    // In integers, so that a half is a half: the reference's float32 linspace decides the same wherever it is exact.
    const int64_t product = int64_t{r} * answer_length;
    int64_t count = k + product / rows;
    const int64_t twice_rest = 2 * (product % rows);
    if (twice_rest > rows || (twice_rest == rows && count % 2 != 0)) ++count;
    counts[r] = Wrap(count, answer_length);
  }
  return counts;
}

std::vector<int> UnbiasedMaskCounts(int answer_length, int rows, int k) {
  std::vector<int> counts(rows);
  for (int r = 0; r < rows; ++r) counts[r] = Wrap(k + int64_t{r} * answer_length / rows, answer_length);
  return counts;
}

}  // namespace unmask
