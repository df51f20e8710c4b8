// The functions of the C library that tell the wall clock, and the system call by which Abseil sleeps by it. See
// shifted_clock.h.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "tests/support/shifted_clock.h"

namespace unmask::testing {
namespace {

constexpr int64_t kSecond = 1'000'000'000;     // Nanoseconds.
constexpr int64_t kLongestSleep = 10'000'000;  // A jump is noticed so late.

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }
timespec Timespec(int64_t nanoseconds) { return {.tv_sec = nanoseconds / kSecond, .tv_nsec = nanoseconds % kSecond}; }

// The C library's own function. No static local: what guards its first use would call back here.
template <typename Function>
class Next {
 public:
  constexpr explicit Next(const char* name) : name_(name) {}
  Function* operator*() {
    if (found_ == nullptr) found_ = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name_));
    return found_;
  }

 private:
  const char* const name_;
  std::atomic<Function*> found_ = nullptr;
};

constinit Next<long(long, ...)> next_syscall("syscall");
constinit Next<int(clockid_t, timespec*)> next_clock_gettime("clock_gettime");

int64_t WallNow() {
  timespec now{};
  (*next_clock_gettime)(CLOCK_REALTIME, &now);
  return Nanoseconds(now) + WallClockShift();
}

// FUTEX_WAIT_BITSET until an instant of the wall clock, wherever that goes meanwhile.
long SleepByWallClock(long futex, long operation, long value, const timespec& until, long bits) {
  while (true) {
    const int64_t left = Nanoseconds(until) - WallNow();
    if (left <= 0) {
      errno = ETIMEDOUT;
      return -1;
    }
    timespec mono{};
    clock_gettime(CLOCK_MONOTONIC, &mono);
    const timespec slice = Timespec(Nanoseconds(mono) + std::min(left, kLongestSleep));
    const long slept =
        (*next_syscall)(SYS_futex, futex, operation & ~FUTEX_CLOCK_REALTIME, value, &slice, nullptr, bits);
    if (slept == 0 || errno != ETIMEDOUT) return slept;
  }
}

}  // namespace

std::atomic<int64_t>& WallClockShift() {
  static constinit std::atomic<int64_t> own = 0;
  static constinit std::atomic<std::atomic<int64_t>*> shift = nullptr;
  if (shift != nullptr) return *shift;
  const char* path = std::getenv("UNMASK_TEST_CLOCK");
  const int file = path == nullptr ? -1 : open(path, O_RDWR | O_CLOEXEC);
  void* shared = file < 0 ? MAP_FAILED : mmap(nullptr, sizeof(own), PROT_READ, MAP_SHARED, file, 0);
  if (file >= 0) close(file);
  shift = shared == MAP_FAILED ? &own : static_cast<std::atomic<int64_t>*>(shared);
  return *shift;
}

}  // namespace unmask::testing

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const int failed = (*unmask::testing::next_clock_gettime)(clock, time);
  if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    *time = unmask::testing::Timespec(unmask::testing::Nanoseconds(*time) + unmask::testing::WallClockShift());
  }
  return failed;
}

int gettimeofday(timeval* time, void*) noexcept {
  const timespec now = unmask::testing::Timespec(unmask::testing::WallNow());
  *time = {.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
  return 0;
}

time_t time(time_t* out) noexcept {
  const time_t now = unmask::testing::WallNow() / unmask::testing::kSecond;
  if (out != nullptr) *out = now;
  return now;
}

long syscall(long number, ...) noexcept {
  va_list list;
  va_start(list, number);
  long a[6];
  for (long& argument : a) argument = va_arg(list, long);
  va_end(list);
  const bool by_wall_clock =
      number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && (a[1] & FUTEX_CLOCK_REALTIME) != 0;
  if (by_wall_clock && a[3] != 0) {
    return unmask::testing::SleepByWallClock(a[0], a[1], a[2], *reinterpret_cast<const timespec*>(a[3]), a[5]);
  }
  return (*unmask::testing::next_syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

}  // extern "C"
