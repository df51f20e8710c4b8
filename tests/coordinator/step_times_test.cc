#include "coordinator/step_times.h"

#include <gtest/gtest.h>

namespace unmask {
namespace {

using Seconds = StepTimes::Seconds;

TEST(StepTimesTest, BelievesTheWarmUpUntilItHasMeasured) {
  const StepTimes times(Seconds(0.001));
  EXPECT_DOUBLE_EQ(times.Expected(100).count(), 0.1);
  EXPECT_DOUBLE_EQ(times.LargestWithin(Seconds(0.05)), 50);
  EXPECT_EQ(times.Throughput(), 0);
}

TEST(StepTimesTest, FindsTheLineThroughTheSteps) {
  StepTimes times(Seconds(0));
  for (int i = 0; i < 50; ++i) {
    const double cost = 10 + 10 * (i % 7);
    times.Record(cost, Seconds(0.02 + 0.001 * cost));
  }
  EXPECT_NEAR(times.Expected(40).count(), 0.06, 1e-4) << "through the middle";
  EXPECT_NEAR(times.Expected(0).count(), 0.02, 0.001);
  EXPECT_NEAR(times.Expected(200).count(), 0.22, 0.005);
  EXPECT_NEAR(times.LargestWithin(Seconds(0.12)), 100, 2);
}

// A slope of 0 once let batch work fill the steps of interactive requests without end.
TEST(StepTimesTest, LikeStepsWhoseTimesScatterAreTakenAsNearlyProportional) {
  StepTimes times(Seconds(0));
  for (int i = 0; i < 50; ++i) times.Record(100 + i % 7, Seconds(0.1 - 0.001 * (i % 7)));
  EXPECT_GT(times.Expected(200).count(), 0.18);
}

TEST(StepTimesTest, StepsOfOneSizeAreTakenAsProportional) {
  StepTimes times(Seconds(0));
  for (int i = 0; i < 50; ++i) times.Record(64, Seconds(0.064));
  EXPECT_NEAR(times.Expected(128).count(), 0.128, 1e-9);
  EXPECT_NEAR(times.Throughput(), 1000, 1e-6);
}

TEST(StepTimesTest, FollowsAChangeWithinAHundredSteps) {
  StepTimes times(Seconds(0));
  for (int i = 0; i < 500; ++i) times.Record(10 + i % 5, Seconds(0.1));
  for (int i = 0; i < 100; ++i) times.Record(10 + i % 5, Seconds(0.2));
  EXPECT_NEAR(times.Expected(12).count(), 0.2, 0.01);
}

TEST(StepTimesTest, AStepIsOverdueByItsClassOnceTwentyAreMeasured) {
  StepTimes times(Seconds(0.5));
  EXPECT_DOUBLE_EQ(times.Overdue(16).count(), 8 * 16 * 0.5);
  EXPECT_DOUBLE_EQ(times.Overdue(1).count(), 30) << "at least 30 s before it is measured";
  for (int i = 0; i < 20; ++i) times.Record(20, Seconds(0.01));
  EXPECT_DOUBLE_EQ(times.Overdue(30).count(), 2) << "at least 2 s after; 16 to 31 are one class";
  EXPECT_DOUBLE_EQ(times.Overdue(33).count(), 8 * 33 * 0.5) << "another class is not measured yet";
  for (int i = 0; i < 20; ++i) times.Record(20, Seconds(3));
  EXPECT_DOUBLE_EQ(times.Overdue(20).count(), 24);
}

}  // namespace
}  // namespace unmask
