// Abseil's waits, and with them gRPC's timers, do not know the wall clock; base/steady_waits.cc sees to it.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "tests/support/shifted_clock.h"

namespace unmask {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr int64_t kHour = 3'600'000'000'000;  // Nanoseconds.

struct SteadyWaitsTest : ::testing::Test {
  void TearDown() override { testing::WallClockShift() = 0; }

  // How long `sleep` takes when the wall clock jumps after 100 ms.
  static Clock::duration Sleep(int64_t jump, const std::function<void()>& sleep) {
    const auto begin = Clock::now();
    Clock::time_point end;
    std::thread sleeper([&] {
      sleep();
      end = Clock::now();
    });
    std::this_thread::sleep_for(milliseconds(100));
    testing::WallClockShift() += jump;
    sleeper.join();
    return end - begin;
  }
};

void SleepOnCondVar() {
  absl::Mutex mutex;
  absl::CondVar never;
  absl::MutexLock lock(&mutex);
  EXPECT_TRUE(never.WaitWithTimeout(&mutex, absl::Milliseconds(400)));
}

TEST_F(SteadyWaitsTest, AClockThatIsSetBackProlongsNoWait) {
  const auto took = Sleep(-kHour, SleepOnCondVar);
  EXPECT_GE(took, milliseconds(400));
  EXPECT_LT(took, milliseconds(3000));
}

TEST_F(SteadyWaitsTest, AClockThatIsSetForwardEndsNoWait) {
  EXPECT_GE(Sleep(kHour, SleepOnCondVar), milliseconds(400));
}

TEST_F(SteadyWaitsTest, WhoIsSignalledWakesBeforeItsTime) {
  absl::Mutex mutex;
  bool said = false;
  std::thread speaker([&] {
    absl::SleepFor(absl::Milliseconds(50));
    absl::MutexLock lock(&mutex);
    said = true;
  });
  absl::MutexLock lock(&mutex);
  EXPECT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&said), absl::Hours(1)));
  speaker.join();
}

// What Abseil does by itself. The clock of these tests can tell the difference.
TEST_F(SteadyWaitsTest, AWaitByTheWallClockEndsWhenThatSaysSo) {
  const auto took = Sleep(kHour, [] {
    int32_t word = 0;
    timespec until{};
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME, 0, &until, nullptr,
            FUTEX_BITSET_MATCH_ANY);
  });
  EXPECT_LT(took, std::chrono::seconds(30));
}

}  // namespace
}  // namespace unmask
