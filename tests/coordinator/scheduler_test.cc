#include "coordinator/scheduler.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "tests/coordinator/scripted_model.h"

namespace unmask {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using internal::v1::Step;
using internal::v1::StepResult;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::RunAlone;
using testing::ScriptedModel;
using ::testing::SizeIs;
using testing::TinySpec;

constexpr int kEmbeddingSize = 104;

v1::GenerationOptions MixedOptions(uint64_t i) {
  v1::GenerationOptions options;
  options.set_gen_length(8 + 8 * (i % 3));
  options.set_block_length(8);
  options.set_steps(options.gen_length() / (1 + i % 2));
  options.set_remasking(static_cast<v1::Remasking>(1 + i % 9));
  options.set_cache(static_cast<v1::Cache>(1 + i % 3));
  options.set_temperature(i % 2 ? 0.8f : 0.0f);
  options.set_cfg_scale(i % 5 == 0 ? 1.0f : 0.0f);
  options.set_seed(i);
  return options;
}

std::unique_ptr<Sequence> MixedSequence(uint64_t i) {
  return std::make_unique<DenoisingSequence>(i, TinySpec(2 + i % 7, MixedOptions(i)));
}

// Plans and applies until nothing is left; what came out, by id. The largest number of windows in a step goes to
// *shared.
std::map<uint64_t, v1::GenerateResponse> RunAll(Scheduler* scheduler, ScriptedModel* model, int* shared = nullptr) {
  std::map<uint64_t, v1::GenerateResponse> responses;
  std::vector<Sequence*> started;
  while (auto step = scheduler->Plan({}, &started)) {
    if (shared != nullptr) *shared = std::max(*shared, step->windows_size());
    auto progress = scheduler->Apply(model->Execute(*step));
    EXPECT_TRUE(progress.ok()) << progress.status();
    for (auto& entry : *progress) {
      if (entry.over) responses[entry.over->id()] = entry.over->Response();
    }
  }
  return responses;
}

TEST(SchedulerTest, SequencesThatShareStepsGetTheTextTheyGetAlone) {
  Scheduler scheduler({.kv_positions = 10000, .max_rows = 300}, kEmbeddingSize);
  for (uint64_t i = 1; i <= 32; ++i) {
    auto sequence = MixedSequence(i);
    ASSERT_TRUE(scheduler.Admit(sequence).ok());
  }
  ScriptedModel model;
  int shared = 0;
  const auto responses = RunAll(&scheduler, &model, &shared);
  EXPECT_GE(shared, 8);
  ASSERT_THAT(responses, SizeIs(32));
  for (uint64_t i = 1; i <= 32; ++i) {
    auto alone = MixedSequence(i);
    ScriptedModel own;
    RunAlone(alone.get(), &own);
    EXPECT_TRUE(MessageDifferencer::Equals(alone->Response(), responses.at(i))) << i;
  }
  EXPECT_TRUE(scheduler.empty());
  EXPECT_EQ(scheduler.kv_positions_used(), 0);
}

TEST(SchedulerTest, KvMemoryBoundsWhatRuns) {
  Scheduler scheduler({.kv_positions = 64, .max_rows = 1000}, kEmbeddingSize);
  for (uint64_t i = 1; i <= 10; ++i) {
    auto sequence = MixedSequence(i);
    ASSERT_TRUE(scheduler.Admit(sequence).ok());
  }
  ScriptedModel model;
  std::vector<Sequence*> started;
  bool waited = false;
  int over = 0;
  while (auto step = scheduler.Plan({}, &started)) {
    EXPECT_LE(scheduler.kv_positions_used(), 64);
    waited |= scheduler.waiting() > 0;
    auto progress = scheduler.Apply(model.Execute(*step));
    ASSERT_TRUE(progress.ok());
    for (auto& entry : *progress) over += entry.over != nullptr;
    EXPECT_LE(model.slots(), scheduler.running() + 10);
  }
  EXPECT_TRUE(waited);
  EXPECT_EQ(over, 10);
  EXPECT_THAT(started, SizeIs(10));
}

TEST(SchedulerTest, RowsBoundAStepAndNobodyStarves) {
  Scheduler scheduler({.kv_positions = 10000, .max_rows = 40}, kEmbeddingSize);
  for (uint64_t i = 1; i <= 9; ++i) {
    auto sequence = MixedSequence(i);
    ASSERT_TRUE(scheduler.Admit(sequence).ok());
  }
  ScriptedModel model;
  std::vector<Sequence*> started;
  std::map<uint64_t, int> last_seen;
  for (int n = 0; n < 30; ++n) {
    auto step = scheduler.Plan({}, &started);
    if (!step) break;
    int rows = 0;
    for (const auto& window : step->windows()) {
      rows += window.tokens_size() + window.unconditional_tokens_size();
      EXPECT_LE(n - last_seen[window.sequence()], 9);
      last_seen[window.sequence()] = n;
    }
    EXPECT_TRUE(rows <= 40 || step->windows_size() == 1) << rows;
    ASSERT_TRUE(scheduler.Apply(model.Execute(*step)).ok());
  }
  EXPECT_THAT(last_seen, SizeIs(9));
}

TEST(SchedulerTest, OneStepIsInFlightAtATime) {
  Scheduler scheduler({.kv_positions = 100, .max_rows = 100}, kEmbeddingSize);
  auto sequence = MixedSequence(1);
  ASSERT_TRUE(scheduler.Admit(sequence).ok());
  std::vector<Sequence*> started;
  EXPECT_TRUE(scheduler.Plan({}, &started).has_value());
  EXPECT_FALSE(scheduler.Plan({}, &started).has_value());
  EXPECT_THAT(started, SizeIs(1));
}

TEST(SchedulerTest, InteractiveGoesBeforeBatch) {
  Scheduler scheduler({.kv_positions = 40, .max_rows = 100}, kEmbeddingSize);
  std::vector<Sequence*> started;
  for (uint64_t id : {1, 2, 3, 4}) {
    SequenceSpec spec = TinySpec(4, MixedOptions(3));
    spec.priority = id % 2 ? v1::PRIORITY_BATCH : v1::PRIORITY_INTERACTIVE;
    std::unique_ptr<Sequence> sequence = std::make_unique<DenoisingSequence>(id, std::move(spec));
    ASSERT_TRUE(scheduler.Admit(sequence).ok());
  }
  ScriptedModel model;
  std::vector<uint64_t> order;
  while (auto step = scheduler.Plan({}, &started)) {
    for (Sequence* sequence : started) order.push_back(sequence->id());
    started.clear();
    ASSERT_TRUE(scheduler.Apply(model.Execute(*step)).ok());
  }
  EXPECT_THAT(order, ElementsAre(2, 4, 1, 3));
}

TEST(SchedulerTest, BatchIsNeverPassedOverForEver) {
  Scheduler scheduler({.kv_positions = 40, .max_rows = 100}, kEmbeddingSize);  // Room for one.
  const auto admit = [&](uint64_t id, v1::Priority priority) {
    SequenceSpec spec = TinySpec(4, MixedOptions(3));
    spec.priority = priority;
    std::unique_ptr<Sequence> sequence = std::make_unique<DenoisingSequence>(id, std::move(spec));
    ASSERT_TRUE(scheduler.Admit(sequence).ok());
  };
  admit(1, v1::PRIORITY_BATCH);
  uint64_t next = 2;
  for (int i = 0; i < 3; ++i) admit(next++, v1::PRIORITY_INTERACTIVE);
  ScriptedModel model;
  std::vector<Sequence*> started;
  int before_batch = 0;
  for (bool batch_started = false; !batch_started && before_batch < 30;) {
    auto step = scheduler.Plan({}, &started);
    for (Sequence* sequence : started) {
      batch_started |= sequence->id() == 1;
      before_batch += sequence->id() != 1;
      admit(next++, v1::PRIORITY_INTERACTIVE);  // They never run dry.
    }
    started.clear();
    ASSERT_TRUE(scheduler.Apply(model.Execute(*step)).ok());
  }
  EXPECT_EQ(before_batch, 8);
}

TEST(SchedulerTest, CostBoundsAStepAndInteractiveFillsItFirst) {
  Scheduler scheduler({.kv_positions = 10000, .max_rows = 10000}, kEmbeddingSize);
  for (uint64_t id = 1; id <= 12; ++id) {
    v1::GenerationOptions options;
    options.set_gen_length(16);
    SequenceSpec spec = TinySpec(4, options);
    spec.priority = id <= 8 ? v1::PRIORITY_BATCH : v1::PRIORITY_INTERACTIVE;
    std::unique_ptr<Sequence> sequence = std::make_unique<DenoisingSequence>(id, std::move(spec));
    ASSERT_TRUE(scheduler.Admit(sequence).ok());
  }
  DenoisingSequence measure(100, TinySpec(4, [] {
                              v1::GenerationOptions o;
                              o.set_gen_length(16);
                              return o;
                            }()));
  const double max_cost = 4.5 * measure.NextCost();
  ScriptedModel model;
  std::vector<Sequence*> started;
  std::map<uint64_t, int> took_part;
  for (int n = 0; n < 15; ++n) {
    auto step = scheduler.Plan({.max_cost = max_cost}, &started);
    EXPECT_EQ(step->windows_size(), 4);
    EXPECT_LE(scheduler.running(), 9) << "two steps serve all that run";
    for (const auto& window : step->windows()) ++took_part[window.sequence()];
    ASSERT_TRUE(scheduler.Apply(model.Execute(*step)).ok());
  }
  for (uint64_t id = 9; id <= 12; ++id) EXPECT_GE(took_part[id], 13) << "interactive";
  int batch_steps = 0;
  for (uint64_t id = 1; id <= 8; ++id) batch_steps += took_part[id];
  EXPECT_GE(batch_steps, 1) << "batch";
  EXPECT_LE(batch_steps, 8);
}

TEST(SchedulerTest, WorkLeftIsWhatTheWindowsCost) {
  for (v1::Cache cache : {v1::CACHE_NONE, v1::CACHE_PREFIX, v1::CACHE_DUAL}) {
    v1::GenerationOptions options;
    options.set_gen_length(24);
    options.set_block_length(8);
    options.set_cache(cache);
    options.set_cfg_scale(1);
    DenoisingSequence sequence(1, TinySpec(5, options));
    std::vector<int64_t> promised;
    std::vector<double> costs;
    ScriptedModel model;
    while (!sequence.done()) {
      promised.push_back(sequence.WorkLeft());
      costs.push_back(sequence.NextCost());
      Step step;
      *step.add_windows() = sequence.PlanWindow();
      ASSERT_TRUE(sequence.Advance(model.Execute(step).candidates(0)).ok());
    }
    EXPECT_EQ(sequence.WorkLeft(), 0);
    double left = 0;
    for (int i = static_cast<int>(costs.size()) - 1; i >= 0; --i) {
      left += costs[i];
      EXPECT_NEAR(promised[i], left, 1) << v1::Cache_Name(cache) << " " << i;
    }
  }
}

TEST(SchedulerTest, WhatCanNeverFitIsRefusedAndLeftWithTheCaller) {
  Scheduler scheduler({.kv_positions = 9, .max_rows = 100}, kEmbeddingSize);
  auto sequence = MixedSequence(1);
  EXPECT_EQ(scheduler.Admit(sequence).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(sequence, nullptr);
}

TEST(SchedulerTest, ACancelledSequenceFreesItsKvWithTheNextStep) {
  Scheduler scheduler({.kv_positions = 1000, .max_rows = 1000}, kEmbeddingSize);
  for (uint64_t i : {1, 2}) {
    auto sequence = MixedSequence(i);
    ASSERT_TRUE(scheduler.Admit(sequence).ok());
  }
  ScriptedModel model;
  std::vector<Sequence*> started;
  auto step = scheduler.Plan({}, &started);
  ASSERT_EQ(step->windows_size(), 2);
  ASSERT_NE(scheduler.Cancel(1), nullptr);  // While the step is in flight.
  EXPECT_EQ(scheduler.Cancel(1), nullptr);
  auto progress = scheduler.Apply(model.Execute(*step));
  ASSERT_TRUE(progress.ok());
  EXPECT_THAT(*progress, SizeIs(1));
  step = scheduler.Plan({}, &started);
  EXPECT_THAT(step->release(), ElementsAre(1));
  ASSERT_TRUE(scheduler.Apply(model.Execute(*step)).ok());
  EXPECT_EQ(model.slots(), 1);
  ASSERT_NE(scheduler.Cancel(2), nullptr);
  EXPECT_FALSE(scheduler.Plan({}, &started).has_value());
  EXPECT_THAT(scheduler.TakeReleases(), ElementsAre(2));
  EXPECT_EQ(scheduler.kv_positions_used(), 0);
}

TEST(SchedulerTest, ResultsThatDoNotFitTheStepAreRefusedWhole) {
  Scheduler scheduler({.kv_positions = 1000, .max_rows = 1000}, kEmbeddingSize);
  auto sequence = MixedSequence(5);  // Entropy is asked for... (5 % 9 + 1 = ENTROPY)
  ASSERT_TRUE(scheduler.Admit(sequence).ok());
  ScriptedModel model;
  std::vector<Sequence*> started;
  const Step step = *scheduler.Plan({}, &started);
  const StepResult good = model.Execute(step);
  ASSERT_FALSE(good.candidates(0).entropies().empty());

  std::vector<StepResult> bad(9, good);
  bad[0].set_id(good.id() + 1);
  bad[1].clear_candidates();
  bad[2].add_candidates();
  bad[3].mutable_candidates(0)->mutable_tokens()->RemoveLast();
  bad[4].mutable_candidates(0)->clear_entropies();
  bad[5].mutable_candidates(0)->set_tokens(0, kEmbeddingSize);
  bad[6].set_error("window 0: no such thing");
  bad[7].mutable_candidates(0)->set_confidences(0, std::numeric_limits<float>::quiet_NaN());
  bad[8].mutable_candidates(0)->set_entropies(0, std::numeric_limits<float>::infinity());
  for (const StepResult& result : bad) {
    EXPECT_FALSE(scheduler.Apply(result).ok()) << result.DebugString();
    EXPECT_TRUE(scheduler.step_in_flight());
  }
  EXPECT_TRUE(scheduler.Apply(good).ok());
}

TEST(SchedulerTest, ADeathAtAnyStepChangesNoTextAndSuspectsGoAlone) {
  for (int death = 0; death < 20; ++death) {
    auto scheduler = std::make_unique<Scheduler>(ReplicaLimits{.kv_positions = 1000, .max_rows = 1000}, kEmbeddingSize);
    for (uint64_t i = 1; i <= 6; ++i) {
      auto sequence = MixedSequence(i);
      ASSERT_TRUE(scheduler->Admit(sequence).ok());
    }
    std::map<uint64_t, v1::GenerateResponse> responses;
    ScriptedModel model;
    std::vector<Sequence*> started;
    for (int n = 0; n < death; ++n) {
      auto step = scheduler->Plan({}, &started);
      if (!step) break;
      auto progress = scheduler->Apply(model.Execute(*step));
      ASSERT_TRUE(progress.ok());
      for (auto& entry : *progress) {
        if (entry.over) responses[entry.over->id()] = entry.over->Response();
      }
    }
    const auto lost = scheduler->Plan({}, &started);  // Its result never comes.
    ScriptedModel second;
    Scheduler other({.kv_positions = 1000, .max_rows = 1000}, kEmbeddingSize);
    int suspects = 0;
    for (auto& sequence : scheduler->Abandon("life")) {
      EXPECT_EQ(sequence->replays, 1);
      EXPECT_EQ(sequence->deadly_lives.size(), lost->windows_size() == 1 ? 1 : 0);
      suspects += sequence->suspect;
      ASSERT_TRUE(other.Admit(sequence).ok());
    }
    EXPECT_EQ(suspects, lost ? lost->windows_size() : 0);
    for (int n = 0; n < suspects; ++n) {
      auto step = other.Plan({}, &started);
      EXPECT_EQ(step->windows_size(), 1);
      auto progress = other.Apply(second.Execute(*step));
      ASSERT_TRUE(progress.ok());
      for (auto& entry : *progress) {
        if (entry.over) responses[entry.over->id()] = entry.over->Response();
      }
    }
    for (auto& [id, response] : RunAll(&other, &second)) responses[id] = response;
    ASSERT_THAT(responses, SizeIs(6));
    for (uint64_t i = 1; i <= 6; ++i) {
      auto alone = MixedSequence(i);
      ScriptedModel own;
      RunAlone(alone.get(), &own);
      responses[i].set_replays(0);
      EXPECT_TRUE(MessageDifferencer::Equals(alone->Response(), responses[i])) << i << " after a death at " << death;
    }
  }
}

}  // namespace
}  // namespace unmask
