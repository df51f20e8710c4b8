#include "worker/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace unmask {
namespace {

using ::testing::HasSubstr;

KvMemory Of(int64_t limit, int64_t available) { return {limit, available, /*position_bytes=*/100, /*longest=*/1000}; }

TEST(KvPositionsTest, TakesHalfOfWhatIsAvailable) { EXPECT_EQ(*KvPositions(Of(0, 1'000'000)), 5000); }

TEST(KvPositionsTest, TakesMoreThanHalfForFourFullLengths) { EXPECT_EQ(*KvPositions(Of(0, 600'000)), 4000); }

TEST(KvPositionsTest, NeverTakesMoreThanNineTenths) { EXPECT_EQ(*KvPositions(Of(0, 200'000)), 1800); }

TEST(KvPositionsTest, StopsAtSixtyFourFullLengths) { EXPECT_EQ(*KvPositions(Of(0, int64_t{1} << 40)), 64'000); }

TEST(KvPositionsTest, DoesAsItIsTold) {
  EXPECT_EQ(*KvPositions(Of(123'456, 0)), 1234);
  EXPECT_EQ(*KvPositions(Of(int64_t{1} << 60, 0)), INT32_MAX);
}

TEST(KvPositionsTest, RefusesWhatHoldsNotOneSequence) {
  const auto told = KvPositions(Of(99'999, int64_t{1} << 40));
  EXPECT_EQ(told.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(told.status().message()),
      HasSubstr("kv-memory of 99999 bytes: holds 999 positions of 100 bytes, fewer than max_sequence_length 1000"));
  const auto left = KvPositions(Of(0, 1000));
  EXPECT_EQ(left.status().code(), absl::StatusCode::kResourceExhausted) << "another time there may be more";
  EXPECT_THAT(std::string(left.status().message()), HasSubstr("memory left for K/V"));
}

TEST(AvailableMemoryTest, IsSomething) { EXPECT_GT(AvailableMemory(), 1 << 20); }

}  // namespace
}  // namespace unmask
