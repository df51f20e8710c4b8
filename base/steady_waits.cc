// What Debian's Abseil lacks: waits with a time limit that the wall clock does not touch. Abseil 20220623 sleeps until
// an absolute wall time, and Debian's gRPC keeps its timers by it: whoever sets the clock back by an hour makes
// deadlines, keep-alives and reconnections an hour late. Later releases wait by the monotonic clock.
//
// Abseil lets a program replace the semaphore on which its threads sleep. This one is in every program of ours (see
// base/CMakeLists.txt), and is found before the library's, by the library too.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>

#include "absl/synchronization/internal/create_thread_identity.h"
#include "absl/synchronization/internal/per_thread_sem.h"

// By this name the linker finds this file, which nobody else needs.
extern "C" void UnmaskSteadyWaits() {}

namespace {

using absl::base_internal::ThreadIdentity;
using absl::synchronization_internal::KernelTimeout;

constexpr int64_t kSecond = 1'000'000'000;  // Nanoseconds.

// The thread's semaphore, in the room that Abseil keeps for it and has set to 0.
std::atomic<int32_t>* Count(ThreadIdentity* identity) {
  static_assert(sizeof(std::atomic<int32_t>) == sizeof(int32_t) && std::atomic<int32_t>::is_always_lock_free);
  return reinterpret_cast<std::atomic<int32_t>*>(identity->waiter_state.data);
}

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }

int64_t Now(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return Nanoseconds(now);
}

// The instant of the monotonic clock that is as far from now as this wall time.
timespec OnMonotonicClock(const timespec& wall) {
  const int64_t left = Nanoseconds(wall) - Now(CLOCK_REALTIME);
  const int64_t instant = Now(CLOCK_MONOTONIC) + std::max<int64_t>(left, 0);
  return {.tv_sec = instant / kSecond, .tv_nsec = instant % kSecond};
}

}  // namespace

extern "C" void ABSL_INTERNAL_C_SYMBOL(AbslInternalPerThreadSemPost)(ThreadIdentity* identity) {
  std::atomic<int32_t>* count = Count(identity);
  if (count->fetch_add(1, std::memory_order_release) > 0) return;  // Nobody sleeps on more than nothing.
  syscall(SYS_futex, count, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr);
}

// False when the time is up.
extern "C" bool ABSL_INTERNAL_C_SYMBOL(AbslInternalPerThreadSemWait)(KernelTimeout timeout) {
  std::atomic<int32_t>* count = Count(absl::synchronization_internal::GetOrCreateCurrentThreadIdentity());
  timespec until{};
  if (timeout.has_timeout()) until = OnMonotonicClock(timeout.MakeAbsTimespec());
  while (true) {
    int32_t seen = count->load(std::memory_order_relaxed);
    while (seen > 0) {
      if (count->compare_exchange_weak(seen, seen - 1, std::memory_order_acquire)) return true;
    }
    // FUTEX_WAIT_BITSET takes an absolute time, of the monotonic clock unless FUTEX_CLOCK_REALTIME is set.
    const auto slept = syscall(SYS_futex, count, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0,
                               timeout.has_timeout() ? &until : nullptr, nullptr, FUTEX_BITSET_MATCH_ANY);
    if (slept != 0 && errno == ETIMEDOUT) return false;
  }
}
