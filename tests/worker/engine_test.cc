// What an engine promises whatever the number of ranks: neighbours do not matter, windows and horizons are the whole of
// every cache policy, and a bad step changes nothing.
#include "worker/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tests/support/golden.h"
#include "tests/worker/made_checkpoint.h"
#include "tests/worker/rank_harness.h"
#include "worker/parts.h"

namespace unmask {
namespace {

using internal::v1::Candidates;
using internal::v1::Step;
using internal::v1::StepResult;
using internal::v1::Window;
using testing::FullWindow;
using ::testing::HasSubstr;
using testing::PartWindow;
using testing::RaggedConfig;
using testing::RankHarness;
using testing::Ranks;
using testing::SourcePath;
using testing::TempFolder;

std::string TinyGqa() { return SourcePath("tests/goldens/models/tiny-gqa"); }

std::vector<int32_t> RandomTokens(uint32_t seed, int count, int below) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(static_cast<int32_t>(random() % below));
  return tokens;
}

Step StepOf(std::vector<Window> windows) {
  Step step;
  for (Window& window : windows) *step.add_windows() = std::move(window);
  return step;
}

void AskForAll(Window* window) {
  window->mutable_sampling()->set_margin(true);
  window->mutable_sampling()->set_entropy(true);
}

Window Guided(Window window, const std::vector<int32_t>& unconditional, float cfg_scale) {
  for (int i = 0; i < window.tokens_size(); ++i) window.add_unconditional_tokens(unconditional[window.begin() + i]);
  window.set_cfg_scale(cfg_scale);
  return window;
}

// Every float's bits count.
std::string Bits(const Candidates& candidates) { return candidates.SerializeAsString(); }

// --- Neighbours
// ---------------------------------------------------------------------------------------------------------

// One sequence's road: a full window, then one of its middle, guided or not, with noise.
std::vector<Window> Road(uint64_t sequence, int length, bool guided) {
  const auto canvas = RandomTokens(static_cast<uint32_t>(sequence), length, 480);
  const auto bare = RandomTokens(static_cast<uint32_t>(sequence) + 99, length, 480);
  std::vector<Window> road = {FullWindow(sequence, canvas), PartWindow(sequence, canvas, length / 3, length / 2 + 1),
                              PartWindow(sequence, canvas, length / 3, length)};
  for (Window& window : road) {
    if (guided) window = Guided(window, bare, 1.5f);
    AskForAll(&window);
    window.mutable_sampling()->set_temperature(0.7f);
    window.mutable_sampling()->set_seed(sequence);
  }
  return road;
}

class SamenessTest : public ::testing::TestWithParam<std::tuple<std::string, bool>> {};
INSTANTIATE_TEST_SUITE_P(DTypes, SamenessTest,
                         ::testing::Combine(::testing::Values("fp32", "bf16", "int8"), ::testing::Bool()));

TEST_P(SamenessTest, AWindowAloneAndAmongSevenStrangersHasTheSameBits) {
  const auto& [dtype, guided] = GetParam();
  RankHarness rank(TinyGqa(), dtype, Ranks());
  const auto road = Road(7, 41, guided);
  std::vector<std::string> alone;
  for (const Window& window : road) alone.push_back(Bits(rank.Run(StepOf({window})).candidates(0)));
  rank->engine()->Forget();

  std::vector<std::vector<Window>> strangers;
  for (int i = 0; i < 7; ++i) strangers.push_back(Road(100 + i, 20 + 17 * i, i % 2 == 0));
  for (size_t turn = 0; turn < road.size(); ++turn) {
    std::vector<Window> windows;
    for (int i = 0; i < 3; ++i) windows.push_back(strangers[i][turn]);
    windows.push_back(road[turn]);
    for (int i = 3; i < 7; ++i) windows.push_back(strangers[i][turn]);
    const StepResult result = rank.Run(StepOf(windows));
    ASSERT_EQ(result.candidates_size(), 8);  // They did share the step.
    EXPECT_TRUE(Bits(result.candidates(3)) == alone[turn]) << "window " << turn;
  }
}

TEST_P(SamenessTest, WhatIsSampledBesideAPositionDoesNotMatter) {
  const auto& [dtype, guided] = GetParam();
  RankHarness rank(TinyGqa(), dtype, Ranks());
  Window window = Road(3, 30, guided)[0];
  const Candidates all = rank.Run(StepOf({window})).candidates(0);
  window.set_sequence(4);
  window.clear_sample();
  for (const int position : {2, 3, 17}) window.add_sample(position);
  const Candidates some = rank.Run(StepOf({window})).candidates(0);
  int i = 0;
  for (const int position : {2, 3, 17}) {
    EXPECT_EQ(some.tokens(i), all.tokens(position));
    EXPECT_EQ(some.confidences(i), all.confidences(position));
    EXPECT_EQ(some.margins(i), all.margins(position));
    EXPECT_EQ(some.entropies(i), all.entropies(position));
    ++i;
  }
}

TEST(ThreadsTest, ThreadsChangeNoBit) {
  const Window window = Road(5, 60, true)[0];
  RankHarness one(TinyGqa(), "fp32", Ranks(), 1);
  RankHarness three(TinyGqa(), "fp32", Ranks(), 3);
  EXPECT_TRUE(Bits(one.Run(StepOf({window})).candidates(0)) == Bits(three.Run(StepOf({window})).candidates(0)));
}

class PartsTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(DTypes, PartsTest, ::testing::Values("fp32", "bf16", "int8"));

TEST_P(PartsTest, AStepInPartsHasTheBitsOfOneThread) {
  RankHarness one(TinyGqa(), GetParam(), Ranks(), 1);
  RankHarness three(TinyGqa(), GetParam(), Ranks(), 3);
  const bool apart = Ranks()->size() == 1 && three->backend()->parts_at_once() == 3;
  ASSERT_EQ(three->model()->parts_at_once(), apart ? 3 : 1);
  std::vector<std::vector<Window>> roads;
  for (int i = 0; i < 9; ++i) roads.push_back(Road(100 + i, 30 + 5 * i, i % 2 == 0));
  for (size_t turn = 0; turn < roads[0].size(); ++turn) {
    std::vector<Window> windows;
    std::vector<int64_t> rows;
    for (const auto& road : roads) {
      windows.push_back(road[turn]);
      rows.push_back(road[turn].tokens_size() + road[turn].unconditional_tokens_size());
    }
    ASSERT_GE(PartSizes(rows, 3).size(), 3u);  // There is something to compute apart.
    const StepResult alone = one.Run(StepOf(windows)), shared = three.Run(StepOf(windows));
    ASSERT_EQ(alone.candidates_size(), 9);
    for (int i = 0; i < 9; ++i)
      EXPECT_TRUE(Bits(alone.candidates(i)) == Bits(shared.candidates(i))) << turn << " " << i;
  }
}

// --- Windows and horizons
// -----------------------------------------------------------------------------------------------

float LargestDifference(const std::vector<std::vector<float>>& a, const std::vector<std::vector<float>>& b) {
  float largest = 0;
  EXPECT_EQ(a.size(), b.size());
  for (size_t row = 0; row < a.size(); ++row) {
    for (size_t i = 0; i < a[row].size(); ++i) {
      const float difference = std::abs(a[row][i] - b[row][i]);
      largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
    }
  }
  return largest;
}

TEST(WindowTest, RecomputingABlockOfUnchangedTokensChangesNothing) {
  RankHarness rank(TinyGqa(), "fp32", Ranks());
  const auto canvas = RandomTokens(1, 40, 480);
  const Candidates full = rank.Run(StepOf({FullWindow(1, canvas)})).candidates(0);
  const Candidates block = rank.Run(StepOf({PartWindow(1, canvas, 10, 20)})).candidates(0);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(block.tokens(i), full.tokens(10 + i));
    EXPECT_EQ(block.confidences(i), full.confidences(10 + i));  // K/V is what the full pass wrote: the very bits.
  }
}

