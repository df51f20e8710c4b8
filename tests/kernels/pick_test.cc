// The head: every option of a SampleSpec and their combinations, against the definition. Hidden states and weights are
// small integers, so logits are exact in any order and in bf16, ties are ties, and scores must agree to the bit.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/machines.h"
#include "tests/kernels/matrix.h"
#include "tests/kernels/scalar_gumbel.h"

namespace unmask::testing {
namespace {

constexpr float kNone = -INFINITY;

struct Expected {
  int token = -1;
  float score = kNone;
  double confidence = 0, margin = 0, entropy = 0;
  double log_probability = kNone;
};

bool Contains(absl::Span<const int32_t> ids, int id) { return std::find(ids.begin(), ids.end(), id) != ids.end(); }

Expected Reference(const Matrix& hidden, const Matrix& head, int first_token, const SampleSpec& spec) {
  const auto logit = [&](int row, int64_t output) {
    double sum = 0;
    for (int64_t i = 0; i < hidden.tensor().columns; ++i) sum += hidden.At(row, i) * head.At(output, i);
    return static_cast<float>(sum);
  };
  Expected expected;
  std::vector<double> softmax;
  double proposed = kNone, asked = kNone;
  for (int64_t output = 0; output < head.tensor().rows; ++output) {
    const int id = first_token + static_cast<int>(output);
    float l = logit(spec.row, output);
    if (spec.unconditional_row >= 0) {
      const float u = logit(spec.unconditional_row, output);
      l = u + (spec.cfg_scale + 1) * (l - u);
    }
    if (Contains(spec.suppressed, id) || (spec.token_bound > 0 && id >= spec.token_bound)) continue;
    const bool confident = !Contains(spec.unconfident, id);
    if (confident) softmax.push_back(l);
    if (confident && id == spec.asked) asked = l;
    float score = l;
    if (spec.temperature > 0)
      score = l / spec.temperature + ScalarGumbel(spec.seed, spec.noise_step, spec.position, id);
    if (score > expected.score) expected.score = score, expected.token = id, proposed = confident ? l : kNone;
  }
  if (softmax.empty()) return expected;
  std::sort(softmax.rbegin(), softmax.rend());
  double total = 0;
  for (const double l : softmax) total += std::exp(l - softmax[0]);
  expected.confidence = std::exp(proposed - softmax[0]) / total;
  expected.log_probability = asked - softmax[0] - std::log(total);
  expected.margin = (1 - (softmax.size() > 1 ? std::exp(softmax[1] - softmax[0]) : 0)) / total;
  for (const double l : softmax) {
    const double p = std::exp(l - softmax[0]) / total;
    expected.entropy -= p > 0 ? p * std::log(p) : 0;
  }
  return expected;
}

void ExpectRecord(const CandidateRecord& record, const Expected& expected) {
  const CandidateFigures figures = Figures(record);
  EXPECT_EQ(figures.token, expected.token);
  EXPECT_EQ(record.score, expected.score);
  EXPECT_FALSE(figures.not_finite);
  // Sums of up to 3000 fp32 terms a lane at a time, and exponentials of 2 units: far below 1e-4.
  EXPECT_NEAR(figures.confidence, expected.confidence, 1e-4 * expected.confidence);
  EXPECT_NEAR(figures.margin, expected.margin, 1e-4);
  EXPECT_NEAR(figures.entropy, expected.entropy, 1e-4 * (1 + expected.entropy));
  if (std::isinf(expected.log_probability)) {
    EXPECT_EQ(figures.log_probability, kNone);
  } else {
    EXPECT_NEAR(figures.log_probability, expected.log_probability, 1e-5 * (1 - expected.log_probability));
  }
}

class PickTest : public ::testing::TestWithParam<Machine> {};
INSTANTIATE_TEST_SUITE_P(Machines, PickTest, ::testing::ValuesIn(AllMachines()),
                         [](const auto& info) { return info.param.name; });

TEST_P(PickTest, EveryCombinationOfOptionsIsItsDefinition) {
  const auto backend = GetParam().Open();
  for (const int vocabulary : {1, 13, 777, 3000}) {
    const int first_token = vocabulary == 777 ? 389 : 0;  // A second rank's ragged range.
    Matrix hidden(GetParam().dtype, 8, 24, 8), head(DType::kF32, vocabulary, 24);
    hidden.FillIntegers(1, 2);
    head.FillIntegers(2, 1);
    const auto packed = backend->Pack({head.tensor()});
    ASSERT_TRUE(packed.ok()) << packed.status();
    // Options hit the best tokens, or they would prove nothing.
    std::vector<int32_t> suppressed = {-5, 100000}, unconfident = {100001};
    for (int row = 0; row < 8; ++row) {
      const int best = Reference(hidden, head, first_token, {.row = row}).token;
      (row % 2 ? suppressed : unconfident).push_back(best);
    }
    std::vector<SampleSpec> specs;
    int finite = 0;  // Log-probabilities.
    for (int options = 0; options < 64; ++options) {
      SampleSpec spec;
      spec.row = options % 8;
      // Any id, also the best one of the row, which options may forbid; one of another rank; none.
      spec.asked = options % 7 == 0   ? Reference(hidden, head, first_token, {.row = spec.row}).token
                   : options % 7 == 1 ? first_token + vocabulary
                   : options % 7 == 2 ? -1
                                      : first_token + options * 131 % vocabulary;
      if (options & 1) spec.suppressed = suppressed;
      if (options & 2) spec.unconfident = unconfident;
      if (options & 4) spec.token_bound = first_token + (vocabulary + 1) / 2;
      if (options & 8) spec.temperature = 0.7f;
      if (options & 16) spec.unconditional_row = (options + 3) % 8, spec.cfg_scale = 1.5f;
      if (options & 32) spec.temperature *= 4, spec.seed = 9, spec.noise_step = 2, spec.position = 1000;
      specs.push_back(spec);
    }
    std::vector<CandidateRecord> records(specs.size());
    backend->PickCandidates(hidden.tensor(), **packed, first_token, specs, absl::MakeSpan(records));
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    for (size_t i = 0; i < specs.size(); ++i) {
      SCOPED_TRACE(::testing::Message() << "vocabulary " << vocabulary << " options " << i);
      const Expected expected = Reference(hidden, head, first_token, specs[i]);
      ExpectRecord(records[i], expected);
      finite += std::isfinite(expected.log_probability);
    }
    EXPECT_GT(finite, 10);
    EXPECT_LT(finite, 54);
  }
}

// Noise is not drawn for ids that it could not make win: the choice must be the one among all.
TEST_P(PickTest, LeavesOutNoIdThatNoiseMakesWin) {
  const auto backend = GetParam().Open();
  Matrix hidden(GetParam().dtype, 8, 16), head(DType::kF32, 3000, 16);
  hidden.FillIntegers(1, 2);  // Exact logits on every machine.
  head.FillIntegers(2, 1);
  const auto packed = backend->PackHead({head.tensor()});
  std::vector<SampleSpec> specs;
  for (uint64_t seed = 0; seed < 240; ++seed) {
    specs.push_back({.row = static_cast<int32_t>(seed % 8), .temperature = seed % 3 * 0.45f + 0.1f, .seed = seed});
  }
  std::vector<CandidateRecord> records(specs.size());
  backend->PickCandidates(hidden.tensor(), **packed, 0, specs, absl::MakeSpan(records));
  ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
  int upsets = 0;  // Ids that won by their noise.
  for (size_t i = 0; i < specs.size(); ++i) {
    EXPECT_EQ(records[i].token, Reference(hidden, head, 0, specs[i]).token) << "seed " << i;
    upsets += records[i].token != Reference(hidden, head, 0, {.row = specs[i].row}).token;
  }
  EXPECT_GT(upsets, 60);
  EXPECT_LT(upsets, 220);
}

TEST_P(PickTest, RanksMergeToTheWhole) {
  const auto backend = GetParam().Open();
  Matrix hidden(GetParam().dtype, 3, 16), head(DType::kF32, 777, 16);
  hidden.FillIntegers(3, 2);
  head.FillIntegers(4, 1);  // Few distinct logits: the best one ties across ranks.
  std::vector<SampleSpec> specs(3);
  for (int i = 0; i < 3; ++i) specs[i].row = i;
  specs[2].temperature = 1, specs[2].seed = 5;
  specs[0].asked = 776, specs[1].asked = 259, specs[2].asked = 0;
  std::vector<CandidateRecord> merged(3, EmptyCandidate());
  for (const auto& [begin, end] : std::vector<std::pair<int, int>>{{0, 259}, {259, 518}, {518, 777}}) {
    const auto packed = backend->Pack({head.tensor().Rows(begin, end)});
    ASSERT_TRUE(packed.ok());
    std::vector<CandidateRecord> records(3);
    backend->PickCandidates(hidden.tensor(), **packed, begin, specs, absl::MakeSpan(records));
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    for (int i = 0; i < 3; ++i) merged[i] = Merge(merged[i], records[i]);
  }
  for (int i = 0; i < 3; ++i) ExpectRecord(merged[i], Reference(hidden, head, 0, specs[i]));
}

TEST_P(PickTest, NothingAllowedIsNoToken) {
  const auto backend = GetParam().Open();
  Matrix hidden(GetParam().dtype, 1, 4), head(DType::kF32, 3, 4);
  hidden.FillIntegers(1, 2);
  head.FillIntegers(2, 2);
  const auto packed = backend->Pack({head.tensor()});
  const std::vector<int32_t> all = {10, 11, 12};
  std::vector<SampleSpec> specs(3);
  specs[0].suppressed = all;
  specs[1].token_bound = 10;
  specs[2].suppressed = all, specs[2].temperature = 1;
  std::vector<CandidateRecord> records(3);
  backend->PickCandidates(hidden.tensor(), **packed, 10, specs, absl::MakeSpan(records));
  ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
  for (const CandidateRecord& record : records) {
    EXPECT_EQ(record.token, -1);
    EXPECT_EQ(record.score, kNone);
    EXPECT_EQ(Figures(record).confidence, 0);
    EXPECT_FALSE(Figures(record).not_finite);
  }
}

TEST_P(PickTest, LogitsThatAreNotFiniteAreNamedRowByRow) {
  const auto backend = GetParam().Open();
  for (const float poison :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -INFINITY}) {
    Matrix hidden(GetParam().dtype, 3, 4), head(DType::kF32, 300, 4);
    hidden.Fill([&](int64_t r, int64_t) { return r == 1 ? poison : 1.0f; });
    head.Fill([](int64_t, int64_t) { return 1.0f; });
    const auto packed = backend->Pack({head.tensor()});
    const std::vector<int32_t> suppressed = {7};
    std::vector<SampleSpec> specs(4);
    for (int i = 0; i < 3; ++i) specs[i].row = i, specs[i].suppressed = suppressed;  // Suppression is not a NaN.
    specs[3].row = 0, specs[3].unconditional_row = 1, specs[3].cfg_scale = 1;
    std::vector<CandidateRecord> records(4);
    backend->PickCandidates(hidden.tensor(), **packed, 0, specs, absl::MakeSpan(records));
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    const bool expected[] = {false, true, false, true};
    for (int i = 0; i < 4; ++i) EXPECT_EQ(Figures(records[i]).not_finite, expected[i]) << poison << " row " << i;
  }
}

TEST_P(PickTest, TheTokensOfManySeedsFollowTheSoftmaxOfTheTemperature) {
  const auto backend = GetParam().Open();
  Matrix hidden(GetParam().dtype, 1, 1), head(DType::kF32, 6, 1);
  hidden.Set(0, 0, 1);
  head.Fill([](int64_t r, int64_t) { return static_cast<float>(r % 4) * 0.5f; });
  const auto packed = backend->Pack({head.tensor()});
  constexpr int kDraws = 6000;
  const auto chi_square = [&](float temperature, bool same_step) {
    std::vector<SampleSpec> specs(kDraws);
    for (int i = 0; i < kDraws; ++i) {
      specs[i] = {.temperature = temperature, .seed = 11, .noise_step = same_step ? 0u : static_cast<uint32_t>(i)};
    }
    std::vector<CandidateRecord> records(kDraws);
    backend->PickCandidates(hidden.tensor(), **packed, 0, specs, absl::MakeSpan(records));
    EXPECT_EQ(backend->Synchronize(), absl::OkStatus());
    std::vector<double> counts(6), weights(6);
    for (const CandidateRecord& record : records) counts.at(record.token) += 1;
    double total = 0, statistic = 0;
    for (int i = 0; i < 6; ++i) total += weights[i] = std::exp(0.5 * (i % 4) / 0.8);
    for (int i = 0; i < 6; ++i) {
      const double expected = kDraws * weights[i] / total;
      statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    return statistic;
  };
  // 5 degrees of freedom: above 20.5 once in a thousand.
  EXPECT_LT(chi_square(0.8f, false), 20.5);
  EXPECT_GT(chi_square(0.8f, true), 20.5) << "noise that ignores the step would pass";
  EXPECT_GT(chi_square(1.2f, false), 20.5) << "another temperature would pass";
}

}  // namespace
}  // namespace unmask::testing
