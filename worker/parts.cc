#include "worker/parts.h"

#include <algorithm>
#include <numeric>

namespace unmask {
namespace {

// Of a part, about: enough for reading the weights from a cache to pay, and few enough for many parts.
constexpr int64_t kPartRows = 64;

}  // namespace

std::vector<int> PartSizes(absl::Span<const int64_t> rows, int at_once) {
  const int64_t all = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  const int64_t rounds = (all + at_once * kPartRows - 1) / (at_once * kPartRows);
  const int64_t count = rounds * at_once;  // Equal parts then end together.
  std::vector<int> sizes;
  int64_t taken = 0, part = 0, largest = 0;
  for (const int64_t window : rows) {
    if (sizes.empty() || taken * count >= all * static_cast<int64_t>(sizes.size())) {
      sizes.push_back(0);
      part = 0;
    }
    ++sizes.back();
    taken += window;
    part += window;
    largest = std::max(largest, part);
  }
  // Threads that share operations of few rows lose a third of their time: a part may hold them up for as long.
  const bool pays = static_cast<int>(sizes.size()) >= at_once && 2 * at_once * largest <= 3 * all;
  return at_once > 1 && pays ? sizes : std::vector<int>{static_cast<int>(rows.size())};
}

}  // namespace unmask
