// How long the fleet remembers those that are gone.
#include <gtest/gtest.h>

#include <chrono>

#include "coordinator/fleet.h"
#include "tests/coordinator/scripted_model.h"

namespace unmask {
namespace {

using testing::DescribeReplica;

TEST(FleetMembersTest, OneThatIsLongGoneIsForgottenWhenAnotherComes) {
  std::chrono::steady_clock::time_point now;
  Fleet fleet({.model_name = "tiny", .now = [&] { return now; }});
  fleet.Detach(*fleet.Attach(DescribeReplica("host-1", 1)));
  now += std::chrono::minutes(29);
  const auto second = fleet.Attach(DescribeReplica("host-2", 1));
  EXPECT_EQ(fleet.Describe().replicas_size(), 2);
  now += std::chrono::minutes(2);
  EXPECT_EQ(fleet.Describe().replicas_size(), 2) << "nobody else is there to look at";
  ASSERT_TRUE(fleet.Attach(DescribeReplica("host-3", 1)).ok());
  ASSERT_EQ(fleet.Describe().replicas_size(), 2);
  EXPECT_EQ(fleet.Describe().replicas(0).name(), "host-2") << "it is connected, however long";
  fleet.Detach(*second);
}

}  // namespace
}  // namespace unmask
