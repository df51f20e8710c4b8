// F5: the network between coordinator and replica is cut, silently. Shorter than the lease, it is a pause; longer, and
// the requests go on elsewhere or, once it is healed, on the same processes. Or it delays what it carries, or loses
// half of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "tests/reliability/hosts.h"

namespace unmask {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::BadCable;
using testing::ByForm;
using testing::Eventually;
using ::testing::IsEmpty;
using testing::Load;
using testing::Metric;
using testing::Network;
using testing::StatusOf;
using testing::WaitForNextLife;

constexpr seconds kLease(6);

class PartitionTest : public testing::HostsTest {
 protected:
  void SetUp() override {
    setenv("UNMASK_LEASE", std::to_string(kLease.count()).c_str(), 1);
    HostsTest::SetUp();
    unsetenv("UNMASK_LEASE");
  }
  bool Busy(const std::string& replica) {
    return Eventually(seconds(60), [&] { return StatusOf(*service_, replica).running() > 0; });
  }
  // A replica on b, which answers in peace first, one on a, and requests for both.
  void LoadTwo() {
    near_ = ReplicaOn("b", "near");
    ASSERT_TRUE(service_->WaitForReady(1));
    load_ = std::make_unique<Load>(service_.get(), testing::kKinds);
    away_ = ReplicaOn("a", "away");
    ASSERT_TRUE(service_->WaitForReady(2));
    load_->Start(6);
    ASSERT_TRUE(Busy("away"));
  }

