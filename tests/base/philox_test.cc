#include "base/philox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace unmask {
namespace {

using ::testing::ElementsAre;

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
TEST(PhiloxTest, GivesTheKnownAnswers) {
  EXPECT_THAT(Philox4x32({0, 0, 0, 0}, 0, 0), ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  EXPECT_THAT(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff),
              ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0),
              ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

TEST(PhiloxTest, EveryCoordinateOfNoiseMatters) {
  const PhiloxWords base = Noise(7, NoiseStream::kGumbel, 3, 11, 5);
  EXPECT_NE(base, Noise(8, NoiseStream::kGumbel, 3, 11, 5));
  EXPECT_NE(base, Noise(7 + (uint64_t{1} << 40), NoiseStream::kGumbel, 3, 11, 5));
  EXPECT_NE(base, Noise(7, NoiseStream::kRemasking, 3, 11, 5));
  EXPECT_NE(base, Noise(7, NoiseStream::kGumbel, 4, 11, 5));
  EXPECT_NE(base, Noise(7, NoiseStream::kGumbel, 3, 12, 5));
  EXPECT_NE(base, Noise(7, NoiseStream::kGumbel, 3, 11, 6));
}

}  // namespace
}  // namespace unmask
