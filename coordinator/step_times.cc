#include "coordinator/step_times.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace unmask {
namespace {

constexpr double kDoubt = 0.01;  // A relative spread of the costs, squared.

}  // namespace

int StepTimes::ClassOf(double cost) {
  return std::clamp(static_cast<int>(std::log2(std::max(cost, 1.0))), 0, kClasses - 1);
}

void StepTimes::Record(double cost, Seconds time) {
  std::deque<double>& recent = recent_[ClassOf(cost)];
  recent.push_back(time.count());
  if (recent.size() > kKept) recent.pop_front();
  for (double* sum : {&weight_, &cost_, &cost_cost_, &time_, &cost_time_}) *sum *= kForget;
  weight_ += 1;
  cost_ += cost;
  cost_cost_ += cost * cost;
  time_ += time.count();
  cost_time_ += cost * time.count();
}

StepTimes::Seconds StepTimes::Expected(double cost) const {
  if (weight_ == 0) return warm_up_per_row_ * cost;
  const double variance = weight_ * cost_cost_ - cost_ * cost_;
  const double proportional = time_ / cost_;
  // Steps of like sizes tell little of the slope and much of what else is going on: so much is believed of a proportion
  // that at a spread of a tenth both count alike.
  const double doubt = kDoubt * cost_ * cost_;
  const double covariance = weight_ * cost_time_ - cost_ * time_;
  const double slope = std::clamp((covariance + doubt * proportional) / (variance + doubt), 0.0, proportional);
  const double fixed = (time_ - slope * cost_) / weight_;
  return Seconds(fixed + slope * cost);
}

double StepTimes::LargestWithin(Seconds target) const {
  // The line has at most two numbers: take it apart again.
  const double fixed = Expected(0).count();
  const double slope = Expected(1).count() - fixed;
  if (slope <= 0) return std::numeric_limits<double>::infinity();
  return (target.count() - fixed) / slope;
}

StepTimes::Seconds StepTimes::Overdue(double cost) const {
  const std::deque<double>& recent = recent_[ClassOf(cost)];
  if (recent.size() < kEnough) return std::max(8 * cost * warm_up_per_row_, Seconds(30));
  std::vector<double> sorted(recent.begin(), recent.end());
  const size_t rank = std::min(sorted.size() - 1, sorted.size() * 99 / 100);
  std::nth_element(sorted.begin(), sorted.begin() + rank, sorted.end());
  return std::max(8 * Seconds(sorted[rank]), Seconds(2));
}

double StepTimes::Throughput() const { return time_ > 0 ? cost_ / time_ : 0; }

}  // namespace unmask
