// M1: everything at once, for as long as one likes: UNMASK_NEMESIS_SECONDS (make nemesis). Every request must be
// answered as in peace, or end as its own client made it end; the history that each stream tells must be one that a
// single undisturbed run could have told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>

#include "tests/reliability/faults.h"
#include "tests/reliability/load.h"

namespace unmask {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::CheckHistory;
using testing::ChooseVictim;
using testing::Eventually;
using ::testing::IsEmpty;
using testing::Load;
using testing::MixedRequest;
using testing::Sandbox;
using testing::Service;
using testing::Victim;

enum Fault { kKill, kKillTwo, kFreeze, kHang, kVanish, kFaults };

TEST(NemesisTest, NoFaultCostsARequestOrABit) {
  const char* asked = std::getenv("UNMASK_NEMESIS_SECONDS");
  const seconds time(asked != nullptr ? std::atoi(asked) : testing::ByForm(8, 300));
  Sandbox sandbox;
  Service service(testing::TinyTpFlags(2, 2));
  ASSERT_TRUE(service.WaitForReady(2));
  sandbox.Note();
  Load load(&service, testing::kKinds);
  load.MayConvict();
  load.Start(8);

  std::minstd_rand random(testing::Seed());
  std::array<int, kFaults> done = {};
  const auto end = std::chrono::steady_clock::now() + time;
  // Longer, if by chance nothing that it killed was missed.
  for (auto now = std::chrono::steady_clock::now(); now < end || (load.replays() == 0 && now < end + seconds(30));
       now = std::chrono::steady_clock::now()) {
    std::this_thread::sleep_for(milliseconds(random() % 1500));
    // A hang is the rare one: it takes the watchdog's patience.
    const unsigned draw = random() % 16;
    const Fault fault = draw < 6 ? kKill : draw < 8 ? kKillTwo : draw < 11 ? kFreeze : draw < 12 ? kHang : kVanish;
    if (fault == kVanish) {
      grpc::ClientContext context;
      const auto reader = service.inference().GenerateStream(&context, MixedRequest(random() % testing::kKinds));
      v1::GenerateStreamResponse event;
      for (unsigned events = random() % 8; events > 0 && reader->Read(&event);) --events;
      context.TryCancel();
      const grpc::Status status = reader->Finish();
      EXPECT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::CANCELLED) << status.error_message();
      ++done[fault];
      continue;
    }
    for (int n = fault == kKillTwo ? 2 : 1; n > 0; --n) {
      const std::optional<Victim> victim = ChooseVictim(service, /*busy=*/true, &random);
      if (!victim) continue;
      // A stopped launcher stops nobody: only ranks freeze and hang.
      const bool stops = (fault == kFreeze || fault == kHang) && victim->role != "launcher";
      if (kill(victim->pid, stops ? SIGSTOP : SIGKILL) != 0) continue;
      ++done[fault];
      if (fault != kFreeze || !stops) continue;
      std::this_thread::sleep_for(milliseconds(random() % 1000));
      kill(victim->pid, SIGCONT);
    }
  }
  EXPECT_TRUE(service.WaitForReady(2));
  const Load::Report report = load.Stop();
  printf(
      "%ld s: %d kills, %d double kills, %d freezes, %d hangs, %d vanished clients; %d requests, %d replays, "
      "%d taken for poison\n",
      static_cast<long>(time.count()), done[kKill], done[kKillTwo], done[kFreeze], done[kHang], done[kVanish],
      report.answered, report.replays, report.convicted);
  EXPECT_THAT(report.wrong, IsEmpty());
  // On a starved machine half an hour with 760 kills had one: a step that takes long is hit often.
  EXPECT_LE(report.convicted, (done[kKill] + done[kKillTwo]) / 500);
  EXPECT_GT(report.replays, 0);
  EXPECT_TRUE(Eventually(seconds(2), [&] {
    const v1::GetFleetResponse fleet = service.GetFleet();
    return fleet.queued() + fleet.replicas(0).running() + fleet.replicas(1).running() == 0;
  }));
  EXPECT_EQ(service.End(), 0);
  EXPECT_TRUE(Eventually(seconds(5), [&] { return sandbox.Processes().empty() && sandbox.Files().empty(); }));
}

// The checker of histories is no rubber stamp.
TEST(HistoryTest, AHistoryThatIsWrongIsSeenToBe) {
  Service service(testing::TinyTpFlags(1, 1));
  ASSERT_FALSE(service.address().empty());
  const testing::Streamed good = GenerateStream(service, MixedRequest(0));
  ASSERT_TRUE(good.status.ok());
  EXPECT_EQ(CheckHistory(good), "");
  size_t step = 0;
  while (!good.events[step].has_step()) ++step;

  testing::Streamed lost = good;
  lost.events.erase(lost.events.begin() + step);
  EXPECT_NE(CheckHistory(lost), "");
  testing::Streamed twice = good;
  twice.events.insert(twice.events.begin() + step, good.events[step]);
  EXPECT_NE(CheckHistory(twice), "");
  testing::Streamed swapped = good;
  std::swap(swapped.events[step], swapped.events[step + 1]);
  EXPECT_NE(CheckHistory(swapped), "");
  testing::Streamed other = good;  // As if K/V had been rebuilt from another canvas: another token.
  for (v1::GenerateStreamResponse& event : other.events) {
    if (!event.has_step()) continue;
    for (v1::Commit& commit : *event.mutable_step()->mutable_commits()) {
      const bool first = commit.position() == good.events[0].accepted().prompt_length();
      if (first) commit.set_token_id(commit.token_id() + 1);
    }
  }
  EXPECT_NE(CheckHistory(other), "");
  testing::Streamed cut = good;
  cut.events.pop_back();
  EXPECT_NE(CheckHistory(cut), "");
}

}  // namespace
}  // namespace unmask
