#include "tests/support/shifted_clock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

namespace unmask::testing {

ShiftedClock::ShiftedClock() : path_(::testing::TempDir() + "/unmask-clock-XXXXXX") {
  const int file = mkstemp(path_.data());
  if (file < 0 || ftruncate(file, sizeof(*shift_)) != 0) ADD_FAILURE() << path_;
  shift_ =
      static_cast<std::atomic<int64_t>*>(mmap(nullptr, sizeof(*shift_), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  close(file);
  setenv("UNMASK_TEST_CLOCK", path_.c_str(), 1);
  setenv("LD_PRELOAD", UNMASK_SHIFTED_CLOCK_LIBRARY, 1);
  // AddressSanitizer's runtime wants to come first, and need not.
  const char* options = getenv("ASAN_OPTIONS");
  setenv("ASAN_OPTIONS", ((options == nullptr ? "" : std::string(options) + ":") + "verify_asan_link_order=0").c_str(),
         1);
}

ShiftedClock::~ShiftedClock() {
  unsetenv("LD_PRELOAD");
  unsetenv("UNMASK_TEST_CLOCK");
  munmap(shift_, sizeof(*shift_));
  unlink(path_.c_str());
}

void ShiftedClock::Set(std::chrono::seconds shift) { *shift_ = std::chrono::nanoseconds(shift).count(); }

}  // namespace unmask::testing
