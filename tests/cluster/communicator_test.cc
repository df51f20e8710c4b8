// Runs under mpirun: each test is executed by all ranks together. UNMASK_SHARE_MEMORY=0 takes the road between
// machines.
#include "cluster/communicator.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/patience.h"

namespace unmask {
namespace {

Communicator* ranks;

// What rank `rank` adds: numbers of very different size, so that another order of addition gives other bits.
std::vector<float> Addend(int rank, int64_t size) {
  std::mt19937 random(1000 * rank + 7);
  std::vector<float> values(size);
  for (float& value : values) {
    const float mantissa = static_cast<float>(random() % 20001) / 10000 - 1;
    value = std::ldexp(mantissa, static_cast<int>(random() % 24) - 12);
  }
  return values;
}

Tensor View(std::vector<float>& values, int64_t rows, int64_t columns, int64_t stride) {
  return {DType::kF32, rows, columns, stride, values.data()};
}

std::vector<float> InRankOrder(int64_t size, bool reversed = false) {
  std::vector<float> sum = Addend(reversed ? ranks->size() - 1 : 0, size);
  for (int rank = 1; rank < ranks->size(); ++rank) {
    const auto addend = Addend(reversed ? ranks->size() - 1 - rank : rank, size);
    for (int64_t i = 0; i < size; ++i) sum[i] += addend[i];
  }
  return sum;
}

TEST(CommunicatorTest, SumsInRankOrderBitForBit) {
  std::vector<int64_t> sizes = {262143, 262144, 262145, 600000, 5000000};
  for (int64_t size = 1; size <= 5000; size += size < 70 ? 1 : 61) sizes.push_back(size);
  for (const int64_t size : sizes) {
    std::vector<float> values = Addend(ranks->rank(), size);
    ranks->AllReduceSum(View(values, 1, size, size));
    const auto expected = InRankOrder(size);
    EXPECT_EQ(0, std::memcmp(values.data(), expected.data(), size * sizeof(float))) << size << " values";
  }
}

TEST(CommunicatorTest, TheTestWouldNoticeAnotherOrder) {
  if (ranks->size() == 2) GTEST_SKIP() << "two addends commute";
  const auto there = InRankOrder(5000);
  const auto back = InRankOrder(5000, /*reversed=*/true);
  EXPECT_NE(0, std::memcmp(there.data(), back.data(), there.size() * sizeof(float)));
}

TEST(CommunicatorTest, ARowsBitsDoNotDependOnItsNeighbours) {
  constexpr int64_t kColumns = 97;
  for (const int64_t rows : {1, 2, 3, 7, 50}) {
    for (int64_t place = 0; place < rows; place += 3) {
      std::vector<float> values(rows * kColumns, 0.5f);
      const auto row = Addend(ranks->rank(), kColumns);
      std::copy(row.begin(), row.end(), values.begin() + place * kColumns);
      ranks->AllReduceSum(View(values, rows, kColumns, kColumns));
      const auto expected = InRankOrder(kColumns);
      EXPECT_EQ(0, std::memcmp(values.data() + place * kColumns, expected.data(), kColumns * sizeof(float)))
          << "row " << place << " of " << rows;
    }
  }
}

TEST(CommunicatorTest, LeavesWhatLiesBetweenRowsAlone) {
  std::vector<float> values(3 * 10, 1);
  ranks->AllReduceSum(View(values, 3, 6, 10));
  for (int i = 0; i < 30; ++i) EXPECT_EQ(values[i], i % 10 < 6 ? ranks->size() : 1) << i;
}

TEST(CommunicatorTest, BroadcastsRankZerosBytesWhateverTheirSize) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{9'000'001}}) {
    std::string sent(size, '\0');
    for (size_t i = 0; i < size; ++i) sent[i] = static_cast<char>(i * 31 + i / 255);
    std::string bytes = ranks->rank() == 0 ? sent : "something else";
    ranks->Broadcast(&bytes);
    EXPECT_TRUE(bytes == sent) << size << " bytes";
  }
}

TEST(CommunicatorTest, GathersBytesOfAnySizesInRankOrder) {
  const auto all = ranks->AllGather(std::string(ranks->rank() * 1000, static_cast<char>('a' + ranks->rank())));
  ASSERT_EQ(all.size(), ranks->size());
  for (int rank = 0; rank < ranks->size(); ++rank) {
    EXPECT_EQ(all[rank], std::string(rank * 1000, static_cast<char>('a' + rank)));
  }
}

double ProcessorSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + 1e-6 * (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

TEST(CommunicatorTest, RanksThatWaitForABroadcastSleep) {
  ranks->Barrier();
  const double before = ProcessorSeconds();
  if (ranks->rank() == 0) std::this_thread::sleep_for(std::chrono::seconds(2));
  std::string bytes = "wake";
  ranks->Broadcast(&bytes);
  EXPECT_LT(ProcessorSeconds() - before, 0.2 * Patience()) << "of 2 s idle";
}

TEST(CommunicatorTest, ABusyBroadcastIsQuick) {
  // Not a benchmark: a bound that sleeping after every message would break.
  std::string bytes = "step";
  ranks->Broadcast(&bytes);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) {
    ranks->Broadcast(&bytes);
    ranks->AllGather(bytes);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20) * Patience());
}

}  // namespace
}  // namespace unmask

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const char* apart = std::getenv("UNMASK_TEST_RANKS_APART");  // The road between machines.
  auto communicator = unmask::MpiCommunicator(&argc, &argv, /*share_memory=*/apart == nullptr);
  if (!communicator.ok()) return 1;
  unmask::ranks = communicator->get();
  if (unmask::ranks->rank() != 0) {  // One report is enough, unless a rank fails.
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
  }
  return RUN_ALL_TESTS();
}
