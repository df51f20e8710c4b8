// A replica whose ranks are on two hosts: the same answers as on one, and the same promises when a rank, a launcher or
// the network between them fails (F6).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/reliability/hosts.h"

namespace unmask {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ByForm;
using testing::Eventually;
using testing::Identity;
using ::testing::IsEmpty;
using testing::Load;
using testing::MixedRequest;
using testing::Network;
using testing::Process;
using testing::StatusOf;
using testing::WaitForNextLife;
using Clock = std::chrono::steady_clock;

// mpirun gives up on a host after 5 s without a sign of it; this machine may be busy.
constexpr seconds kNoticedWithin(20);
constexpr seconds kBackWithin(180);
// A step over the network takes long where there are fewer cores than ranks: few requests, of every K/V policy.
constexpr int kStride = 7;
int Kinds() { return ByForm(4, testing::kKinds); }

class TwoHostsTest : public testing::HostsTest {
 protected:
  bool Busy(const std::string& replica) {
    return Eventually(seconds(60), [&] { return StatusOf(*service_, replica).running() > 0; });
  }
  bool Gone(const std::string& replica, uint64_t epoch, milliseconds limit) {
    return Eventually(limit, [&] {
      const v1::ReplicaStatus status = StatusOf(*service_, replica);
      return status.epoch() > epoch || status.state() == v1::REPLICA_STATE_DOWN;
    });
  }
};

TEST_F(TwoHostsTest, ItAnswersAsAReplicaOfOneHostDoes) {
  std::vector<std::string> one_host;
  std::string numerics;
  {
    const auto replica = ReplicaOn("c", "one-host");
    ASSERT_TRUE(service_->WaitForReady(1));
    numerics = StatusOf(*service_, "one-host").numerics();
    for (int i = 0; i < Kinds(); ++i) {
      const testing::Answer answer = Generate(*service_, MixedRequest(i * kStride));
      ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
      one_host.push_back(Identity(answer.response));
    }
    replica->Kill(SIGTERM);
    EXPECT_EQ(replica->Wait(seconds(30)), 0);
  }
  const auto replica = ReplicaOverBoth("two-hosts");
  ASSERT_TRUE(service_->WaitForReady(1));
  const v1::ReplicaStatus status = StatusOf(*service_, "two-hosts");
  ASSERT_EQ(status.ranks_size(), 2);
  EXPECT_EQ(status.ranks(0).host(), network_->HostName("a"));
  EXPECT_EQ(status.ranks(1).host(), network_->HostName("b"));
  EXPECT_EQ(status.numerics(), numerics);
  for (int i = 0; i < Kinds(); ++i) {
    const testing::Answer answer = Generate(*service_, MixedRequest(i * kStride));
    ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
    EXPECT_EQ(Identity(answer.response), one_host[i]) << "request " << i;
  }
  replica->Kill(SIGTERM);
  EXPECT_EQ(replica->Wait(seconds(30)), 0) << "a drain";
}

TEST_F(TwoHostsTest, ProcessesKilledOnEitherHostCostNoRequestAndNoBit) {
  const auto replica = ReplicaOverBoth("two-hosts");
  ASSERT_TRUE(service_->WaitForReady(1));
  Load load(service_.get(), Kinds(), kStride);
  load.Start(/*clients=*/4);
  for (int n = 0; n < ByForm(3, 12); ++n) {
    ASSERT_TRUE(Busy("two-hosts"));
    const v1::ReplicaStatus victim = StatusOf(*service_, "two-hosts");
    ASSERT_EQ(victim.ranks_size(), 2);
    const pid_t pids[] = {victim.ranks(1).pid(), victim.launcher_pid(), victim.ranks(0).pid()};
    ASSERT_EQ(kill(pids[n % 3], SIGKILL), 0);
    EXPECT_TRUE(Eventually(seconds(15), [&] {
      return kill(victim.ranks(0).pid(), 0) != 0 && kill(victim.ranks(1).pid(), 0) != 0;
    })) << "a rank outlives its replica";
    ASSERT_TRUE(WaitForNextLife(*service_, "two-hosts", victim.epoch(), kBackWithin));
  }
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_GE(report.replays, 1);
  printf("%d requests, %d replays\n", report.answered, report.replays);
}

// The cable between the ranks is pulled; both hosts still reach the coordinator.
TEST_F(TwoHostsTest, APartitionBetweenItsRanksIsNoticedAndCostsNoRequestAndNoBit) {
  const auto replica = ReplicaOverBoth("two-hosts");
  ASSERT_TRUE(service_->WaitForReady(1));
  Load load(service_.get(), Kinds(), kStride);
  load.Start(4);
  for (int n = 0; n < ByForm(1, 5); ++n) {
    ASSERT_TRUE(Busy("two-hosts"));
    const v1::ReplicaStatus victim = StatusOf(*service_, "two-hosts");
    const Clock::time_point begin = Clock::now();
    network_->Unplug("b", Network::kRanks);
    ASSERT_TRUE(Gone("two-hosts", victim.epoch(), kNoticedWithin)) << "nobody noticed";
    const milliseconds noticed = duration_cast<milliseconds>(Clock::now() - begin);
    EXPECT_TRUE(Eventually(kNoticedWithin, [&] { return kill(victim.ranks(1).pid(), 0) != 0; }))
        << "the rank beyond the cut lives on";
    const int answered = load.answered();
    network_->Plug("b", Network::kRanks);
    const Clock::time_point healed = Clock::now();
    ASSERT_TRUE(WaitForNextLife(*service_, "two-hosts", victim.epoch(), kBackWithin));
    printf("noticed after %ld ms, back %ld ms after the cut was healed\n", static_cast<long>(noticed.count()),
           static_cast<long>(duration_cast<milliseconds>(Clock::now() - healed).count()));
    EXPECT_TRUE(Eventually(seconds(60), [&] { return load.answered() > answered; }));
  }
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_GE(report.replays, 1);
}

TEST_F(TwoHostsTest, WithAnotherReplicaOfItsKindRequestsGoOnThereMeanwhile) {
  const auto other = ReplicaOn("c", "other");
  ASSERT_TRUE(service_->WaitForReady(1));
  Load load(service_.get(), Kinds(), kStride);
  const auto replica = ReplicaOverBoth("two-hosts");
  ASSERT_TRUE(service_->WaitForReady(2));
  load.Start(4);
  ASSERT_TRUE(Busy("two-hosts"));
  const v1::ReplicaStatus victim = StatusOf(*service_, "two-hosts");
  network_->Unplug("b", Network::kRanks);
  ASSERT_TRUE(Gone("two-hosts", victim.epoch(), kNoticedWithin));
  const int answered = load.answered();
  EXPECT_TRUE(Eventually(seconds(60), [&] { return load.answered() > answered + 4; }));
  EXPECT_NE(StatusOf(*service_, "two-hosts").state(), v1::REPLICA_STATE_READY) << "across a cut network?";
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_GE(report.replays, 1);
}

}  // namespace
}  // namespace unmask
