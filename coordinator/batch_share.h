// How much of a replica's time batch work may take from interactive work: interactive requests stay within twice the
// time that they would take alone, and batch work goes on. Pure: no clock, no lock.
#ifndef UNMASK_COORDINATOR_BATCH_SHARE_H_
#define UNMASK_COORDINATOR_BATCH_SHARE_H_

#include <algorithm>
#include <limits>

namespace unmask {

// Steps that hold interactive windows earn credit, of which the batch windows beside them are paid: a window waits
// until the credit covers what it adds, however large it is.
class BatchShare {
 public:
  // An interactive sequence begins that would take `alone` seconds on an idle replica.
  void Meet(double now, double alone) {
    met_ = now;
    alone_ = alone;
  }

  // Seconds that a step of batch windows alone may take: an interactive request that comes has to wait for its end.
  double LongestStep(double now) const {
    return now - met_ > kMemory ? std::numeric_limits<double>::infinity() : alone_ * kWait;
  }

  // A step takes `interactive` seconds without batch windows. pressed: somebody would be late if steps took half as
  // long again.
  void Earn(double interactive, bool pressed) { credit_ += interactive * (pressed ? kPressed : kShare); }
  bool Covers(double added) const { return credit_ >= added; }
  void Pay(double added) { credit_ -= added; }
  // What is left is no more than what the next window needs.
  void KeepAtMost(double added) { credit_ = std::min(credit_, added); }

  // By which a step may be longer for batch windows, on average, in parts of itself.
  static constexpr double kShare = 0.5;

 private:
  static constexpr double kPressed = 0.05;
  static constexpr double kWait = 0.25;  // With kShare: 1.75 times the time alone, at the most.
  static constexpr double kMemory = 60;  // Seconds after which nobody is expected any more.

  double credit_ = 0;
  double met_ = -std::numeric_limits<double>::infinity();
  double alone_ = 0;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_SHARE_H_
