// F12, F14: a request that kills whoever computes it, and a replica that dies as soon as it lives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/reliability/faults.h"
#include "tests/reliability/load.h"

namespace unmask {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Answer;
using testing::Eventually;
using testing::Identity;
using testing::MixedRequest;
using testing::Reason;
using testing::Service;

// Deaths that follow a request wherever it goes: each replica that computes is killed.
TEST(PoisonTest, ARequestUnderWhichReplicasDieAloneFailsAndItsNeighboursDoNot) {
  Service service(testing::TinyTpFlags(1, 2));
  ASSERT_FALSE(service.address().empty());
  const std::string undisturbed = Identity(Generate(service, MixedRequest(1)).response);

  std::atomic<bool> over = false;
  int deaths = 0;
  v1::GenerateRequest poison = MixedRequest(0);
  poison.mutable_options()->set_gen_length(480);
  poison.mutable_options()->set_block_length(480);
  poison.mutable_options()->clear_steps();
  Answer poisoned;
  std::thread client([&] {
    // Time enough that a slow machine does not refuse it for its deadline.
    poisoned = Generate(service, poison, seconds(1200));
    over = true;
  });
  while (!over) {
    const v1::GetFleetResponse fleet = service.GetFleet();
    const v1::ReplicaStatus& replica = fleet.replicas(0);
    if (replica.state() == v1::REPLICA_STATE_READY && replica.running() > 0) {
      deaths += kill(replica.ranks(0).pid(), SIGKILL) == 0;
      ASSERT_TRUE(Eventually(seconds(10), [&] { return service.GetFleet().replicas(0).running() == 0; }));
    }
    std::this_thread::sleep_for(milliseconds(5));
  }
  client.join();
  EXPECT_EQ(poisoned.status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(Reason(poisoned.status), "POISON_REQUEST");
  EXPECT_GE(deaths, 3);
  // A kill between two steps finds nobody computing and convicts nobody.
  EXPECT_LE(deaths, 8);

  ASSERT_TRUE(service.WaitForReady(1));
  const Answer after = Generate(service, MixedRequest(1));
  EXPECT_TRUE(after.status.ok()) << after.status.error_message();
  EXPECT_EQ(Identity(after.response), undisturbed);
}

// Shared deaths make suspects: of those whose company dies again and again, none is convicted that does not die alone.
TEST(PoisonTest, DeathsInCompanyConvictNobody) {
  Service service(testing::TinyTpFlags(1, 2));
  ASSERT_FALSE(service.address().empty());
  constexpr int kRequests = 6;
  std::vector<std::string> undisturbed;
  for (int i = 0; i < kRequests; ++i) undisturbed.push_back(Identity(Generate(service, MixedRequest(i)).response));
  std::vector<Answer> answers(kRequests);
  std::vector<std::thread> clients;
  for (int i = 0; i < kRequests; ++i) clients.emplace_back([&, i] { answers[i] = Generate(service, MixedRequest(i)); });
  int deaths = 0;
  ASSERT_TRUE(Eventually(seconds(60), [&] {
    const v1::GetFleetResponse fleet = service.GetFleet();
    const v1::ReplicaStatus& replica = fleet.replicas(0);
    if (replica.state() == v1::REPLICA_STATE_READY && replica.running() > 1 && replica.steps() > 0) {
      deaths += kill(replica.ranks(1).pid(), SIGKILL) == 0;
      Eventually(seconds(10), [&] { return service.GetFleet().replicas(0).running() == 0; });
    }
    return deaths == 2;
  }));
  for (std::thread& thread : clients) thread.join();
  for (int i = 0; i < kRequests; ++i) {
    EXPECT_TRUE(answers[i].status.ok()) << answers[i].status.error_message();
    EXPECT_EQ(Identity(answers[i].response), undisturbed[i]);
  }
}

// A launcher that is no launcher: each life of the replica ends at once.
TEST(CrashLoopTest, AReplicaThatDiesAtItsStartIsTriedEverMoreRarelyAndTheServiceStaysAlive) {
  Service service(testing::TinyTpFlags(2, 2));
  ASSERT_TRUE(service.WaitForReady(2));
  const std::string undisturbed = Identity(Generate(service, MixedRequest(2)).response);
  // Kill every life of replica-0 while it starts.
  std::atomic<bool> stopping = false;
  std::vector<std::chrono::steady_clock::time_point> starts;
  std::thread killer([&] {
    uint64_t last = 0;
    while (!stopping) {
      const v1::GetFleetResponse fleet = service.GetFleet();
      for (const v1::ReplicaStatus& replica : fleet.replicas()) {
        if (replica.name() != "replica-0" || replica.epoch() == last || replica.launcher_pid() == 0) continue;
        if (replica.ranks_size() == 0) continue;
        last = replica.epoch();
        starts.push_back(std::chrono::steady_clock::now());
        kill(replica.launcher_pid(), SIGKILL);
      }
      std::this_thread::sleep_for(milliseconds(5));
    }
  });
  const auto end = std::chrono::steady_clock::now() + seconds(testing::ByForm(12, 120));
  while (std::chrono::steady_clock::now() < end) {
    const Answer answer = Generate(service, MixedRequest(2));
    ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
    EXPECT_EQ(Identity(answer.response), undisturbed);
  }
  stopping = true;
  killer.join();
  ASSERT_GE(starts.size(), 3u);
  EXPECT_LE(starts.size(), 8u) << "it starts without a pause";
  const auto gap = [&](size_t i) { return starts[i + 1] - starts[i]; };
  EXPECT_GT(gap(starts.size() - 2), gap(0)) << "the pauses do not grow";
}

}  // namespace
}  // namespace unmask
