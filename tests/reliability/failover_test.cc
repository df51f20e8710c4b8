// F1, F2: any process of a replica dies at any instant, and clients see nothing of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "tests/reliability/faults.h"
#include "tests/reliability/load.h"
#include "tests/support/golden.h"

namespace unmask {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ByForm;
using testing::ChooseVictim;
using testing::Eventually;
using testing::Histogram;
using ::testing::IsEmpty;
using testing::Load;
using testing::Process;
using testing::Sandbox;
using testing::Service;
using testing::Victim;
using testing::WaitForNextLife;
using Clock = std::chrono::steady_clock;

milliseconds Since(Clock::time_point begin) { return std::chrono::duration_cast<milliseconds>(Clock::now() - begin); }

// Ended, though whoever inherited it may not have reaped it yet: an init may take seconds.
bool Dead(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  if (!std::getline(file, stat)) return true;
  return stat.find(") Z ") != std::string::npos;
}

TEST(FailoverTest, RanksAndLaunchersKilledAtRandomInstantsCostNoRequestAndNoBit) {
  const Sandbox sandbox;
  Service service(testing::TinyTpFlags(/*replicas=*/2, /*ranks=*/2));
  ASSERT_TRUE(service.WaitForReady(2));
  Load load(&service, testing::kKinds);
  load.Start(/*clients=*/8);

  std::minstd_rand random(testing::Seed());
  Histogram recovery;
  const int kills = ByForm(10, 60);
  for (int n = 0; n < kills; ++n) {
    std::this_thread::sleep_for(milliseconds(random() % 200));
    std::optional<Victim> victim;
    ASSERT_TRUE(Eventually(seconds(90), [&] { return (victim = ChooseVictim(service, /*busy=*/true, &random)); }));
    const Clock::time_point begin = Clock::now();
    ASSERT_EQ(kill(victim->pid, SIGKILL), 0) << victim->role;
    // Every second time the next one dies while this one is still away.
    if (n % 2 == 1) continue;
    ASSERT_TRUE(WaitForNextLife(service, victim->replica, victim->epoch, seconds(90)))
        << victim->replica << " did not come back after its " << victim->role << " was killed";
    recovery.Add(Since(begin));
  }
  ASSERT_TRUE(service.WaitForReady(2));
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_GT(report.replays, 0) << "no request was under way on a killed replica";
  printf("%d kills, %d requests, %d replays; recovery %s\n", kills, report.answered, report.replays,
         recovery.ToString().c_str());
}

TEST(FailoverTest, WithEveryReplicaDownRequestsWaitForTheirReturn) {
  Service service(testing::TinyTpFlags(2, 2));
  ASSERT_TRUE(service.WaitForReady(2));
  Load load(&service, testing::kKinds);
  load.Start(8);
  for (int round = 0; round < ByForm(1, 10); ++round) {
    ASSERT_TRUE(service.WaitForReady(2));
    ASSERT_TRUE(Eventually(seconds(20), [&] {
      const auto fleet = service.GetFleet();
      return fleet.replicas(0).running() > 0 && fleet.replicas(1).running() > 0;
    })) << "the load did not reach both replicas";
    const auto fleet = service.GetFleet();
    for (const auto& replica : fleet.replicas()) ASSERT_EQ(kill(replica.ranks(1).pid(), SIGKILL), 0);
    ASSERT_TRUE(Eventually(seconds(5), [&] {
      const auto now = service.GetFleet();
      return now.queued() > 0 && now.replicas(0).running() + now.replicas(1).running() == 0;
    })) << "they were never down at once with requests waiting";
    for (const auto& replica : fleet.replicas()) {
      ASSERT_TRUE(WaitForNextLife(service, replica.name(), replica.epoch(), seconds(60)));
    }
  }
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_GT(report.replays, 0);
}

TEST(FailoverTest, AKilledLauncherOrSupervisorLeavesNoRankAndNoFile) {
  Sandbox sandbox;
  Service service(testing::TinyTpFlags(1, 2));
  ASSERT_TRUE(service.WaitForReady(1));
  std::minstd_rand random(testing::Seed());

  // The launcher: its ranks are gone, though others are there instead.
  const v1::ReplicaStatus first = service.GetFleet().replicas(0);
  ASSERT_EQ(kill(first.launcher_pid(), SIGKILL), 0);
  EXPECT_TRUE(Eventually(seconds(2), [&] {
    return kill(first.ranks(0).pid(), 0) != 0 && kill(first.ranks(1).pid(), 0) != 0;
  })) << "ranks outlive their launcher by 2 s";
  ASSERT_TRUE(WaitForNextLife(service, first.name(), first.epoch(), seconds(60)));

  // The supervisor of a replica of its own, `unmask replica`, under load.
  const std::vector<std::string> replica = {testing::BinaryPath("unmask"),
                                            "replica",
                                            "--coordinator",
                                            service.fleet_address(),
                                            "--name",
                                            "other",
                                            "--model",
                                            testing::SourcePath("tests/goldens/models/tiny-tp"),
                                            "--tensor-parallel",
                                            "2",
                                            "--threads",
                                            "1",
                                            "--dtype",
                                            "fp32"};
  Load load(&service, testing::kKinds);
  load.Start(6);
  for (int n = 0; n < ByForm(2, 10); ++n) {
    Process supervisor(replica);
    ASSERT_TRUE(service.WaitForReady(2));
    v1::ReplicaStatus other;
    ASSERT_TRUE(Eventually(seconds(30), [&] {
      const auto fleet = service.GetFleet();
      for (const auto& status : fleet.replicas()) {
        if (status.name() == "other") other = status;
      }
      return other.running() > 0;
    }));
    supervisor.Kill(SIGKILL);
    EXPECT_TRUE(Eventually(seconds(5), [&] { return Dead(other.ranks(0).pid()) && Dead(other.ranks(1).pid()); }))
        << "ranks outlive their supervisor by 5 s";
    ASSERT_TRUE(service.WaitForReady(1));
  }
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_GT(report.replays, 0);

  // The end of everything: nothing lives, nothing lies about.
  sandbox.Note();
  EXPECT_THAT(sandbox.Processes(), ::testing::Not(IsEmpty())) << "the sandbox sees no process of the service";
  EXPECT_THAT(sandbox.Files(), ::testing::Not(IsEmpty()));
  kill(service.pid(), SIGKILL);
  EXPECT_TRUE(Eventually(seconds(6), [&] { return sandbox.Processes().empty() && sandbox.Files().empty(); }))
      << sandbox.Processes().size() << " processes and " << ::testing::PrintToString(sandbox.Files()) << " are left";
}

}  // namespace
}  // namespace unmask