TEST(WindowTest, ABlockSeesItsOwnNewTokensAndTheOldKeysOfOthers) {
  RankHarness rank(TinyGqa(), "fp32", Ranks());
  const auto old_canvas = RandomTokens(1, 40, 480);
  auto new_canvas = old_canvas;
  new_canvas[12] = 33;  // In the block
  new_canvas[30] = 44;  // and outside it, where nobody recomputes.
  rank.Run(StepOf({FullWindow(1, old_canvas)}));
  rank.Run(StepOf({PartWindow(1, new_canvas, 10, 20)}));
  const auto block = rank.Logits();
  rank.Run(StepOf({FullWindow(2, old_canvas)}));
  const auto stale = rank.Logits();
  EXPECT_GT(LargestDifference(block, {stale.begin() + 10, stale.begin() + 20}), 1e-2f);

  // Position 30's new token is unknown to the block: with it or without it, the same bits.
  auto half_new = new_canvas;
  half_new[30] = old_canvas[30];
  rank.Run(StepOf({FullWindow(3, old_canvas)}));
  rank.Run(StepOf({PartWindow(3, half_new, 10, 20)}));
  EXPECT_EQ(LargestDifference(block, rank.Logits()), 0);
}

TEST(WindowTest, AStepThatSamplesNothingWritesTheSameKeysAndValues) {
  RankHarness rank(TinyGqa(), "fp32", Ranks());
  const auto canvas = RandomTokens(2, 32, 480);
  Window rebuild = FullWindow(1, canvas);
  rebuild.clear_sample();
  const StepResult result = rank.Run(StepOf({rebuild}));
  EXPECT_EQ(result.candidates(0).tokens_size(), 0);
  const Candidates rebuilt = rank.Run(StepOf({PartWindow(1, canvas, 8, 16)})).candidates(0);
  rank.Run(StepOf({FullWindow(2, canvas)}));
  const Candidates sampled = rank.Run(StepOf({PartWindow(2, canvas, 8, 16)})).candidates(0);
  EXPECT_TRUE(Bits(rebuilt) == Bits(sampled));
}

