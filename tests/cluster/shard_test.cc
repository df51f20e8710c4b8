#include "cluster/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace unmask {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(SliceTest, PartsAreDisjointCoverAndDifferByAtMostOne) {
  for (int64_t total = 0; total <= 130; ++total) {
    for (int parts = 1; parts <= 17; ++parts) {
      int64_t next = 0;
      for (int index = 0; index < parts; ++index) {
        const Range part = Slice(total, parts, index);
        ASSERT_EQ(part.begin, next) << total << " in " << parts << ", part " << index;
        ASSERT_GE(part.size(), total / parts);
        ASSERT_LE(part.size(), (total + parts - 1) / parts);
        next = part.end;
      }
      ASSERT_EQ(next, total);
    }
  }
}

TEST(SliceTest, TheFirstPartsAreTheLongerOnes) {
  EXPECT_EQ(Slice(777, 2, 0).size(), 389);
  EXPECT_EQ(Slice(777, 2, 1).size(), 388);
  EXPECT_EQ(Slice(5, 3, 2).begin, 4);
}

TEST(ShardTest, EveryQueryHeadFindsItsKvHeadOnItsRank) {
  for (int64_t kv_heads = 1; kv_heads <= 12; ++kv_heads) {
    for (int64_t group = 1; group <= 6; ++group) {
      const int64_t heads = kv_heads * group;
      for (int ranks = 1; ranks <= heads && ranks <= 9; ++ranks) {
        for (int rank = 0; rank < ranks; ++rank) {
          const auto shard = MakeShard(heads, kv_heads, 100, 100, ranks, rank);
          ASSERT_TRUE(shard.ok()) << shard.status();
          const auto map = shard->KvMap(heads, kv_heads);
          ASSERT_EQ(map.size(), shard->heads.size());
          ASSERT_EQ(map.front(), 0);  // No K/V head is held that no query head reads.
          ASSERT_EQ(map.back(), shard->kv_heads.size() - 1);
          for (size_t i = 0; i < map.size(); ++i) {
            ASSERT_EQ(shard->kv_heads.begin + map[i], (shard->heads.begin + static_cast<int64_t>(i)) / group);
          }
        }
      }
    }
  }
}

TEST(ShardTest, FiveHeadsAndOneKvHeadOnThreeRanks) {
  const auto middle = MakeShard(5, 1, 100, 777, 3, 1);
  ASSERT_TRUE(middle.ok());
  EXPECT_EQ(middle->heads.begin, 2);
  EXPECT_EQ(middle->heads.end, 4);
  EXPECT_EQ(middle->kv_heads.begin, 0);
  EXPECT_EQ(middle->kv_heads.end, 1);
  EXPECT_EQ(middle->vocabulary.begin, 259);
  EXPECT_EQ(middle->vocabulary.end, 518);
  EXPECT_THAT(middle->KvMap(5, 1), ElementsAre(0, 0));
}

TEST(ShardTest, RaggedGroupsShareAKvHeadBetweenRanks) {
  // Six heads in two groups on four ranks: slices 0-1, 2-3, 4, 5; the second one reads both K/V heads.
  const auto second = MakeShard(6, 2, 100, 100, 4, 1);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->kv_heads.size(), 2);
  EXPECT_THAT(second->KvMap(6, 2), ElementsAre(0, 1));
}

TEST(ShardTest, RefusesWhatCannotBeCut) {
  EXPECT_THAT(std::string(MakeShard(4, 4, 100, 100, 5, 0).status().message()),
              HasSubstr("5 ranks are more than the model's 4 heads"));
  EXPECT_THAT(std::string(MakeShard(8, 8, 3, 100, 4, 0).status().message()), HasSubstr("3 MLP columns"));
  EXPECT_THAT(std::string(MakeShard(8, 8, 100, 2, 4, 0).status().message()), HasSubstr("2 vocabulary rows"));
  EXPECT_THAT(std::string(MakeShard(6, 4, 100, 100, 1, 0).status().message()),
              HasSubstr("4 K/V heads do not divide 6"));
  EXPECT_FALSE(MakeShard(6, 0, 100, 100, 1, 0).ok());
  EXPECT_FALSE(MakeShard(6, 6, 100, 100, 2, 2).ok());
  EXPECT_FALSE(MakeShard(6, 6, 100, 100, 2, -1).ok());
  EXPECT_FALSE(MakeShard(6, 6, 100, 100, 0, 0).ok());
}

}  // namespace
}  // namespace unmask
