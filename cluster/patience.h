// How one rank waits for another: a few spins, then yielding its core (the other may need it), then, after 2 ms,
// sleeping a sixteenth of the time waited so far, up to 1 ms, and after a second a thousandth of it, up to 5 ms. So a
// busy replica loses next to no latency, and an idle rank costs less than a hundredth of a core.
#ifndef UNMASK_CLUSTER_PATIENCE_H_
#define UNMASK_CLUSTER_PATIENCE_H_

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>

namespace unmask {

class Patience {
 public:
  // One wait between two looks.
  void Wait() {
    if (++looks_ < kSpins) return;
    const auto now = std::chrono::steady_clock::now();
    if (looks_ == kSpins) begin_ = now;
    const std::chrono::nanoseconds waited = now - begin_;
    if (waited < kBusy) {
      sched_yield();
    } else {
      std::this_thread::sleep_for(std::max(std::min(waited / 16, kPause), std::min(waited / 1000, kLongestPause)));
    }
  }

 private:
  static constexpr int kSpins = 64;
  static constexpr std::chrono::nanoseconds kBusy = std::chrono::milliseconds(2);
  static constexpr std::chrono::nanoseconds kPause = std::chrono::milliseconds(1);
  static constexpr std::chrono::nanoseconds kLongestPause = std::chrono::milliseconds(5);

  int64_t looks_ = 0;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace unmask

#endif  // UNMASK_CLUSTER_PATIENCE_H_