TEST(WindowTest, AHorizonHidesWhatLiesBeyondIt) {
  RankHarness rank(TinyGqa(), "fp32", Ranks());
  const auto canvas = RandomTokens(3, 24, 480);
  Window hidden = FullWindow(1, canvas);
  hidden.clear_horizons();
  for (int i = 0; i < 24; ++i) hidden.add_horizons(i < 16 ? 16 : 24);
  rank.Run(StepOf({hidden}));
  auto logits = rank.Logits();
  // The first sixteen are what they are in a canvas that ends there.
  rank.Run(StepOf({FullWindow(2, {canvas.begin(), canvas.begin() + 16})}));
  logits.resize(16);
  EXPECT_EQ(LargestDifference(logits, rank.Logits()), 0);
}

TEST(WindowTest, GuidanceCombinesTwoBranchesWithTheirOwnKeys) {
  RankHarness rank(TinyGqa(), "fp32", Ranks());
  const auto canvas = RandomTokens(4, 30, 480);
  const auto bare = RandomTokens(5, 30, 480);
  rank.Run(StepOf({FullWindow(1, canvas)}));
  const auto c = rank.Logits();
  rank.Run(StepOf({FullWindow(2, bare)}));
  const auto u = rank.Logits();
  const float cfg_scale = 1.5f;
  const Candidates guided = rank.Run(StepOf({Guided(FullWindow(3, canvas), bare, cfg_scale)})).candidates(0);
  for (size_t row = 0; row < c.size(); ++row) {
    std::vector<double> logits;
    for (size_t i = 0; i < c[row].size(); ++i) logits.push_back(u[row][i] + (cfg_scale + 1) * (c[row][i] - u[row][i]));
    const auto best = std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const double logit : logits) sum += std::exp(logit - *best);
    EXPECT_EQ(guided.tokens(row), best - logits.begin());
    EXPECT_NEAR(guided.confidences(row), 1 / sum, 1e-4);
  }
}

TEST(WindowTest, AskedIdsHaveTheirLogProbabilities) {
  RankHarness rank(TinyGqa(), "fp32", Ranks());
  const auto canvas = RandomTokens(7, 24, 480);
  Window window = PartWindow(1, canvas, 0, 24);
  const auto asked = RandomTokens(8, 24, 500);  // All over the ranks' ids.
  window.mutable_asked()->Add(asked.begin(), asked.end());
  const Candidates candidates = rank.Run(StepOf({window, FullWindow(2, canvas)})).candidates(0);
  const auto logits = rank.Logits();
  ASSERT_EQ(candidates.log_probabilities_size(), 24);
  for (int row = 0; row < 24; ++row) {
    double sum = 0;
    for (const float logit : logits[row]) sum += std::exp(static_cast<double>(logit));
    const double expected = logits[row][asked[row]] - std::log(sum);
    EXPECT_NEAR(candidates.log_probabilities(row), expected, 1e-5 * (1 - expected));
  }
  // Nobody pays who does not ask, and the rest is as without.
  EXPECT_EQ(rank.Run(StepOf({FullWindow(3, canvas)})).candidates(0).log_probabilities_size(), 0);
  Candidates without = candidates;
  without.clear_log_probabilities();
  EXPECT_EQ(Bits(without), Bits(rank.Run(StepOf({FullWindow(3, canvas)})).candidates(0)));
}

