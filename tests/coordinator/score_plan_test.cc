#include "coordinator/score_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>
#include <string>

#include "coordinator/errors.h"
#include "coordinator/mask_counts.h"
#include "coordinator/score_estimate.h"
#include "tests/coordinator/scripted_model.h"

namespace unmask {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using testing::TinyModel;

void SetIds(const std::vector<int32_t>& ids, v1::ScoreInput* input) {
  input->mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
}

// Prompt 1, 2, 3; one target for each length.
v1::ScoreRequest Valid(const std::vector<int>& lengths) {
  v1::ScoreRequest request;
  SetIds({1, 2, 3}, request.mutable_prompt());
  for (const int length : lengths) {
    std::vector<int32_t> ids(length);
    for (int i = 0; i < length; ++i) ids[i] = 10 + i % 80;
    SetIds(ids, request.add_targets());
  }
  return request;
}

ScorePlan Plan(const v1::ScoreRequest& request) {
  auto plan = ParseScore(request, TinyModel(), 42);
  if (!plan.ok()) ADD_FAILURE() << plan.status();
  return plan.ok() ? *std::move(plan) : ScorePlan();
}

std::vector<std::vector<int32_t>> MaskedOf(const ScorePlan& plan, int target) {
  std::vector<std::vector<int32_t>> masked;
  for (const int32_t task : plan.tasks_of[target].samples) masked.push_back(plan.tasks[task].masked);
  return masked;
}

TEST(ScorePlanTest, DefaultsAreTheContracts) {
  const ScorePlan plan = Plan(Valid({20}));
  EXPECT_EQ(plan.samples, 128);
  EXPECT_EQ(plan.strata, 16);
  EXPECT_EQ(plan.seed, 42);
  EXPECT_EQ(plan.cfg_scale, 0);
  EXPECT_FALSE(plan.reference_parity);
  EXPECT_THAT(plan.tasks_of[0].samples, SizeIs(128));
  ASSERT_GE(plan.tasks_of[0].greedy, 0);
  EXPECT_TRUE(plan.tasks[plan.tasks_of[0].greedy].greedy());
  v1::ScoreRequest request = Valid({20});
  request.set_samples(20);
  request.set_greedy_match(false);
  EXPECT_EQ(Plan(request).strata, 20) << "16 does not divide it";
  EXPECT_EQ(Plan(request).tasks_of[0].greedy, -1);
  request.clear_prompt();
  EXPECT_THAT(Plan(request).prompt, SizeIs(0));
}

TEST(ScorePlanTest, EachBatchMasksTheCountsOfItsStrata) {
  for (const bool parity : {false, true}) {
    v1::ScoreRequest request = Valid({10});
    request.set_samples(400);
    request.set_strata(4);
    request.set_reference_parity(parity);
    const auto masked = MaskedOf(Plan(request), 0);
    std::set<int> starts;
    for (size_t batch = 0; batch < masked.size(); batch += 4) {
      const int k = masked[batch].size();
      starts.insert(k);
      std::vector<int> counts;
      for (int r = 0; r < 4; ++r) counts.push_back(masked[batch + r].size());
      EXPECT_EQ(counts, parity ? ReferenceMaskCounts(10, 4, k) : UnbiasedMaskCounts(10, 4, k));
    }
    EXPECT_THAT(starts, SizeIs(10)) << "every k from 1 to 10 comes up in 100 batches";
  }
}

TEST(ScorePlanTest, EveryPositionIsMaskedAsOftenAsAnyOther) {
  v1::ScoreRequest request = Valid({12});
  request.set_samples(4096);
  request.set_seed(3);
  std::vector<int> counts(16);
  int total = 0;
  for (const auto& positions : MaskedOf(Plan(request), 0)) {
    EXPECT_TRUE(std::is_sorted(positions.begin(), positions.end()));
    for (const int32_t p : positions) ++counts.at(p);
    total += positions.size();
  }
  for (int p = 0; p < 3; ++p) EXPECT_EQ(counts[p], 0) << "the prompt is never masked";
  // 6.5 of 12 a sample on average; a share's deviation is at most 1/2 / sqrt(4096).
  for (int p = 3; p < 15; ++p) EXPECT_NEAR(counts[p] / 4096.0, total / 12.0 / 4096, 5 * 0.5 / 64) << p;
  EXPECT_NEAR(total / 4096.0, 6.5, 0.1);
}

TEST(ScorePlanTest, DrawsAreTheSeedsAndNothingElses) {
  v1::ScoreRequest request = Valid({9});
  request.set_seed(7);
  const auto alone = MaskedOf(Plan(request), 0);
  v1::ScoreRequest more = Valid({30, 9, 4});
  more.set_seed(7);
  EXPECT_EQ(MaskedOf(Plan(more), 1), alone) << "whatever is scored beside it";
  request.set_samples(32);
  EXPECT_EQ(MaskedOf(Plan(request), 0), std::vector(alone.begin(), alone.begin() + 32)) << "more samples go on";
  request.set_seed(8);
  EXPECT_NE(MaskedOf(Plan(request), 0), std::vector(alone.begin(), alone.begin() + 32));
}

TEST(ScorePlanTest, SamplesThatMaskTheSameAreOneTask) {
  v1::ScoreRequest request = Valid({3, 3, 1});
  const ScorePlan plan = Plan(request);
  // The seven sets of three positions that are not empty, for each target of its own; one for a single token. And three
  // times greedy decoding.
  EXPECT_THAT(plan.tasks, SizeIs(7 + 7 + 1 + 3));
  EXPECT_THAT(plan.tasks_of[0].samples, SizeIs(128));
  EXPECT_THAT(plan.tasks_of[2].samples, SizeIs(1));
  EXPECT_THAT(plan.tasks[plan.tasks_of[2].samples[0]].masked, ElementsAre(3));
}

TEST(ScorePlanTest, GivenPositionsReplaceDraws) {
  v1::ScoreRequest request = Valid({4, 5});
  for (const std::vector<int32_t>& positions : {std::vector<int32_t>{3, 6}, {5}, {3, 6}}) {
    request.add_masked()->mutable_positions()->Add(positions.begin(), positions.end());
  }
  const ScorePlan plan = Plan(request);
  EXPECT_EQ(plan.samples, 3);
  for (const int target : {0, 1}) {
    EXPECT_THAT(MaskedOf(plan, target), ElementsAre(ElementsAre(3, 6), ElementsAre(5), ElementsAre(3, 6)));
  }
  EXPECT_THAT(plan.tasks, SizeIs(2 + 2 + 2));
}

TEST(ScorePlanTest, TasksAreDealtEvenlyAndAllOfThem) {
  v1::ScoreRequest request = Valid({5, 17, 40});
  const ScorePlan plan = Plan(request);
  const auto dealt = DealTasks(plan, 32);
  ASSERT_THAT(dealt, SizeIs(32));
  std::vector<int> seen(plan.tasks.size());
  int64_t least = INT64_MAX, most = 0;
  for (const auto& hand : dealt) {
    int64_t windows = 0;
    for (const int32_t task : hand) {
      ++seen.at(task);
      windows += plan.Windows(plan.tasks[task]);
    }
    least = std::min(least, windows);
    most = std::max(most, windows);
  }
  for (const int times : seen) EXPECT_EQ(times, 1);
  EXPECT_EQ(most, 40) << "greedy decoding of the longest cannot be divided";
  EXPECT_GE(least, 7);
  request = Valid({1});
  request.set_greedy_match(false);
  EXPECT_THAT(DealTasks(Plan(request), 32), SizeIs(1)) << "no more hands than tasks";
}

struct BadScoreCase {
  const char* name;
  std::function<void(v1::ScoreRequest*)> spoil;
  const char* reason;
  const char* field;
  const char* message;  // A part of it.
};

TEST(ScorePlanTest, EachBadFieldIsNamedWithValueAndBound) {
  const auto mask = [](std::vector<int32_t> positions) {
    return [positions](auto* r) { r->add_masked()->mutable_positions()->Add(positions.begin(), positions.end()); };
  };
  const BadScoreCase cases[] = {
      {"no targets", [](auto* r) { r->clear_targets(); }, "INPUT_MISSING", "targets", "targets is empty"},
      {"65 targets",
       [](auto* r) {
         while (r->targets_size() < 65) *r->add_targets() = v1::ScoreInput(r->targets(0));
       },
       "OPTION_INVALID", "targets", "65 entries, more than 64"},
      {"no target", [](auto* r) { r->add_targets(); }, "INPUT_MISSING", "targets[1]", "targets[1] is empty"},
      {"empty target", [](auto* r) { r->add_targets()->set_text(""); }, "INPUT_MISSING", "targets[1]", "empty"},
      {"chat target", [](auto* r) { r->mutable_targets(0)->mutable_chat(); }, "CHAT_INVALID", "targets[0]", "chat"},
      {"text", [](auto* r) { r->mutable_targets(0)->set_text("hi"); }, "TOKENIZER_MISSING", "targets[0].text",
       "no tokenizer"},
      {"prompt text", [](auto* r) { r->mutable_prompt()->set_text("hi"); }, "TOKENIZER_MISSING", "prompt.text", "no"},
      {"prompt chat", [](auto* r) { r->mutable_prompt()->mutable_chat(); }, "TOKENIZER_MISSING", "chat", "no"},
      {"id", [](auto* r) { r->mutable_targets(0)->mutable_token_ids()->set_ids(1, 100); }, "TOKEN_OUT_OF_RANGE",
       "targets[0].token_ids.ids[1]", "100 is not in [0, 100)"},
      {"mask id", [](auto* r) { r->mutable_prompt()->mutable_token_ids()->set_ids(0, 99); }, "MASK_TOKEN_IN_PROMPT",
       "prompt.token_ids.ids[0]", "99"},
      {"too long", [](auto* r) { *r = Valid({510}); }, "SEQUENCE_TOO_LONG", "targets[0]", "max_sequence_length 512"},
      {"samples 0", [](auto* r) { r->set_samples(0); }, "OPTION_INVALID", "samples", "samples 0 is not in [1, 4096]"},
      {"samples 5000", [](auto* r) { r->set_samples(5000); }, "OPTION_INVALID", "samples", "5000"},
      {"strata 0", [](auto* r) { r->set_strata(0); }, "OPTION_INVALID", "strata", "strata 0"},
      {"strata 12", [](auto* r) { r->set_strata(12); }, "OPTION_INVALID", "strata",
       "strata 12 does not divide samples 128"},
      {"too much",
       [](auto* r) {
         *r = Valid({500, 500, 500});
         r->set_samples(4096);
       },
       "OPTION_INVALID", "samples", "samples 4096 of targets of 1500 tokens are more than 4194304 positions"},
      {"cfg NaN", [](auto* r) { r->set_cfg_scale(std::nanf("")); }, "OPTION_INVALID", "cfg_scale", "nan"},
      {"cfg -1", [](auto* r) { r->set_cfg_scale(-1); }, "OPTION_INVALID", "cfg_scale", "-1 is not a finite"},
      {"priority", [](auto* r) { r->set_priority(static_cast<v1::Priority>(9)); }, "OPTION_INVALID", "priority", "9"},
      {"nothing masked", mask({}), "OPTION_INVALID", "masked[0].positions", "empty"},
      {"masked prompt", mask({2}), "OPTION_INVALID", "masked[0].positions[0]", "2 is not in [3, 7)"},
      {"masked beyond", mask({3, 7}), "OPTION_INVALID", "masked[0].positions[1]", "7 is not in [4, 7)"},
      {"masked twice", mask({5, 5}), "OPTION_INVALID", "masked[0].positions[1]", "5 is not in [6, 7)"},
      {"masked and samples",
       [&](auto* r) {
         mask({3})(r);
         r->set_samples(2);
       },
       "OPTION_INVALID", "samples", "samples 2 is not the number of masked, 1"},
  };
  for (const BadScoreCase& bad : cases) {
    SCOPED_TRACE(bad.name);
    v1::ScoreRequest request = Valid({4});
    bad.spoil(&request);
    const absl::Status status = ParseScore(request, TinyModel(), 0).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorReason(status), bad.reason);
    EXPECT_EQ(ErrorField(status), bad.field);
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message));
  }
  v1::ScoreRequest other = Valid({4});
  other.set_model("another");
  EXPECT_EQ(ParseScore(other, TinyModel(), 0).status().code(), absl::StatusCode::kNotFound);
}

