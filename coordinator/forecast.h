// When sequences that share a replica's steps will end. Pure: no clock, no lock.
#ifndef UNMASK_COORDINATOR_FORECAST_H_
#define UNMASK_COORDINATOR_FORECAST_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "coordinator/step_times.h"

namespace unmask {

// All that a plan knows of the world.
struct StepMeasure {
  double max_cost = std::numeric_limits<double>::infinity();  // Of a step, but for a lone window.
  double now = 0;                                             // Seconds, of any epoch.
  const StepTimes* times = nullptr;                           // Null: a step takes as many seconds as it costs.

  // Seconds of a step of `cost`.
  double Time(double cost) const { return times == nullptr ? cost : times->Expected(cost).count(); }
  // The largest cost of a step that takes no more than `seconds`.
  double Within(double seconds) const {
    return times == nullptr ? seconds : times->LargestWithin(StepTimes::Seconds(seconds));
  }
};

// What a sequence still asks for.
struct Demand {
  int64_t windows = 0;
  double cost = 0;  // Of one, on average.
};

// Seconds that it takes to compute one window of each of `count` sequences whose windows cost `cost` together.
double RoundTime(double cost, int64_t count, const StepMeasure& measure);

// Seconds until each of them ends when all take part in every round until they do, and nobody joins.
std::vector<double> ExpectedEnds(const std::vector<Demand>& demands, const StepMeasure& measure);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_FORECAST_H_
