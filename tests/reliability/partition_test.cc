// F5: the network between coordinator and replica is cut, silently. Shorter than the lease, it is a pause; longer, and
// the requests go on elsewhere or, once it is healed, on the same processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "tests/reliability/hosts.h"

namespace unmask {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
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
  const auto near = ReplicaOn("b", "near");
  ASSERT_TRUE(service_->WaitForReady(1));
  Load load(service_.get(), testing::kKinds);
  const auto away = ReplicaOn("a", "away");
  ASSERT_TRUE(service_->WaitForReady(2));
  load.Start(6);
  ASSERT_TRUE(Busy("away"));
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

}  // namespace
}  // namespace unmask