TEST(ScorePlanTest, ParityAllowsMaskIdsAndWhatLiesBeyondTheTokenizer) {
  v1::ScoreRequest request = Valid({4});
  request.mutable_prompt()->mutable_token_ids()->set_ids(0, 99);
  request.mutable_targets(0)->mutable_token_ids()->set_ids(0, 103);
  EXPECT_FALSE(ParseScore(request, TinyModel(), 0).ok());
  request.set_reference_parity(true);
  EXPECT_TRUE(ParseScore(request, TinyModel(), 0).ok());
}

TEST(ScoreEstimateTest, TheErrorIsThatOfIndependentBatches) {
  const ScoreEstimate batches = EstimateScore({-1, -3, -2, -6}, 2);
  EXPECT_DOUBLE_EQ(batches.log_likelihood, -3);
  EXPECT_DOUBLE_EQ(*batches.standard_error, 1) << "means -2 and -4: sqrt(2 / 1 / 2)";
  const ScoreEstimate one_batch = EstimateScore({-1, -3}, 2);
  EXPECT_DOUBLE_EQ(*one_batch.standard_error, 1) << "as if its samples were independent";
  EXPECT_FALSE(EstimateScore({-5}, 1).standard_error.has_value());
  EXPECT_DOUBLE_EQ(EstimateScore({-5}, 1).log_likelihood, -5);
}

}  // namespace
}  // namespace unmask
