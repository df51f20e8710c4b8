// F1, F2: any process of a replica dies at any instant, and clients see nothing of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/reliability/faults.h"
#include "tests/reliability/histogram.h"
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

// Replicas under `unmask replica` each, which is started again at once when it dies, as an init would.
class Replicas {
 public:
  Replicas(Service* service, const std::vector<std::string>& names) : service_(*service) {
    for (const std::string& name : names) Start(name);
  }

  // A process of a busy replica: a rank, the launcher, or the supervisor.
  std::optional<Victim> Choose(std::minstd_rand* random) {
    std::optional<Victim> victim = ChooseVictim(service_, /*busy=*/true, random);
    if (victim && (*random)() % 4 == 0) {
      victim->role = "supervisor";
      victim->pid = supervisors_[victim->replica]->pid();
    }
    return victim;
  }
  void Kill(const Victim& victim) {
    ASSERT_EQ(kill(victim.pid, SIGKILL), 0) << victim.role;
    if (victim.role == "supervisor") Start(victim.replica);
  }

 private:
  void Start(const std::string& name) {
    supervisors_[name] = std::make_unique<Process>(testing::ReplicaCommand(service_, name, /*ranks=*/2));
  }

  Service& service_;
  std::map<std::string, std::unique_ptr<Process>> supervisors_;
};

struct Death {
  Victim victim;
  Clock::time_point at;
};

// Waits until each of them has a next life that is READY, and notes by role how long that took since the kill. Returns
// whether no replica at all was READY at some time.
bool AwaitRecovery(Service& service, std::vector<Death> deaths, std::map<std::string, Histogram>* recovery) {
  bool all_down = false;
  EXPECT_TRUE(Eventually(seconds(90),
                         [&] {
                           const v1::GetFleetResponse fleet = service.GetFleet();
                           all_down |= std::none_of(
                               fleet.replicas().begin(), fleet.replicas().end(),
                               [](const auto& replica) { return replica.state() == v1::REPLICA_STATE_READY; });
                           for (const v1::ReplicaStatus& replica : fleet.replicas()) {
                             if (replica.state() != v1::REPLICA_STATE_READY) continue;
                             const auto back = std::find_if(deaths.begin(), deaths.end(), [&](const Death& death) {
                               return death.victim.replica == replica.name() && death.victim.epoch < replica.epoch();
                             });
                             if (back == deaths.end()) continue;
                             (*recovery)[back->victim.role].Add(Since(back->at));
                             deaths.erase(back);
                           }
                           return deaths.empty();
                         }))
      << deaths.size() << " did not come back, the first after its " << deaths[0].victim.role << " was killed";
  return all_down;
}

TEST(FailoverTest, AnyProcessKilledAtRandomInstantsCostsNoRequestAndNoBit) {
  const Sandbox sandbox;
  Service service(testing::TinyTpFlags(/*replicas=*/0, /*ranks=*/2));
  Replicas replicas(&service, {"a", "b"});
  ASSERT_TRUE(service.WaitForReady(2));
  Load load(&service, testing::kKinds);
  load.Start(/*clients=*/8);

  std::minstd_rand random(testing::Seed());
  std::map<std::string, Histogram> recovery;
  int all_down = 0;
  int kills = 0;
  for (const int wanted = ByForm(12, 60); kills < wanted;) {
    std::this_thread::sleep_for(milliseconds(random() % 200));
    std::vector<Death> deaths;
    // One, or, each third time, one of each replica.
    const size_t at_once = kills % 4 == 2 ? 2 : 1;
    ASSERT_TRUE(Eventually(seconds(90), [&] {
      const std::optional<Victim> victim = replicas.Choose(&random);
      if (!victim || (!deaths.empty() && victim->replica == deaths[0].victim.replica)) return false;
      replicas.Kill(*victim);
      deaths.push_back({*victim, Clock::now()});
      return deaths.size() == at_once;
    }));
    kills += at_once;
    all_down += AwaitRecovery(service, deaths, &recovery);
    if (HasFailure()) return;
  }
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_GT(report.replays, 0) << "no request was under way on a killed replica";
  EXPECT_GT(all_down, 0) << "one replica was always there";
  EXPECT_EQ(recovery.count("supervisor"), 1u) << "no supervisor was killed";
  printf("%d kills, no replica there after %d of them; %d requests, %d replays\n", kills, all_down, report.answered,
         report.replays);
  for (const auto& [role, histogram] : recovery) printf("%-10s %s\n", role.c_str(), histogram.ToString().c_str());
  if (const char* folder = std::getenv("UNMASK_PLOTS"); folder != nullptr) {
    std::ofstream(std::string(folder) + "/recovery.svg") << testing::DrawHistograms(
        "From the kill of a process to the replica's next READY, by what was killed", recovery);
  }
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
  const std::vector<std::string> replica = testing::ReplicaCommand(service, "other", /*ranks=*/2);
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
