#include "coordinator/forecast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace unmask {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ForecastTest, OneAloneTakesItsWindowsTimesTheirCost) {
  EXPECT_THAT(ExpectedEnds({{.windows = 10, .cost = 3}}, {}), ElementsAre(DoubleEq(30)));
  EXPECT_THAT(ExpectedEnds({}, {}), IsEmpty());
}

TEST(ForecastTest, RoundsAreSharedUntilTheShorterEnd) {
  // Two rounds of three, three of two, five of one.
  EXPECT_THAT(ExpectedEnds({{.windows = 10, .cost = 1}, {.windows = 2, .cost = 4}, {.windows = 5, .cost = 2}}, {}),
              ElementsAre(DoubleEq(14 + 9 + 5), DoubleEq(14), DoubleEq(14 + 9)));
}

TEST(ForecastTest, AStepsFixedTimeIsSharedToo) {
  StepTimes times{StepTimes::Seconds(0)};
  for (int i = 0; i < 50; ++i) times.Record(1 + i % 5, StepTimes::Seconds(2 + 0.5 * (1 + i % 5)));
  const StepMeasure measure{.max_cost = 10, .times = &times};
  const double largest = times.Expected(10).count();
  EXPECT_DOUBLE_EQ(RoundTime(4, 4, measure), times.Expected(4).count());
  EXPECT_LT(RoundTime(4, 4, measure), 4 * RoundTime(1, 1, measure));
  EXPECT_DOUBLE_EQ(RoundTime(20, 20, measure), 2 * largest) << "two steps of the largest size";
  EXPECT_DOUBLE_EQ(RoundTime(60, 2, measure), 2 * times.Expected(30).count()) << "a larger window goes alone";
}

}  // namespace
}  // namespace unmask
