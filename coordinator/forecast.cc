#include "coordinator/forecast.h"

#include <algorithm>
#include <numeric>

namespace unmask {

double RoundTime(double cost, int64_t count, const StepMeasure& measure) {
  if (count == 0) return 0;
  // A window larger than a step may be is a step of its own.
  const double largest = std::max(measure.max_cost, cost / count);
  return cost <= largest ? measure.Time(cost) : cost / largest * measure.Time(largest);
}

std::vector<double> ExpectedEnds(const std::vector<Demand>& demands, const StepMeasure& measure) {
  std::vector<size_t> order(demands.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return demands[a].windows < demands[b].windows; });
  double cost = 0;
  for (const Demand& demand : demands) cost += demand.cost;
  std::vector<double> ends(demands.size());
  double end = 0;
  int64_t rounds = 0;
  int64_t left = order.size();
  for (const size_t i : order) {
    const int64_t more = demands[i].windows - rounds;
    if (more > 0) end += more * RoundTime(cost, left, measure);
    rounds = demands[i].windows;
    ends[i] = end;
    cost -= demands[i].cost;
    --left;
  }
  return ends;
}

}  // namespace unmask
