// The coordinator dies under load: calls under way lose their connections, and that is all. It comes back on the same
// ports, the replicas dial in again as they are, and whoever asks again gets the same answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <random>
#include <set>
#include <string>
#include <thread>

#include "tests/reliability/faults.h"
#include "tests/reliability/load.h"

namespace unmask {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ByForm;
using testing::CoordinatorOf;
using testing::Eventually;
using ::testing::IsEmpty;
using testing::Load;
using testing::Metric;
using testing::Service;

std::set<pid_t> RanksOf(const v1::GetFleetResponse& fleet) {
  std::set<pid_t> pids;
  for (const auto& replica : fleet.replicas()) {
    for (const auto& rank : replica.ranks()) pids.insert(rank.pid());
  }
  return pids;
}

// As Service::WaitForReady, while the coordinator may be away.
bool ReadyAgain(Service& service, size_t ready) {
  return Eventually(seconds(90), [&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + seconds(2));
    v1::GetFleetResponse fleet;
    if (!service.fleet().GetFleet(&context, v1::GetFleetRequest(), &fleet).ok()) return false;
    size_t count = 0;
    for (const auto& replica : fleet.replicas()) count += replica.state() == v1::REPLICA_STATE_READY;
    return count == ready;
  });
}

TEST(CoordinatorDeathTest, KilledUnderLoadItCostsConnectionsAndNothingElse) {
  Service service(testing::TinyTpFlags(/*replicas=*/2, /*ranks=*/2));
  ASSERT_TRUE(service.WaitForReady(2));
  const std::set<pid_t> ranks = RanksOf(service.GetFleet());
  ASSERT_EQ(ranks.size(), 4u);
  Load load(&service, testing::kKinds);
  load.AskAgain();
  load.Start(/*clients=*/8);

  std::minstd_rand random(testing::Seed());
  const int kills = ByForm(3, 30);
  for (int n = 0; n < kills; ++n) {
    const int answered = load.answered();
    ASSERT_TRUE(Eventually(seconds(60), [&] { return load.answered() > answered + 4; })) << "no load";
    std::this_thread::sleep_for(milliseconds(random() % 200));
    const int lost = load.lost();
    const pid_t coordinator = CoordinatorOf(service);
    ASSERT_GT(coordinator, 0);
    ASSERT_EQ(kill(coordinator, SIGKILL), 0);
    ASSERT_TRUE(Eventually(seconds(20), [&] { return load.lost() > lost; })) << "no call was under way";
    ASSERT_TRUE(ReadyAgain(service, 2)) << "the replicas did not dial in again";
    EXPECT_NE(CoordinatorOf(service), coordinator);
    EXPECT_EQ(RanksOf(service.GetFleet()), ranks) << "a rank died with the coordinator";
  }
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_EQ(report.replays, 0);
  EXPECT_EQ(Metric(service, "unmask_running_requests"), 0);
  EXPECT_TRUE(Eventually(seconds(5), [&] { return Metric(service, "unmask_canvas_tokens") == 0; }));
  printf("%d kills of the coordinator, %d requests answered, %d connections lost\n", kills, report.answered,
         report.lost);
  EXPECT_EQ(service.End(), 0);
}

}  // namespace
}  // namespace unmask
