#include "coordinator/denoising_sequence.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "tests/coordinator/scripted_model.h"

namespace unmask {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using internal::v1::Candidates;
using internal::v1::Step;
using internal::v1::Window;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::RunAlone;
using testing::ScriptedModel;
using testing::TinySpec;

v1::GenerationOptions Options(int gen_length, int block_length, int steps) {
  v1::GenerationOptions options;
  options.set_gen_length(gen_length);
  options.set_block_length(block_length);
  options.set_steps(steps);
  return options;
}

constexpr v1::Cache kCaches[] = {v1::CACHE_NONE, v1::CACHE_PREFIX, v1::CACHE_DUAL};

Candidates Scripted(const Window& window, const std::vector<int32_t>& tokens, const std::vector<float>& confidences) {
  EXPECT_EQ(window.sample_size(), static_cast<int>(tokens.size()));
  Candidates candidates;
  candidates.mutable_tokens()->Add(tokens.begin(), tokens.end());
  candidates.mutable_confidences()->Add(confidences.begin(), confidences.end());
  return candidates;
}

TEST(SequenceTest, EveryCombinationOfOptionsRevealsTheWholeCanvas) {
  int combinations = 0;
  for (int strategy = 1; strategy <= v1::Remasking_MAX; ++strategy) {
    for (v1::Cache cache : kCaches) {
      for (float cfg_scale : {0.0f, 1.5f}) {
        for (float temperature : {0.0f, 0.7f}) {
          for (int eos_switches = 0; eos_switches < 4; ++eos_switches) {
            v1::GenerationOptions options = Options(24, 8, 12);
            options.set_remasking(static_cast<v1::Remasking>(strategy));
            options.set_cache(cache);
            options.set_cfg_scale(cfg_scale);
            options.set_temperature(temperature);
            options.set_logits_eos_inf(eos_switches & 1);
            options.set_confidence_eos_eot_inf(eos_switches & 2);
            DenoisingSequence sequence(1, TinySpec(5, options));
            ScriptedModel model;
            ASSERT_GT(RunAlone(&sequence, &model), 0);
            const v1::GenerateResponse response = sequence.Response();
            EXPECT_EQ(response.canvas_size(), 29);
            EXPECT_EQ(std::count(response.canvas().begin(), response.canvas().end(), 99), 0);
            EXPECT_LE(response.usage().steps(), 12);
            EXPECT_EQ(response.usage().forward_passes(), response.usage().steps());
            EXPECT_EQ(response.exactness().exact(), cache == v1::CACHE_NONE);
            ++combinations;
          }
        }
      }
    }
  }
  EXPECT_EQ(combinations, 9 * 3 * 2 * 2 * 4);
}

TEST(SequenceTest, FixedCountStrategiesSpendTheirSteps) {
  for (v1::Remasking strategy : {v1::REMASKING_LOW_CONFIDENCE, v1::REMASKING_RANDOM, v1::REMASKING_LEFT_TO_RIGHT}) {
    v1::GenerationOptions options = Options(24, 8, 9);  // 8 masks in 3 steps: 3, 3, 2.
    options.set_remasking(strategy);
    DenoisingSequence sequence(1, TinySpec(5, options));
    ScriptedModel model;
    EXPECT_EQ(RunAlone(&sequence, &model), 9);
  }
}

TEST(SequenceTest, SurplusStepsAreNotRun) {
  DenoisingSequence sequence(1, TinySpec(5, Options(8, 8, 1 << 30)));
  ScriptedModel model;
  EXPECT_EQ(RunAlone(&sequence, &model), 8);
}

TEST(SequenceTest, WindowsFollowTheCachePolicy) {
  for (v1::Cache cache : kCaches) {
    v1::GenerationOptions options = Options(16, 8, 16);
    options.set_cache(cache);
    DenoisingSequence sequence(1, TinySpec(4, options));
    ScriptedModel model;
    for (int i = 0; !sequence.done(); ++i) {
      const Window window = sequence.PlanWindow();
      const bool block_start = i % 8 == 0;
      const int block_begin = 4 + 8 * (i / 8);
      const int begin = cache == v1::CACHE_NONE || block_start ? 0 : block_begin;
      const int end = cache == v1::CACHE_DUAL && !block_start ? block_begin + 8 : 20;
      EXPECT_EQ(window.begin(), begin);
      EXPECT_EQ(window.begin() + window.tokens_size(), end);
      EXPECT_EQ(window.tokens_size(), sequence.NextRows());
      EXPECT_EQ(window.sample_size(), 8 - i % 8);
      EXPECT_GE(window.sample(0), block_begin);
      Step step;
      *step.add_windows() = window;
      ASSERT_TRUE(sequence.Advance(model.Execute(step).candidates(0)).ok());
    }
  }
}

// Runs the sequence on replicas that die before the windows in `deaths`. `rebuild` sees each rebuilding window, and the
// one that would have come had nobody died.
using RebuildHook = std::function<void(Window* rebuilding, const Window& planned)>;
v1::GenerateResponse RunWithDeaths(const v1::GenerationOptions& options, const std::set<int>& deaths,
                                   const RebuildHook& rebuild = {}) {
  DenoisingSequence sequence(1, TinySpec(6, options));
  ScriptedModel model;
  Window planned;
  for (int i = 0; !sequence.done(); ++i) {
    if (deaths.count(i)) {
      planned = sequence.PlanWindow();
      model = ScriptedModel();
      sequence.LoseKv();
    }
    Step step;
    Window* window = step.add_windows();
    *window = sequence.PlanWindow();
    if (rebuild && window->sample().empty()) rebuild(window, planned);
    EXPECT_TRUE(sequence.Advance(model.Execute(step).candidates(0)).ok());
  }
  return sequence.Response();
}

TEST(SequenceTest, ADeathBeforeAnyWindowChangesNoBit) {
  int rebuilt = 0;
  for (int strategy = 1; strategy <= v1::Remasking_MAX; ++strategy) {
    for (v1::Cache cache : kCaches) {
      v1::GenerationOptions options = Options(16, 8, 8);
      options.set_remasking(static_cast<v1::Remasking>(strategy));
      options.set_cache(cache);
      options.set_cfg_scale(0.5f);
      options.set_temperature(0.5f);
      const v1::GenerateResponse undisturbed = RunWithDeaths(options, {});
      for (int death = 0; death < 8; ++death) {
        const auto count = [&](Window*, const Window&) { ++rebuilt; };
        const v1::GenerateResponse replayed = RunWithDeaths(options, {death, death + 1, death + 3}, count);
        EXPECT_TRUE(MessageDifferencer::Equals(undisturbed, replayed)) << v1::Remasking_Name(strategy) << " " << death;
      }
    }
  }
  EXPECT_GT(rebuilt, 100);
}

TEST(SequenceTest, RebuildingFromTodaysTokensWouldChangeTexts) {
  for (v1::Cache cache : {v1::CACHE_PREFIX, v1::CACHE_DUAL}) {
    v1::GenerationOptions options = Options(16, 8, 16);
    options.set_cache(cache);
    int planted = 0;
    const RebuildHook from_todays_tokens = [&](Window* rebuilding, const Window& planned) {
      for (int i = 0; i < planned.tokens_size(); ++i) {
        const int position = planned.begin() + i;
        planted += rebuilding->tokens(position) != planned.tokens(i);
        rebuilding->set_tokens(position, planned.tokens(i));
      }
    };
    const v1::GenerateResponse undisturbed = RunWithDeaths(options, {});
    EXPECT_FALSE(MessageDifferencer::Equals(undisturbed, RunWithDeaths(options, {5}, from_todays_tokens)));
    EXPECT_GT(planted, 0);
  }
}

TEST(SequenceTest, TheAnswerEndsAtTheFirstEosOnceAllBeforeItIsDecided) {
  for (int32_t end : {98, 97}) {
    DenoisingSequence sequence(1, TinySpec(2, Options(4, 4, 4)));
    // Positions 2..5. EOS at 4 is revealed first; what is after it never.
    ASSERT_TRUE(sequence.Advance(Scripted(sequence.PlanWindow(), {5, 6, end, 7}, {.1f, .2f, .9f, .3f})).ok());
    EXPECT_FALSE(sequence.done());
    ASSERT_TRUE(sequence.Advance(Scripted(sequence.PlanWindow(), {5, 6, 7}, {.1f, .2f, .15f})).ok());
    EXPECT_FALSE(sequence.done()) << "position 2 is still a mask";
    ASSERT_TRUE(sequence.Advance(Scripted(sequence.PlanWindow(), {5, 7}, {.4f, .3f})).ok());
    ASSERT_TRUE(sequence.done());
    const v1::GenerateResponse response = sequence.Response();
    EXPECT_THAT(response.token_ids(), ElementsAre(5, 6, end, 98));
    EXPECT_THAT(response.confidences(), ElementsAre(.4f, .2f, .9f, 0));
    EXPECT_EQ(response.finish_reason(), v1::FINISH_REASON_EOS);
    EXPECT_EQ(response.usage().completion_tokens(), 3);
    EXPECT_EQ(response.usage().steps(), 3);
  }
}

TEST(SequenceTest, ParityStopsNothingEarly) {
  v1::GenerationOptions options = Options(4, 4, 4);
  options.set_reference_parity(true);
  DenoisingSequence sequence(1, TinySpec(2, options));
  EXPECT_EQ(sequence.PlanWindow().sampling().suppressed_size(), 0);
  EXPECT_EQ(sequence.PlanWindow().sampling().token_bound(), 0);
  ASSERT_TRUE(sequence.Advance(Scripted(sequence.PlanWindow(), {98, 6, 7, 8}, {.9f, .2f, .3f, .4f})).ok());
  EXPECT_FALSE(sequence.done());
  ScriptedModel model;
  RunAlone(&sequence, &model);
  EXPECT_EQ(sequence.Response().finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(sequence.Response().usage().completion_tokens(), 4);
}

TEST(SequenceTest, InParityAProposedMaskSpendsItsTurnAndStays) {
  v1::GenerationOptions options = Options(4, 4, 4);
  options.set_reference_parity(true);
  DenoisingSequence sequence(1, TinySpec(2, options));
  for (int i = 0; i < 4; ++i) {
    ASSERT_FALSE(sequence.done());
    const int masks = sequence.PlanWindow().sample_size();
    std::vector<int32_t> tokens(masks, 5);
    std::vector<float> confidences(masks, 0.1f);
    tokens[0] = 99;  // The mask itself, and surest of all.
    confidences[0] = 0.9f;
    ASSERT_TRUE(sequence.Advance(Scripted(sequence.PlanWindow(), tokens, confidences)).ok());
  }
  ASSERT_TRUE(sequence.done());
  EXPECT_THAT(sequence.Response().token_ids(), Each(99));
}

TEST(SequenceTest, ParityRunsFastDllmsSparePass) {
  struct Case {
    v1::Cache cache;
    v1::Remasking remasking;
    int steps;
    int passes;  // With everything revealed in each block's first pass.
  };
  for (const Case& c :
       {Case{v1::CACHE_DUAL, v1::REMASKING_CONFIDENCE_THRESHOLD, 8, 4},
        Case{v1::CACHE_PREFIX, v1::REMASKING_CONFIDENCE_THRESHOLD, 8, 4},
        Case{v1::CACHE_NONE, v1::REMASKING_CONFIDENCE_THRESHOLD, 8, 2},
        Case{v1::CACHE_DUAL, v1::REMASKING_FACTOR, 8, 2}, Case{v1::CACHE_DUAL, v1::REMASKING_LOW_CONFIDENCE, 2, 2}}) {
    v1::GenerationOptions options = Options(8, 4, c.steps);
    options.set_reference_parity(true);
    options.set_cache(c.cache);
    options.set_remasking(c.remasking);
    DenoisingSequence sequence(1, TinySpec(3, options));
    while (!sequence.done()) {
      const int masks = sequence.PlanWindow().sample_size();
      ASSERT_TRUE(sequence
                      .Advance(Scripted(sequence.PlanWindow(), std::vector<int32_t>(masks, 5),
                                        std::vector<float>(masks, 0.99f)))
                      .ok());
    }
    EXPECT_EQ(sequence.Response().usage().forward_passes(), c.passes);
  }
}

TEST(SequenceTest, AdaptiveStrategiesCommitAllInTheLastAllowedStep) {
  v1::GenerationOptions options = Options(8, 8, 3);
  options.set_remasking(v1::REMASKING_CONFIDENCE_THRESHOLD);
  options.set_threshold(1.0f);  // One a step, if it were not for the bound.
  DenoisingSequence sequence(1, TinySpec(3, options));
  ScriptedModel model;
  EXPECT_EQ(RunAlone(&sequence, &model), 3);
}

TEST(SequenceTest, GuidanceMasksWhatWasGivenAndShowsWhatWasDecided) {
  v1::GenerationOptions options = Options(4, 4, 4);
  options.set_cfg_scale(1);
  DenoisingSequence sequence(1, TinySpec(3, options));
  EXPECT_THAT(sequence.PlanWindow().unconditional_tokens(), ElementsAre(99, 99, 99, 99, 99, 99, 99));
  ASSERT_TRUE(sequence.Advance(Scripted(sequence.PlanWindow(), {5, 6, 7, 8}, {.1f, .2f, .3f, .4f})).ok());
  EXPECT_THAT(sequence.PlanWindow().tokens(), ElementsAre(1, 2, 3, 99, 99, 99, 8));
  EXPECT_THAT(sequence.PlanWindow().unconditional_tokens(), ElementsAre(99, 99, 99, 99, 99, 99, 8));
  EXPECT_EQ(sequence.KvPositions(), 14);
}

TEST(SequenceTest, EveryCommitIsToldOnceAndInOrder) {
  SequenceSpec spec = TinySpec(5, Options(24, 8, 12));
  spec.events = true;
  spec.output.set_proposals(true);
  DenoisingSequence sequence(1, std::move(spec));
  ScriptedModel model;
  std::vector<int32_t> canvas(29, 99);
  int blocks = 0, proposals = 0, steps = 0;
  while (!sequence.done()) {
    Step step;
    *step.add_windows() = sequence.PlanWindow();
    auto outcome = sequence.Advance(model.Execute(step).candidates(0));
    ASSERT_TRUE(outcome.ok());
    for (const auto& event : outcome->events) {
      if (event.has_block()) {
        EXPECT_EQ(event.block().block(), blocks++);
      }
      if (!event.has_step()) continue;
      EXPECT_EQ(event.step().block(), blocks);
      EXPECT_EQ(event.step().step(), steps % 4);
      ++steps;
      proposals += event.step().proposals_size();
      for (const v1::Commit& commit : event.step().commits()) {
        EXPECT_EQ(canvas[commit.position()], 99);
        canvas[commit.position()] = commit.token_id();
      }
      EXPECT_EQ(event.step().masks_left(), 24 - 2 * steps);
    }
  }
  EXPECT_EQ(blocks, 3);
  EXPECT_EQ(proposals, 3 * (6 + 4 + 2));
  const v1::GenerateResponse response = sequence.Response();
  EXPECT_TRUE(std::equal(canvas.begin() + 5, canvas.end(), response.canvas().begin() + 5));
}

TEST(SequenceTest, QuantisedWeightsAreDeclared) {
  DenoisingSequence sequence(1, TinySpec(3, Options(4, 4, 4)));
  ScriptedModel model;
  ASSERT_GT(RunAlone(&sequence, &model), 0);
  sequence.numerics = "weights:ab dtype:bf16 ranks:1 cpu bf16";
  EXPECT_TRUE(sequence.Response().exactness().exact());
  sequence.numerics = "weights:ab dtype:int8 ranks:1 cpu bf16+int8";
  EXPECT_FALSE(sequence.Response().exactness().exact());
  EXPECT_THAT(sequence.Response().exactness().approximations(), ElementsAre("INT8"));
}

TEST(SequenceTest, LogitsThatAreNotFiniteEndItWithAnError) {
  DenoisingSequence sequence(1, TinySpec(3, Options(4, 4, 4)));
  Candidates candidates;
  candidates.set_not_finite(true);
  EXPECT_EQ(sequence.Advance(candidates).status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace unmask
