// More load than a replica can carry, and batch work beside people who wait: on a simulated clock, so that the bounds
// are the promised ones. tests/reliability/overload_test.cc has the same with real processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "coordinator/errors.h"
#include "tests/coordinator/simulated_load.h"

namespace unmask {
namespace {

using testing::SimulatedLoad;
using testing::SimulatedReplica;

constexpr double kHour = 3600;

SequenceSpec Work(int i, v1::Priority priority = v1::PRIORITY_INTERACTIVE) {
  v1::GenerationOptions options;
  options.set_gen_length(64);
  options.set_block_length(32);
  options.set_steps(64);
  options.set_cache(v1::CACHE_DUAL);
  options.set_seed(i);
  SequenceSpec spec = testing::TinySpec(16 + i % 8, options);
  spec.priority = priority;
  return spec;
}

double Percentile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(part * values.size()))];
}

// Clients in a closed loop, from now on: each asks again as soon as it is answered.
void Loop(SimulatedLoad* load, int clients, v1::Priority priority, int* answered,
          std::vector<double>* times = nullptr) {
  struct Client {
    static void Ask(SimulatedLoad* load, int i, v1::Priority priority, int* answered, std::vector<double>* times) {
      load->Submit(Work(i, priority), kHour, [=](const SimulatedLoad::Outcome& outcome) {
        ASSERT_TRUE(outcome.response.ok()) << outcome.refused << outcome.response.status();
        ++*answered;
        if (times != nullptr) times->push_back(outcome.took);
        load->At(load->now(), [=] { Ask(load, i + 1, priority, answered, times); });
      });
    }
  };
  for (int client = 0; client < clients; ++client) Client::Ask(load, client, priority, answered, times);
}

double Capacity(SimulatedReplica replica) {
  SimulatedLoad load(replica);
  int answered = 0;
  Loop(&load, 64, v1::PRIORITY_INTERACTIVE, &answered);
  load.RunUntil(load.now() + 30);  // They drift apart.
  answered = 0;
  load.RunUntil(load.now() + 120);
  return answered / 120.0;
}

struct Tally {
  int offered = 0;
  int good = 0;
  int late = 0;
  int refused = 0;
  double goodput = 0;
};

// Open loop: `rate` requests a second for `seconds`, however they fare.
Tally Offer(SimulatedLoad* load, double rate, double seconds, double deadline, bool blindly = false) {
  Tally tally;
  const double begin = load->now();
  int steadily = 0;  // In time, between the first deadline and the last arrival.
  for (int i = 0; i < rate * seconds; ++i) {
    load->At(begin + i / rate, [&, i] {
      ++tally.offered;
      const auto done = [&](const SimulatedLoad::Outcome& outcome) {
        if (!outcome.refused.ok()) {
          EXPECT_EQ(ErrorReason(outcome.refused), "OVERLOADED");
          EXPECT_EQ(outcome.took, 0) << "it was refused at once";
          ++tally.refused;
        } else if (outcome.late) {
          ++tally.late;
        } else {
          EXPECT_TRUE(outcome.response.ok());
          EXPECT_LE(outcome.took, deadline);
          ++tally.good;
          steadily += load->now() > begin + deadline && load->now() <= begin + seconds;
        }
      };
      blindly ? load->SubmitBlindly(Work(i), deadline, done) : load->Submit(Work(i), deadline, done);
    });
  }
  load->RunUntil(begin + seconds + deadline + 1);
  tally.goodput = steadily / (seconds - deadline);
  return tally;
}

void Print(const char* what, double capacity, const Tally& tally) {
  printf("%s: capacity %.1f/s, goodput %.0f %% of it; of %d: %d in time, %d late, %d refused\n", what, capacity,
         100 * tally.goodput / capacity, tally.offered, tally.good, tally.late, tally.refused);
}

TEST(LoadTest, FiveTimesTheCapacityIsServedInTimeOrRefusedAtOnce) {
  for (const double noise : {0.0, 0.3}) {
    const SimulatedReplica replica{.noise = noise};
    const double capacity = Capacity(replica);
    for (const double deadline : {2.0, 4.0}) {
      SimulatedLoad load(replica);
      Offer(&load, capacity / 2, 2, 1);  // Steps are measured.
      const Tally tally = Offer(&load, 5 * capacity, 60, deadline);
      Print("5x", capacity, tally);
      EXPECT_GE(tally.goodput, 0.95 * capacity) << noise << " " << deadline;
      EXPECT_LE(tally.late, 0.01 * tally.good) << noise << " " << deadline;
      EXPECT_LT(load.most_open(), 3 * capacity * deadline) << "what is open is bounded";
      EXPECT_GE(load.most_shared(), 8);
      const Tally after = Offer(&load, capacity / 2, 5, deadline);
      EXPECT_EQ(after.good, after.offered) << "it is over as soon as the load is";
    }
  }
}

// The wrong variant: without a look at the end all begin, share the steps, and end too late.
TEST(LoadTest, WithoutForesightFiveTimesTheCapacityIsServedTooLate) {
  const double capacity = Capacity({});
  SimulatedLoad load;
  Offer(&load, capacity / 2, 2, 60);
  const Tally tally = Offer(&load, 5 * capacity, 60, 2, /*blindly=*/true);
  Print("5x, blindly", capacity, tally);
  EXPECT_LT(tally.goodput, 0.5 * capacity);
  EXPECT_GT(tally.late, tally.good);
}

