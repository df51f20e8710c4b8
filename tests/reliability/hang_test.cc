// F3: a rank or a launcher that lives but does not move is noticed and replaced; its requests go on as if nothing had
// been.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "tests/reliability/faults.h"
#include "tests/reliability/load.h"

namespace unmask {
namespace {

using std::chrono::seconds;
using testing::Eventually;
using ::testing::IsEmpty;
using testing::Load;
using testing::Service;

// Once steps are measured a stuck one is noticed after max(2 s, 8 times the slowest); where rank 0 shows no life
// itself, its supervisor ends the replica after 10 s.
constexpr seconds kReplacedWithin(40);

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

class HangTest : public ::testing::TestWithParam<int> {};

TEST_P(HangTest, AStoppedRankIsReplacedAndItsRequestsFinishElsewhere) {
  Service service(testing::TinyTpFlags(/*replicas=*/2, /*ranks=*/2));
  ASSERT_TRUE(service.WaitForReady(2));
  Load load(&service, testing::kKinds);
  load.Start(/*clients=*/8);
  // So many that the watchdog knows each size of step.
  v1::ReplicaStatus victim;
  ASSERT_TRUE(Eventually(seconds(30), [&] {
    const v1::GetFleetResponse fleet = service.GetFleet();
    for (const auto& replica : fleet.replicas()) {
      if (replica.steps() > 600 && replica.running() > 0) victim = replica;
    }
    return victim.steps() > 0;
  }));
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(kill(victim.ranks(GetParam()).pid(), SIGSTOP), 0);
  ASSERT_TRUE(testing::WaitForNextLife(service, victim.name(), victim.epoch(), kReplacedWithin));
  // Another connection of the same stuck processes is no other life.
  const v1::GetFleetResponse fleet = service.GetFleet();
  for (const auto& replica : fleet.replicas()) {
    if (replica.name() != victim.name()) continue;
    EXPECT_NE(replica.ranks(GetParam()).pid(), victim.ranks(GetParam()).pid()) << "the stopped rank is still in use";
  }
  printf("rank %d: replaced after %.1f s\n", GetParam(), SecondsSince(begin));
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_GT(report.replays, 0) << "the stopped rank held no request up";
}

INSTANTIATE_TEST_SUITE_P(LeaderAndFollower, HangTest, ::testing::Values(0, 1));

// A stopped launcher stops no rank. But it reaps none either: a rank that dies under it is noticed by the others, and
// its supervisor ends what is left, the launcher too.
TEST(HangingLauncherTest, HoldsNothingUpAndIsReplacedWithItsRanks) {
  Service service(testing::TinyTpFlags(/*replicas=*/1, /*ranks=*/2));
  ASSERT_TRUE(service.WaitForReady(1));
  Load load(&service, testing::kKinds);
  load.Start(/*clients=*/4);
  ASSERT_TRUE(Eventually(seconds(30), [&] { return service.GetFleet().replicas(0).running() > 0; }));
  const v1::ReplicaStatus victim = service.GetFleet().replicas(0);
  ASSERT_EQ(kill(victim.launcher_pid(), SIGSTOP), 0);
  const int answered = load.answered();
  EXPECT_TRUE(Eventually(seconds(30), [&] { return load.answered() > answered + 20; })) << "it held requests up";
  EXPECT_EQ(service.GetFleet().replicas(0).epoch(), victim.epoch());
  ASSERT_TRUE(Eventually(seconds(30), [&] { return service.GetFleet().replicas(0).running() > 0; }));
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(kill(victim.ranks(1).pid(), SIGKILL), 0);
  ASSERT_TRUE(testing::WaitForNextLife(service, victim.name(), victim.epoch(), kReplacedWithin));
  printf("a rank under a stopped launcher: replaced after %.1f s\n", SecondsSince(begin));
  EXPECT_NE(service.GetFleet().replicas(0).launcher_pid(), victim.launcher_pid());
  EXPECT_NE(kill(victim.launcher_pid(), 0), 0) << "the stopped launcher is still there";
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_GT(report.replays, 0);
}

// Nobody but its own supervisor can end it: the coordinator has no hand on its host.
TEST(HangingReplicaTest, RankZeroOfAReplicaOnItsOwnIsReplacedToo) {
  std::vector<std::string> flags = testing::TinyTpFlags(/*replicas=*/0, /*ranks=*/2);
  Service service(flags);
  ASSERT_FALSE(service.address().empty());
  testing::Process replica(testing::ReplicaCommand(service, "alone", 2));
  ASSERT_TRUE(service.WaitForReady(1));
  Load load(&service, testing::kKinds);
  load.Start(/*clients=*/4);
  ASSERT_TRUE(Eventually(seconds(30), [&] { return testing::StatusOf(service, "alone").running() > 0; }));
  const v1::ReplicaStatus victim = testing::StatusOf(service, "alone");
  ASSERT_EQ(kill(victim.ranks(0).pid(), SIGSTOP), 0);
  ASSERT_TRUE(testing::WaitForNextLife(service, "alone", victim.epoch(), kReplacedWithin));
  EXPECT_NE(testing::StatusOf(service, "alone").ranks(0).pid(), victim.ranks(0).pid());
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_GT(report.replays, 0);
  replica.Kill(SIGTERM);
  EXPECT_EQ(replica.Wait(seconds(30)), 0);
}

}  // namespace
}  // namespace unmask
