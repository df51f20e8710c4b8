#include "coordinator/mask_counts.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/golden.h"

namespace unmask {
namespace {

using ::testing::ElementsAre;

TEST(MaskCountsTest, AreTheReferencesTable) {
  const auto table = testing::LoadGolden("lik_mask_counts");
  int rows = 0;
  for (const auto& entry : table.at("entries")) {
    const int length = entry.at("answer_len");
    const int batch = entry.at("batch");
    const int k = entry.at("k");
    EXPECT_EQ(ReferenceMaskCounts(length, batch, k), entry.at("mask_counts").get<std::vector<int>>())
        << length << " " << batch << " " << k;
    ++rows;
  }
  EXPECT_GT(rows, 50);
}

TEST(MaskCountsTest, TheStudysExamples) {
  EXPECT_THAT(ReferenceMaskCounts(10, 4, 3), ElementsAre(3, 6, 8, 10));
  EXPECT_THAT(ReferenceMaskCounts(10, 4, 7), ElementsAre(7, 10, 2, 4));
  EXPECT_THAT(ReferenceMaskCounts(6, 16, 5), ElementsAre(5, 5, 6, 6, 6, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5));
}

// How often each count comes over all k, in all rows.
std::map<int, int> Frequencies(std::vector<int> (*counts)(int, int, int), int length, int rows) {
  std::map<int, int> frequencies;
  for (int k = 1; k <= length; ++k) {
    for (int count : counts(length, rows, k)) ++frequencies[count];
  }
  return frequencies;
}

TEST(MaskCountsTest, TheReferenceIsBiasedAtHalvesAndTheOtherIsNot) {
  const auto biased = Frequencies(ReferenceMaskCounts, 10, 4);
  const auto fair = Frequencies(UnbiasedMaskCounts, 10, 4);
  for (int count = 1; count <= 10; ++count) {
    EXPECT_EQ(fair.at(count), 4);
    EXPECT_EQ(biased.at(count), count % 2 == 0 ? 6 : 2);
  }
}

}  // namespace
}  // namespace unmask