  std::unique_ptr<testing::Process> near_;
  std::unique_ptr<testing::Process> away_;
  std::unique_ptr<Load> load_;
};

TEST_F(PartitionTest, ACutShorterThanTheLeaseIsAPause) {
  const auto replica = ReplicaOn("a", "away");
  ASSERT_TRUE(service_->WaitForReady(1));
  Load load(service_.get(), testing::kKinds);
  load.Start(/*clients=*/6);
  for (int n = 0; n < ByForm(2, 20); ++n) {
    ASSERT_TRUE(Busy("away"));
    const uint64_t epoch = StatusOf(*service_, "away").epoch();
    network_->Unplug("a", Network::kFront);
    std::this_thread::sleep_for(milliseconds(200));  // What is on its way arrives.
    const uint64_t steps = StatusOf(*service_, "away").steps();
    std::this_thread::sleep_for(milliseconds(200));
    EXPECT_EQ(StatusOf(*service_, "away").steps(), steps) << "the cut cuts nothing";
    network_->Plug("a", Network::kFront);
    EXPECT_TRUE(Eventually(seconds(30), [&] { return StatusOf(*service_, "away").steps() > steps; }));
    EXPECT_EQ(StatusOf(*service_, "away").epoch(), epoch);
  }
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_EQ(report.replays, 0);
}

TEST_F(PartitionTest, ACutLongerThanTheLeaseIsALossThatTheSameProcessesComeBackFrom) {
  const auto replica = ReplicaOn("a", "away");
  ASSERT_TRUE(service_->WaitForReady(1));
  Load load(service_.get(), testing::kKinds);
  load.Start(6);
  for (int n = 0; n < ByForm(1, 5); ++n) {
    ASSERT_TRUE(Busy("away"));
    const v1::ReplicaStatus before = StatusOf(*service_, "away");
    network_->Unplug("a", Network::kFront);
    ASSERT_TRUE(Eventually(kLease + seconds(10), [&] {
      return StatusOf(*service_, "away").state() == v1::REPLICA_STATE_DOWN;
    })) << "the coordinator did not notice";
    EXPECT_GT(Metric(*service_, "unmask_queued_requests"), 0) << "nobody waits for it";
    std::this_thread::sleep_for(seconds(ByForm(2, 20)));
    network_->Plug("a", Network::kFront);
    ASSERT_TRUE(WaitForNextLife(*service_, "away", before.epoch(), seconds(90)));
    EXPECT_EQ(StatusOf(*service_, "away").ranks(0).pid(), before.ranks(0).pid()) << "it was started anew";
    const int answered = load.answered();
    EXPECT_TRUE(Eventually(seconds(60), [&] { return load.answered() > answered + 6; })) << "nobody gets on";
  }
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_GE(report.replays, 1);
  // Whichever notices first: the lease, the watchdog of the step in flight (2 s on a quick machine), or the transport.
  double replays = 0;
  for (const char* reason : {"silent", "stuck", "ended"}) {
    replays +=
        std::max(0.0, Metric(*service_, std::string("unmask_sequence_replays_total{reason=\"") + reason + "\"}"));
  }
  EXPECT_GT(replays, 0);
}

TEST_F(PartitionTest, MeanwhileRequestsGoOnElsewhere) {
  ASSERT_NO_FATAL_FAILURE(LoadTwo());
  Load& load = *load_;
  const uint64_t epoch = StatusOf(*service_, "away").epoch();
  network_->Unplug("a", Network::kFront);
  ASSERT_TRUE(
      Eventually(kLease + seconds(10), [&] { return StatusOf(*service_, "away").state() == v1::REPLICA_STATE_DOWN; }));
  const int answered = load.answered();
  EXPECT_TRUE(Eventually(seconds(60), [&] { return load.answered() > answered + 12 && load.replays() > 0; }))
      << "what it had is not answered by the other one";
  network_->Plug("a", Network::kFront);
  ASSERT_TRUE(WaitForNextLife(*service_, "away", epoch, seconds(90)));
  ASSERT_TRUE(Busy("away"));
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_GE(report.replays, 1);
}

// The network's round trip becomes most of a step's time, and that is all.
TEST_F(PartitionTest, ADelayedReplicaIsSlowAndLosesNothing) {
  const auto replica = ReplicaOn("a", "away");
  ASSERT_TRUE(service_->WaitForReady(1));
  Load load(service_.get(), /*distinct=*/4);
  load.Start(/*clients=*/4);
  ASSERT_TRUE(Busy("away"));
  const v1::ReplicaStatus before = StatusOf(*service_, "away");
  std::string why;
  ASSERT_NE(network_->Worsen("a", Network::kFront, {.delay = milliseconds(200)}, testing::Seed(), &why), nullptr)
      << why;
  std::this_thread::sleep_for(seconds(2));  // What was on its way is there.
  const uint64_t steps = StatusOf(*service_, "away").steps();
  std::this_thread::sleep_for(seconds(ByForm(4, 60)));
  const uint64_t taken = StatusOf(*service_, "away").steps() - steps;
  EXPECT_GT(taken, 0);
  EXPECT_LE(taken, ByForm(4, 60) * 1000 / 400 + 1) << "nothing was delayed";
  EXPECT_EQ(StatusOf(*service_, "away").epoch(), before.epoch());
  network_->Mend("a", Network::kFront);
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_EQ(report.replays, 0);
}

// Half of all frames vanish: connections stall, break and come back. Requests that such a replica had go on elsewhere
// or on it, and none is blamed for it.
TEST_F(PartitionTest, AReplicaBehindALossyNetworkCostsNoRequest) {
  ASSERT_NO_FATAL_FAILURE(LoadTwo());
  Load& load = *load_;
  std::string why;
  const BadCable* cable = network_->Worsen("a", Network::kFront, {.loss = 0.5}, testing::Seed(), &why);
  ASSERT_NE(cable, nullptr) << why;
  const int answered = load.answered();
  std::this_thread::sleep_for(seconds(ByForm(10, 120)));
  printf("%ld frames, %ld of them lost; %d requests meanwhile, %d replays\n", static_cast<long>(cable->carried()),
         static_cast<long>(cable->lost()), load.answered() - answered, load.replays());
  EXPECT_GE(cable->lost(), 10);
  EXPECT_NEAR(static_cast<double>(cable->lost()) / cable->carried(), 0.5, 0.25);
  EXPECT_GT(load.answered(), answered) << "the other replica was held up";
  const uint64_t steps = StatusOf(*service_, "away").steps();
  network_->Mend("a", Network::kFront);
  EXPECT_TRUE(Eventually(seconds(60), [&] { return StatusOf(*service_, "away").steps() != steps; }))
      << "it does not go on";
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
}

}  // namespace
}  // namespace unmask
