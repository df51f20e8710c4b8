// F15: the wall clock of a whole service jumps by hours. Nothing expires: no request, replica or life. And nothing is
// prolonged: what hangs is replaced, and who is gone comes back, as soon as ever.
#include "absl/time/clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "tests/reliability/faults.h"
#include "tests/reliability/load.h"
#include "tests/support/shifted_clock.h"

namespace unmask {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ByForm;
using testing::CoordinatorOf;
using testing::Eventually;
using ::testing::IsEmpty;
using testing::Load;
using testing::Service;
using testing::ShiftedClock;
using testing::WaitForNextLife;

std::vector<std::string> Flags() {
  std::vector<std::string> flags = testing::TinyTpFlags(/*replicas=*/2, /*ranks=*/2);
  flags.insert(flags.end(), {"--log-format", "json"});
  return flags;
}

// How far ahead of ours the service's clock is, by the stamp of the last request that it logged; in hours.
double HoursAhead(const Service& service) {
  std::istringstream log(service.Log());
  absl::Time last = absl::InfinitePast();
  for (std::string line; std::getline(log, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || json.value("msg", "") != "request") continue;
    absl::ParseTime(absl::RFC3339_full, json.at("ts").get<std::string>(), &last, nullptr);
  }
  return absl::ToDoubleHours(last - absl::Now());
}

// `serve` passes log lines on, a moment later on a busy machine.
bool ComesToBeAhead(const Service& service, double hours) {
  return Eventually(seconds(30), [&] { return std::abs(HoursAhead(service) - hours) < 0.02; });
}

// As Service::WaitForReady, while the coordinator may be away.
bool BothReadyAgain(Service& service) {
  return Eventually(seconds(30), [&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + seconds(2));
    v1::GetFleetResponse fleet;
    if (!service.fleet().GetFleet(&context, v1::GetFleetRequest(), &fleet).ok()) return false;
    return fleet.replicas_size() == 2 && fleet.replicas(0).state() == v1::REPLICA_STATE_READY &&
           fleet.replicas(1).state() == v1::REPLICA_STATE_READY;
  });
}

TEST(ClockTest, AClockThatJumpsUnderLoadExpiresNothing) {
  ShiftedClock clock;
  Service service(Flags());
  ASSERT_TRUE(service.WaitForReady(2));
  const v1::GetFleetResponse before = service.GetFleet();
  Load load(&service, testing::kKinds);
  load.Start(/*clients=*/8);
  std::minstd_rand random(testing::Seed());
  const int jumps = ByForm(6, 100);
  for (int n = 0; n < jumps; ++n) {
    const int hour = static_cast<int>(random() % 7) - 3;  // Of three hours before ours to three hours after.
    const int answered = load.answered();
    clock.Set(hours(hour));
    ASSERT_TRUE(Eventually(seconds(60), [&] { return load.answered() > answered + 20; }));
    EXPECT_TRUE(ComesToBeAhead(service, hour)) << "the service has another clock: " << HoursAhead(service);
  }
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_EQ(report.replays, 0);
  const v1::GetFleetResponse after = service.GetFleet();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(after.replicas(i).epoch(), before.replicas(i).epoch()) << "a replica was lost";
    EXPECT_EQ(after.replicas(i).restarts(), 0u);
  }
  printf("%d jumps, %d requests, %d replays\n", jumps, report.answered, report.replays);
  EXPECT_EQ(service.End(), 0);
}

TEST(ClockTest, AClockThatIsSetBackProlongsNothing) {
  ShiftedClock clock;
  Service service(Flags());
  ASSERT_TRUE(service.WaitForReady(2));
  Load load(&service, testing::kKinds);
  load.AskAgain();
  load.Start(/*clients=*/4);

  // Rank 0 hangs: its supervisor's watchdog. Then the back-off before the next life.
  v1::ReplicaStatus victim = service.GetFleet().replicas(0);
  ASSERT_EQ(kill(victim.ranks(0).pid(), SIGSTOP), 0);
  clock.Set(hours(-1));
  EXPECT_TRUE(WaitForNextLife(service, victim.name(), victim.epoch(), seconds(40))) << "a hung rank is left alone";

  // A launcher dies, and the clock jumps while its successor waits for its turn.
  victim = service.GetFleet().replicas(1);
  ASSERT_EQ(kill(victim.launcher_pid(), SIGKILL), 0);
  std::this_thread::sleep_for(milliseconds(100));
  clock.Set(hours(-2));
  EXPECT_TRUE(WaitForNextLife(service, victim.name(), victim.epoch(), seconds(30)));

  // The coordinator dies: it is started again, and the replicas, which pause between two connections, dial in.
  const pid_t coordinator = CoordinatorOf(service);
  ASSERT_GT(coordinator, 0);
  ASSERT_EQ(kill(coordinator, SIGKILL), 0);
  std::this_thread::sleep_for(milliseconds(200));
  clock.Set(hours(-3));
  EXPECT_TRUE(BothReadyAgain(service)) << "the replicas do not dial in again";

  const int answered = load.answered();
  EXPECT_TRUE(Eventually(seconds(60), [&] { return load.answered() > answered + 10; }));
  EXPECT_TRUE(ComesToBeAhead(service, -3)) << "the service has another clock: " << HoursAhead(service);
  EXPECT_THAT(load.Stop().wrong, IsEmpty());
  EXPECT_EQ(service.End(), 0);
}

}  // namespace
}  // namespace unmask
