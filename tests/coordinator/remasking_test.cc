#include "coordinator/remasking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <vector>

#include "tests/support/golden.h"

namespace unmask {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<Candidate> WithConfidences(const std::vector<float>& confidences) {
  std::vector<Candidate> candidates;
  for (float confidence : confidences) {
    candidates.push_back({.position = static_cast<int32_t>(10 + candidates.size()), .confidence = confidence});
  }
  return candidates;
}

std::vector<int> Keep(v1::Remasking id, const std::vector<Candidate>& candidates, const RemaskingStep& step) {
  return FindStrategy(id)->keep(candidates, step);
}

TEST(RemaskingTest, EveryStrategyOfTheApiExistsAndNoOther) {
  for (int id = v1::Remasking_MIN + 1; id <= v1::Remasking_MAX; ++id) {
    ASSERT_NE(FindStrategy(static_cast<v1::Remasking>(id)), nullptr) << id;
    EXPECT_EQ(FindStrategy(static_cast<v1::Remasking>(id))->id, id);
  }
  EXPECT_EQ(FindStrategy(v1::REMASKING_UNSPECIFIED), nullptr);
  EXPECT_EQ(FindStrategy(static_cast<v1::Remasking>(v1::Remasking_MAX + 1)), nullptr);
}

TEST(RemaskingTest, NoCandidatesKeepNone) {
  for (int id = v1::Remasking_MIN + 1; id <= v1::Remasking_MAX; ++id) {
    EXPECT_THAT(Keep(static_cast<v1::Remasking>(id), {}, {.quota = 3, .steps = 4}), IsEmpty()) << id;
  }
}

TEST(RemaskingTest, LowConfidenceKeepsTheQuotaOfSurest) {
  const auto candidates = WithConfidences({0.2f, 0.9f, 0.5f, 0.9f, 0.1f});
  EXPECT_THAT(Keep(v1::REMASKING_LOW_CONFIDENCE, candidates, {.quota = 3}), ElementsAre(1, 2, 3));
  EXPECT_THAT(Keep(v1::REMASKING_LOW_CONFIDENCE, candidates, {.quota = 0}), IsEmpty());
  EXPECT_THAT(Keep(v1::REMASKING_LOW_CONFIDENCE, candidates, {.quota = 9}), SizeIs(5));
}

TEST(RemaskingTest, TiesTakeTheLowestPosition) {
  const auto ties = WithConfidences({0.5f, 0.5f, 0.5f, 0.5f});
  for (v1::Remasking id :
       {v1::REMASKING_LOW_CONFIDENCE, v1::REMASKING_ENTROPY, v1::REMASKING_MARGIN, v1::REMASKING_LEFT_TO_RIGHT}) {
    EXPECT_THAT(Keep(id, ties, {.quota = 2}), ElementsAre(0, 1)) << v1::Remasking_Name(id);
  }
}

TEST(RemaskingTest, ThresholdKeepsTheBestAndAllThatReachIt) {
  const auto candidates = WithConfidences({0.2f, 0.9f, 0.5f, 0.75f});
  EXPECT_THAT(Keep(v1::REMASKING_CONFIDENCE_THRESHOLD, candidates, {.threshold = 0.75f}), ElementsAre(1, 3));
  EXPECT_THAT(Keep(v1::REMASKING_CONFIDENCE_THRESHOLD, candidates, {.threshold = 0.95f}), ElementsAre(1));
  EXPECT_THAT(Keep(v1::REMASKING_CONFIDENCE_THRESHOLD, candidates, {.threshold = 0.1f}), SizeIs(4));
}

// The example of the study of samplers: the rule gives 3, dInfer's slip at the last candidate 4.
TEST(RemaskingTest, FactorSlipsAtTheLastCandidateAsDInferDoes) {
  const auto candidates = WithConfidences({.99f, .95f, .80f, .60f});
  EXPECT_THAT(Keep(v1::REMASKING_FACTOR, candidates, {.factor = 1.0f}), SizeIs(4));
  EXPECT_THAT(Keep(v1::REMASKING_FACTOR, candidates, {.factor = 0.5f}), ElementsAre(0, 1));
  // One more candidate behind, and the failure is not at the last: no slip.
  EXPECT_THAT(Keep(v1::REMASKING_FACTOR, WithConfidences({.99f, .95f, .80f, .60f, .59f}), {.factor = 1.0f}), SizeIs(3));
  EXPECT_THAT(Keep(v1::REMASKING_FACTOR, WithConfidences({.3f}), {.factor = 0.5f}), SizeIs(1));
}

TEST(RemaskingTest, EntropyAndMarginReadTheirOwnFigures) {
  std::vector<Candidate> candidates = WithConfidences({0.9f, 0.5f, 0.1f});
  candidates[0].entropy = 2, candidates[1].entropy = 1, candidates[2].entropy = 0.5;
  candidates[0].margin = 0.1f, candidates[1].margin = 0.7f, candidates[2].margin = 0.2f;
  EXPECT_THAT(Keep(v1::REMASKING_ENTROPY, candidates, {.quota = 1}), ElementsAre(2));
  EXPECT_THAT(Keep(v1::REMASKING_MARGIN, candidates, {.quota = 1}), ElementsAre(1));
}

// Sorted entropies 0, .1, .2, .5: sum without the largest is 0, 0, .1, .3.
TEST(RemaskingTest, EntropyBoundIgnoresTheRunsLargest) {
  std::vector<Candidate> candidates = WithConfidences({0.1f, 0.1f, 0.1f, 0.1f});
  candidates[0].entropy = 0.2f, candidates[1].entropy = 0, candidates[2].entropy = 0.5f, candidates[3].entropy = 0.1f;
  EXPECT_THAT(Keep(v1::REMASKING_ENTROPY_BOUND, candidates, {.entropy_bound = 0.2f}), ElementsAre(0, 1, 3));
  EXPECT_THAT(Keep(v1::REMASKING_ENTROPY_BOUND, candidates, {.entropy_bound = 0}), ElementsAre(1, 3));
  EXPECT_THAT(Keep(v1::REMASKING_ENTROPY_BOUND, candidates, {.entropy_bound = 0.31f}), SizeIs(4));
}

TEST(TransferCountTest, IsTheReferencesTable) {
  const auto table = testing::LoadGolden("num_transfer_tokens");
  int rows = 0;
  for (const auto& entry : table.at("entries")) {
    const int masks = entry.at("mask_count");
    const int steps = entry.at("steps");
    for (int i = 0; i < steps; ++i)
      EXPECT_EQ(TransferCount(masks, steps, i), entry.at("tokens")[i]) << masks << "/" << steps;
    ++rows;
  }
  EXPECT_GT(rows, 50);
}

// --- Distributions: chi-square against the exact law; each test also rejects a planted wrong variant.

// 5 candidates, 2 kept: each of the 10 pairs with probability 1/10, independently from step to step. The largest
// chi-square of the two: over pairs of one step, and over (pair of step 0, pair of step 1) being equal.
double RandomPairsChiSquare(uint32_t second_noise_step, int quota) {
  const auto candidates = WithConfidences({.9f, .8f, .7f, .6f, .5f});
  std::map<std::vector<int>, int> pairs;
  int equal = 0;
  constexpr int kSeeds = 20000;
  for (int seed = 0; seed < kSeeds; ++seed) {
    const auto first =
        Keep(v1::REMASKING_RANDOM, candidates, {.quota = quota, .seed = static_cast<uint64_t>(seed), .noise_step = 0});
    const auto second = Keep(v1::REMASKING_RANDOM, candidates,
                             {.quota = quota, .seed = static_cast<uint64_t>(seed), .noise_step = second_noise_step});
    ++pairs[first];
    equal += first == second;
  }
  double chi_square = 0;
  const double expected = kSeeds / 10.0;
  for (int i = 0; i < 5; ++i) {
    for (int j = i + 1; j < 5; ++j) chi_square += (pairs[{i, j}] - expected) * (pairs[{i, j}] - expected) / expected;
  }
  const double equal_expected = kSeeds / 10.0;
  const double z2 = (equal - equal_expected) * (equal - equal_expected) / (equal_expected * 0.9);
  return std::max(chi_square, z2);
}

// The 99.9 % quantile of chi-square with 9 degrees of freedom (with 1: 10.8, which is less).
constexpr double kNineDegrees = 27.9;

TEST(RandomDistributionTest, EveryPairIsEquallyLikelyInEveryStep) {
  EXPECT_LT(RandomPairsChiSquare(1, 2), kNineDegrees);
}

TEST(RandomDistributionTest, NoiseThatIgnoresTheStepIsRejected) { EXPECT_GT(RandomPairsChiSquare(0, 2), kNineDegrees); }

TEST(RandomDistributionTest, AQuotaOffByOneIsRejected) { EXPECT_GT(RandomPairsChiSquare(1, 3), kNineDegrees); }

// Over a block of 4 masks in 3 steps, each position is revealed at step 0, 1, 2 with probability 1/3 each: 1/3 at
// first, then half of what is left, then all.
double RevealStepChiSquare(int steps_as_told) {
  constexpr int kSeeds = 20000;
  std::vector<double> revealed(3, 0);
  for (int seed = 0; seed < kSeeds; ++seed) {
    std::vector<Candidate> left = WithConfidences({.9f, .8f, .7f, .6f});
    for (int step = 0; step < 3; ++step) {
      const auto kept = Keep(v1::REMASKING_RANDOM_S_OVER_T, left,
                             {.step = step,
                              .steps = steps_as_told,
                              .seed = static_cast<uint64_t>(seed),
                              .noise_step = static_cast<uint32_t>(step)});
      revealed[step] += kept.size();
      for (auto it = kept.rbegin(); it != kept.rend(); ++it) left.erase(left.begin() + *it);
    }
  }
  double chi_square = 0;
  const double expected = 4.0 * kSeeds / 3;
  for (double count : revealed) chi_square += (count - expected) * (count - expected) / expected;
  return chi_square;
}

TEST(RandomSOverTDistributionTest, AMaskSurvivesWithProbabilitySOverT) { EXPECT_LT(RevealStepChiSquare(3), 13.8); }

TEST(RandomSOverTDistributionTest, AScheduleOffByOneIsRejected) { EXPECT_GT(RevealStepChiSquare(4), 13.8); }

TEST(RandomSOverTDistributionTest, TheLastStepRevealsAll) {
  const auto candidates = WithConfidences(std::vector<float>(100, 0.5f));
  for (uint64_t seed = 0; seed < 100; ++seed) {
    EXPECT_THAT(Keep(v1::REMASKING_RANDOM_S_OVER_T, candidates, {.step = 6, .steps = 7, .seed = seed}), SizeIs(100));
  }
}

}  // namespace
}  // namespace unmask