TEST(LoadTest, WhatCanBeServedInTimeIsNotRefused) {
  const double capacity = Capacity({});
  SimulatedLoad load;
  const Tally tally = Offer(&load, 0.8 * capacity, 60, 4);
  Print("0.8x", capacity, tally);
  EXPECT_EQ(tally.good, tally.offered);
}

TEST(LoadTest, AsManyStepsFitAsAreInTime) {
  for (const int others : {0, 8}) {
    SimulatedLoad load(SimulatedReplica{.noise = 0.1});
    int answered = 0;
    Loop(&load, 2, v1::PRIORITY_INTERACTIVE, &answered);  // Steps are measured.
    load.RunUntil(load.now() + 5);
    Loop(&load, others, v1::PRIORITY_INTERACTIVE, &answered);
    load.RunUntil(load.now() + 5);
    int32_t before = 0;
    for (const double deadline : {0.02, 0.3, 0.6, 1.2, 60.0}) {
      SequenceSpec spec = Work(7);
      const int32_t steps = load.fleet().StepsWithin(spec, absl::Seconds(deadline));
      printf("beside %d others, %.2f s: %d steps\n", others + 2, deadline, steps);
      EXPECT_EQ(steps % 2, 0) << "two blocks";
      EXPECT_GE(steps, before);
      before = steps;
      if (steps == 0) continue;
      spec.options.set_steps(steps);
      SimulatedLoad::Outcome fitted;
      load.Submit(spec, deadline, [&](const SimulatedLoad::Outcome& outcome) { fitted = outcome; });
      while (!fitted.over) load.RunUntil(load.now() + 0.01);
      EXPECT_TRUE(fitted.response.ok()) << fitted.refused << " late: " << fitted.late;
      EXPECT_EQ(fitted.response->usage().steps(), steps);
      if (steps < 64) {
        EXPECT_GE(fitted.took, 0.5 * deadline) << "what the deadline allowed was not spent";
      }
    }
    EXPECT_EQ(before, 64) << "no more than asked for";
    EXPECT_EQ(load.fleet().StepsWithin(Work(7), absl::InfiniteDuration()), 64);
    EXPECT_EQ(load.fleet().StepsWithin(Work(7), absl::Milliseconds(20)), 0) << "not even one a block";
  }
}

// Interactive requests one after the other; their times.
std::vector<double> Trickle(SimulatedLoad* load, int count) {
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    bool over = false;
    load->Submit(Work(i), kHour, [&](const SimulatedLoad::Outcome& outcome) {
      EXPECT_TRUE(outcome.response.ok());
      times.push_back(outcome.took);
      over = true;
    });
    while (!over) load->RunUntil(load->now() + 0.01);
    load->RunUntil(load->now() + 0.05 * (i % 7));
  }
  return times;
}

TEST(LoadTest, BatchWorkThatSaturatesLeavesInteractiveRequestsTheirLatency) {
  for (const SimulatedReplica& replica :
       {SimulatedReplica{}, SimulatedReplica{.step = 0.02, .row = 0.001}, SimulatedReplica{.kv_positions = 800}}) {
    SimulatedLoad quiet(replica);
    const std::vector<double> alone = Trickle(&quiet, 200);
    SimulatedLoad load(replica);
    int answered = 0;
    Loop(&load, 64, v1::PRIORITY_BATCH, &answered);
    load.RunUntil(load.now() + 5);
    Trickle(&load, 1);  // The first comes unexpected.
    answered = 0;
    const double begin = load.now();
    const std::vector<double> beside = Trickle(&load, 200);
    printf("interactive alone p50 %.3f s p99 %.3f s, beside batch p50 %.3f s p99 %.3f s; batch %.1f/s\n",
           Percentile(alone, 0.5), Percentile(alone, 0.99), Percentile(beside, 0.5), Percentile(beside, 0.99),
           answered / (load.now() - begin));
    EXPECT_LE(Percentile(beside, 0.99), 2 * Percentile(alone, 0.99));
    EXPECT_GT(answered, 20) << "batch work goes on";

    // The wrong variant: the same work without its priority.
    SimulatedLoad equals(replica);
    Loop(&equals, 64, v1::PRIORITY_INTERACTIVE, &answered);
    equals.RunUntil(equals.now() + 5);
    EXPECT_GT(Percentile(Trickle(&equals, 20), 0.5), 2 * Percentile(alone, 0.5));
  }
}

TEST(LoadTest, InteractiveWorkThatSaturatesDoesNotStarveBatchWork) {
  SimulatedLoad load;
  int interactive = 0;
  int batch = 0;
  Loop(&load, 200, v1::PRIORITY_INTERACTIVE, &interactive);
  Loop(&load, 4, v1::PRIORITY_BATCH, &batch);
  load.RunUntil(load.now() + 120);
  printf("in two minutes: %d interactive, %d batch\n", interactive, batch);
  EXPECT_GE(batch, 4);
  EXPECT_GT(interactive, batch);
}

}  // namespace
}  // namespace unmask
