// A wall clock that jumps: linked into a test or preloaded into the processes of a service
// (libunmask_shifted_clock.so), it shifts what they read of CLOCK_REALTIME, and moves those who sleep until an instant
// of it, as a real jump does. The monotonic clock stays as it is.
#ifndef UNMASK_TESTS_SUPPORT_SHIFTED_CLOCK_H_
#define UNMASK_TESTS_SUPPORT_SHIFTED_CLOCK_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

namespace unmask::testing {

// Nanoseconds by which this process' own wall clock is off, where the library is linked into it.
std::atomic<int64_t>& WallClockShift();

// Gives the processes that are started while it lives a wall clock in common. The calling process keeps its own.
class ShiftedClock {
 public:
  ShiftedClock();
  ~ShiftedClock();
  ShiftedClock(const ShiftedClock&) = delete;
  ShiftedClock& operator=(const ShiftedClock&) = delete;

  // From one instant to the next, it is off by so much.
  void Set(std::chrono::seconds shift);

 private:
  std::string path_;
  std::atomic<int64_t>* shift_ = nullptr;
};

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_SUPPORT_SHIFTED_CLOCK_H_
