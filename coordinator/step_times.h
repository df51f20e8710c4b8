// What a replica's steps cost, as measured: how large the next one may be, how long work will take, and when a step
// that has not come back is stuck. Costs are in rows (Sequence::NextCost).
//
// Not thread-safe; holds no clock.
#ifndef UNMASK_COORDINATOR_STEP_TIMES_H_
#define UNMASK_COORDINATOR_STEP_TIMES_H_

#include <array>
#include <chrono>
#include <deque>

namespace unmask {

class StepTimes {
 public:
  using Seconds = std::chrono::duration<double>;

  // warm_up_per_row: the replica's own estimate from its warm-up; 0: it gave none.
  explicit StepTimes(Seconds warm_up_per_row) : warm_up_per_row_(warm_up_per_row) {}

  void Record(double cost, Seconds time);

  // Time of a step of `cost`: a + b cost, a least-squares line through recent steps, the closer to a proportion the
  // less their costs differ; the warm-up's estimate before any.
  Seconds Expected(double cost) const;

  // The largest cost whose step is expected to take no more than `target`.
  double LargestWithin(Seconds target) const;

  // A step of `cost` that takes longer is stuck: 8 times the 99th percentile of its size class (powers of two) and at
  // least 2 s; until 20 steps of the class are measured, 8 times the warm-up's estimate and at least 30 s.
  Seconds Overdue(double cost) const;

  // Cost computed per second of step time, recently; 0 before any step.
  double Throughput() const;

 private:
  static constexpr int kClasses = 32;
  static constexpr size_t kKept = 256;  // Durations of a class.
  static constexpr size_t kEnough = 20;
  static constexpr double kForget = 0.97;  // Weight of the past at each step: about 30 steps count.

  static int ClassOf(double cost);

  const Seconds warm_up_per_row_;
  std::array<std::deque<double>, kClasses> recent_;  // Seconds, by size class, newest last.
  // Sums over steps, each weighed by how recent it is: 1, cost, cost^2, time, cost time.
  double weight_ = 0, cost_ = 0, cost_cost_ = 0, time_ = 0, cost_time_ = 0;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_STEP_TIMES_H_
