#include "worker/parts.h"

#include <algorithm>
#include <numeric>

namespace unmask {
namespace {

// Rows after which a part takes no further window. Enough for reading the weights from a cache to pay; few enough for
// who ends first to find parts left.
constexpr int64_t kPartRows = 64;

}  // namespace

std::vector<int> PartSizes(absl::Span<const int64_t> rows, int at_once) {
  const int64_t all = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  const int64_t wanted = std::min(all / at_once, kPartRows);
  std::vector<int> sizes;
  int64_t taken = 0, largest = 0;
  for (const int64_t window : rows) {
    if (sizes.empty() || taken >= wanted) {
      sizes.push_back(0);
      taken = 0;
    }
    ++sizes.back();
    taken += window;
    largest = std::max(largest, taken);
  }
  // Threads that share operations of few rows lose a third of their time: a part may hold them up for as long.
  const bool pays = static_cast<int>(sizes.size()) >= at_once && 2 * at_once * largest <= 3 * all;
  return at_once > 1 && pays ? sizes : std::vector<int>{static_cast<int>(rows.size())};
}

}  // namespace unmask