// --- Ranks
// --------------------------------------------------------------------------------------------------------------

class RaggedRanksTest : public ::testing::TestWithParam<std::tuple<bool, DType>> {};
INSTANTIATE_TEST_SUITE_P(TiedOrNot, RaggedRanksTest,
                         ::testing::Combine(::testing::Bool(), ::testing::Values(DType::kF32, DType::kBf16)));

TEST_P(RaggedRanksTest, FiveHeadsOneKvHeadAndOddSizesAgreeWithOneRank) {
  const auto& [tied, stored] = GetParam();
  auto config = RaggedConfig();
  config["weight_tying"] = tied;
  const TempFolder folder;
  testing::WriteCheckpoint(folder, config, testing::RandomTensors(config), stored);
  RankHarness sharded(folder.path(), "fp32", Ranks());
  const auto alone = SoloCommunicator();
  RankHarness whole(folder.path(), "fp32", alone.get());

  const auto canvas = RandomTokens(6, 50, 777);
  const Step step = StepOf({FullWindow(1, canvas)});
  const StepResult ours = sharded.Run(step);
  const auto our_logits = sharded.Logits();
  const StepResult theirs = whole.Run(step);
  const auto their_logits = whole.Logits();
  ASSERT_EQ(our_logits[0].size(), 777);
  EXPECT_LT(LargestDifference(our_logits, their_logits), 1e-4f);
  EXPECT_EQ(ours.candidates(0).tokens_size(), 50);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(ours.candidates(0).tokens(i), theirs.candidates(0).tokens(i)) << i;
    EXPECT_NEAR(ours.candidates(0).confidences(i), theirs.candidates(0).confidences(i), 1e-5) << i;
  }
}

TEST(RanksTest, EveryRankGetsTheSameResult) {
  RankHarness rank(TinyGqa(), "fp32", Ranks());
  StepResult result = rank.Run(StepOf({Road(9, 33, true)[0]}));
  result.clear_compute_micros();
  const auto all = Ranks()->AllGather(result.SerializeAsString());
  for (const std::string& other : all) EXPECT_TRUE(other == all[0]);
}

// Root mean square of the difference between logits computed in `dtype` and in fp32. They have a standard deviation of
// about 3. (The largest difference hangs on luck: between 0.8 and 1.4 in int8, by the number of ranks.)
float ErrorOf(const std::string& dtype) {
  RankHarness exact(SourcePath("tests/goldens/models/tiny-bf16"), "fp32", Ranks());
  RankHarness rough(SourcePath("tests/goldens/models/tiny-bf16"), dtype, Ranks());
  const Step step = StepOf({FullWindow(1, RandomTokens(8, 48, 250))});
  exact.Run(step);
  const auto reference = exact.Logits();
  rough.Run(step);
  const auto logits = rough.Logits();
  double squares = 0, count = 0;
  for (size_t row = 0; row < logits.size(); ++row) {
    for (size_t i = 0; i < logits[row].size(); ++i, ++count) squares += std::pow(logits[row][i] - reference[row][i], 2);
  }
  return static_cast<float>(std::sqrt(squares / count));
}

TEST(RanksTest, Bf16StaysNearFp32) {
  const float error = ErrorOf("bf16");
  EXPECT_LT(error, 0.08f);  // A relative precision of 1/256. Measured: 0.046 on 1 to 3 ranks.
  EXPECT_GT(error, 1e-4f) << "not computed in bf16 at all";
}

TEST(RanksTest, Int8StaysNearFp32) {
  const float error = ErrorOf("int8");
  EXPECT_LT(error, 0.25f);  // Half a scale, 1/254 of the largest element, of weights and rows. Measured: 0.14 to 0.16.
  EXPECT_GT(error, ErrorOf("bf16")) << "not computed in int8 at all";
}

// --- Bad steps
// ----------------------------------------------------------------------------------------------------------

struct BadStep {
  const char* name;
  std::function<void(Step*)> spoil;  // A step of one good window: sequence 1, 20 tokens, all sampled.
  const char* error;
};

class BadStepTest : public ::testing::TestWithParam<BadStep> {};

