// How windows are dealt out to threads.
#include "worker/parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

namespace unmask {
namespace {

using ::testing::ElementsAre;

std::vector<int64_t> Equal(int count, int64_t rows) { return std::vector<int64_t>(count, rows); }

TEST(PartSizesTest, WhatOneThreadComputesIsOnePart) {
  EXPECT_THAT(PartSizes({}, 1), ElementsAre(0));
  EXPECT_THAT(PartSizes({}, 2), ElementsAre(0));
  EXPECT_THAT(PartSizes(Equal(8, 32), 1), ElementsAre(8));
}

TEST(PartSizesTest, FewerWindowsThanThreadsAreShared) {
  EXPECT_THAT(PartSizes(Equal(1, 512), 2), ElementsAre(1));
  EXPECT_THAT(PartSizes(Equal(3, 32), 4), ElementsAre(3));
}

TEST(PartSizesTest, AsManyWindowsAsThreadsAreOneEach) {
  EXPECT_THAT(PartSizes(Equal(2, 32), 2), ElementsAre(1, 1));
  EXPECT_THAT(PartSizes(Equal(4, 128), 4), ElementsAre(1, 1, 1, 1));
}

TEST(PartSizesTest, MoreAreTakenAFewAtATime) {
  EXPECT_THAT(PartSizes(Equal(8, 32), 2), ElementsAre(2, 2, 2, 2));
  EXPECT_THAT(PartSizes(Equal(7, 30), 2), ElementsAre(2, 2, 2, 1));
}

TEST(PartSizesTest, AllThreadsHaveAsManyParts) {
  EXPECT_THAT(PartSizes(Equal(18, 32), 2), ElementsAre(2, 2, 2, 2, 1, 2, 2, 2, 2, 1));
  EXPECT_THAT(PartSizes(Equal(9, 32), 4).size(), 8);
}

TEST(PartSizesTest, ALongWindowThatTheOthersWouldWaitForIsShared) {
  EXPECT_THAT(PartSizes({400, 32, 32}, 2), ElementsAre(3));
  EXPECT_THAT(PartSizes({400, 200, 100, 100}, 2), ElementsAre(1, 1, 1, 1));
}

TEST(PartSizesTest, NoWindowIsLostAndNoPartKeepsTheOthersWaitingForLong) {
  std::mt19937 random(1);
  int cut = 0;
  for (int i = 0; i < 2000; ++i) {
    std::vector<int64_t> rows(random() % 40);
    for (int64_t& r : rows) r = 1 + random() % 200;
    const int at_once = 1 + static_cast<int>(random() % 8);
    const std::vector<int> sizes = PartSizes(rows, at_once);
    ASSERT_EQ(std::accumulate(sizes.begin(), sizes.end(), 0), static_cast<int>(rows.size()));
    if (sizes.size() == 1) continue;
    ++cut;
    ASSERT_GE(static_cast<int>(sizes.size()), at_once);
    const int64_t all = std::accumulate(rows.begin(), rows.end(), int64_t{0});
    auto window = rows.begin();
    for (const int size : sizes) {
      ASSERT_LE(2 * at_once * std::accumulate(window, window + size, int64_t{0}), 3 * all);
      window += size;
    }
  }
  EXPECT_GT(cut, 500);
}

}  // namespace
}  // namespace unmask