TEST_P(BadStepTest, IsRefusedAndChangesNothing) {
  RankHarness rank(TinyGqa(), "fp32", Ranks());
  const auto canvas = RandomTokens(10, 20, 480);
  const Step good = StepOf({FullWindow(1, canvas)});
  const std::string before = Bits(rank.Run(good).candidates(0));  // Sequence 1 holds a slot now.
  Step bad = good;
  bad.set_id(17);
  bad.set_epoch(3);
  GetParam().spoil(&bad);
  const StepResult result = rank.Run(bad);
  EXPECT_THAT(result.error(), HasSubstr(GetParam().error));
  EXPECT_EQ(result.candidates_size(), 0);
  EXPECT_EQ(result.id(), 17);
  EXPECT_EQ(result.epoch(), 3);
  EXPECT_TRUE(Bits(rank.Run(StepOf({PartWindow(1, canvas, 0, 20)})).candidates(0)) == before);
}

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

INSTANTIATE_TEST_SUITE_P(
    All, BadStepTest,
    ::testing::Values(
        BadStep{"NoLength", [](Step* s) { s->mutable_windows(0)->set_length(0); },
                "windows[0]: length 0 is not in [1, 512]"},
        BadStep{"HugeLength", [](Step* s) { s->mutable_windows(0)->set_length(513); }, "length 513"},
        BadStep{"OtherLength", [](Step* s) { s->mutable_windows(0)->set_length(21); },
                "length 21 is not the 20 of the sequence's first window"},
        BadStep{"NegativeBegin", [](Step* s) { s->mutable_windows(0)->set_begin(-1); }, "positions [-1, 19)"},
        BadStep{"BeyondTheEnd", [](Step* s) { s->mutable_windows(0)->set_begin(1); }, "positions [1, 21)"},
        BadStep{"FarBegin", [](Step* s) { s->mutable_windows(0)->set_begin(INT32_MAX); }, "positions [2147483647, "},
        BadStep{"NoTokens", [](Step* s) { s->mutable_windows(0)->clear_tokens(); }, "tokens are missing"},
        BadStep{"TokenTooLarge", [](Step* s) { s->mutable_windows(0)->set_tokens(5, 500); },
                "tokens[5] 500 is not in [0, 499]"},
        BadStep{"NegativeToken", [](Step* s) { s->mutable_windows(0)->set_tokens(5, -1); }, "tokens[5] -1"},
        BadStep{"NoHorizon", [](Step* s) { s->mutable_windows(0)->clear_horizons(); },
                "horizons has 0 entries, not 1 or 20"},
        BadStep{"TwoHorizons", [](Step* s) { s->mutable_windows(0)->add_horizons(4); }, "horizons has 2 entries"},
        BadStep{"HorizonOfZero", [](Step* s) { s->mutable_windows(0)->set_horizons(0, 0); },
                "horizons[0] 0 is not in [1, 20]"},
        BadStep{"HorizonTooFar", [](Step* s) { s->mutable_windows(0)->set_horizons(0, 21); }, "horizons[0] 21"},
        BadStep{"SampleOutside", [](Step* s) { s->mutable_windows(0)->set_sample(19, 20); },
                "sample[19] 20 is not in [19, 20)"},
        BadStep{"SampleTwice", [](Step* s) { s->mutable_windows(0)->set_sample(1, 0); },
                "sample[1] 0 is not in [1, 20)"},
        BadStep{"NegativeSample", [](Step* s) { s->mutable_windows(0)->set_sample(0, -3); }, "sample[0] -3"},
        BadStep{"HalfUnconditional", [](Step* s) { s->mutable_windows(0)->add_unconditional_tokens(1); },
                "unconditional_tokens has 1 entries, not 0 or 20"},
        BadStep{"SuddenGuidance",
                [](Step* s) {
                  for (int i = 0; i < 20; ++i) s->mutable_windows(0)->add_unconditional_tokens(1);
                },
                "unconditional_tokens are given, unlike in the sequence's first window"},
        BadStep{"NanTemperature", [](Step* s) { s->mutable_windows(0)->mutable_sampling()->set_temperature(kNan); },
                "temperature nan"},
        BadStep{"NegativeTemperature", [](Step* s) { s->mutable_windows(0)->mutable_sampling()->set_temperature(-1); },
                "temperature -1"},
        BadStep{"TinyTemperature", [](Step* s) { s->mutable_windows(0)->mutable_sampling()->set_temperature(1e-40f); },
                "is neither 0 nor"},
        BadStep{"InfiniteScale", [](Step* s) { s->mutable_windows(0)->set_cfg_scale(INFINITY); }, "cfg_scale inf"},
        BadStep{"TokenBound", [](Step* s) { s->mutable_windows(0)->mutable_sampling()->set_token_bound(501); },
                "token_bound 501 is not in [0, 500]"},
        BadStep{"Suppressed", [](Step* s) { s->mutable_windows(0)->mutable_sampling()->add_suppressed(500); },
                "suppressed[0] 500"},
        BadStep{"Unconfident", [](Step* s) { s->mutable_windows(0)->mutable_sampling()->add_unconfident(-1); },
                "unconfident[0] -1"},
        BadStep{"HalfAsked", [](Step* s) { s->mutable_windows(0)->add_asked(1); }, "asked has 1 entries, not 0 or 20"},
        BadStep{"AskedTooLarge",
                [](Step* s) {
                  for (int i = 0; i < 20; ++i) s->mutable_windows(0)->add_asked(i == 3 ? 500 : 1);
                },
                "asked[3] 500 is not in [0, 499]"},
        BadStep{"TwiceInAStep", [](Step* s) { *s->add_windows() = Window(s->windows(0)); }, "sequence 1 appears twice"},
        BadStep{"Gap",
                [](Step* s) {
                  s->mutable_windows(0)->set_sequence(2);
                  s->mutable_windows(0)->set_length(30);
                  s->mutable_windows(0)->set_begin(10);
                  s->mutable_windows(0)->clear_sample();
                },
                "begin 10 leaves a gap after the 0 positions that have K/V"},
        BadStep{"HorizonOverNothing",
                [](Step* s) {
                  s->mutable_windows(0)->set_sequence(2);
                  s->mutable_windows(0)->set_length(30);
                  s->mutable_windows(0)->set_horizons(0, 30);
                },
                "horizons[0] 30 is not in [1, 20]"},
        BadStep{"SecondOfTwo",
                [](Step* s) {
                  *s->add_windows() = Window(s->windows(0));
                  s->mutable_windows(1)->set_sequence(2);
                  s->mutable_windows(1)->set_tokens(0, 1000);
                },
                "windows[1]: tokens[0] 1000"},
        BadStep{"TooManyRows",
                [](Step* s) {
                  const auto tokens = RandomTokens(1, 500, 480);
                  for (int i = 0; i < 3; ++i) *s->add_windows() = FullWindow(10 + i, tokens);
                },
                "rows, more than 1024"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(KvCapacityTest, StepsBeyondItAreRefusedUntilSomethingIsReleased) {
  RankOptions options;
  options.model = TinyGqa();
  options.dtype = "fp32";
  options.threads = 1;
  auto rank = Rank::Open(options, Ranks());
  ASSERT_TRUE(rank.ok()) << rank.status();
  // Enough for one canvas of 512 positions on the rank with most K/V heads, not for two.
  const int64_t heads = MakeShard(6, 2, 160, 500, Ranks()->size(), Ranks()->rank())->kv_heads.size();
  options.kv_memory = 520 * KvCache::PositionBytes(2, heads * 16, DType::kF32);
  rank = Rank::Open(options, Ranks());
  ASSERT_TRUE((*rank)->Load([](int64_t, int64_t) { return absl::OkStatus(); }).ok());
  EXPECT_EQ((*rank)->ready().kv_positions(), 520);
  const auto canvas = RandomTokens(1, 500, 480);
  EXPECT_EQ((*rank)->engine()->Run(StepOf({FullWindow(1, canvas)}))->error(), "");
  Step second = StepOf({FullWindow(2, canvas)});
  EXPECT_THAT((*rank)->engine()->Run(second)->error(), HasSubstr("K/V to 1000 positions, more than 520"));
  second.add_release(1);
  second.add_release(12345);  // Unknown: fine.
  EXPECT_EQ((*rank)->engine()->Run(second)->error(), "");
  internal::v1::Release release;
  release.add_sequences(2);
  (*rank)->engine()->Release(release);
  EXPECT_EQ((*rank)->engine()->Run(StepOf({FullWindow(3, canvas)}))->error(), "");
}

TEST(EngineTest, AStepOfNothingIsFine) {
  RankHarness rank(TinyGqa(), "fp32", Ranks());
  Step step;
  step.set_id(5);
  const StepResult result = rank.Run(step);
  EXPECT_EQ(result.error(), "");
  EXPECT_EQ(result.id(), 5);
  EXPECT_EQ(result.candidates_size(), 0);
}

}  // namespace
}  // namespace unmask
