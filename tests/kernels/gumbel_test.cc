// The Gumbel noise: recorded bits, agreement of every instruction set, and its distribution.
#include <algorithm>
#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/kernel_table.h"
#include "tests/kernels/scalar_gumbel.h"
#include "tests/support/golden.h"

namespace unmask::testing {
namespace {

// Recorded from the design's own program, compiled by another compiler: what a seed gives must never change.
TEST(GumbelTest, KeepsItsRecordedBits) {
  struct {
    uint32_t word;
    float noise;
  } const words[] = {{0x00000000u, -0x1.90a3aap+1f}, {0x00000001u, -0x1.8a56ccp+1f}, {0x12345678u, -0x1.f1b82cp-1f},
                     {0x3fffffffu, -0x1.4e7936p-2f}, {0x7fffffffu, 0x1.774f2ap-2f},  {0x80000000u, 0x1.774f2ap-2f},
                     {0xb504f333u, 0x1.0f45e2p+0f},  {0xb5050000u, 0x1.0f4616p+0f},  {0xc0000000u, 0x1.3ef344p+0f},
                     {0xfffffff0u, 0x1.3709b4p+4f},  {0xfffffffeu, 0x1.5c6766p+4f},  {0xffffffffu, 0x1.6dfb52p+4f}};
  for (const auto& [word, noise] : words) EXPECT_EQ(Gumbel<ScalarMath>(word), noise) << std::hex << word;
  struct {
    int32_t token;
    float noise;
  } const tokens[] = {{0, -0x1.592628p-1f}, {1, -0x1.e54c5ap-3f}, {2, -0x1.88946ap-1f},
                      {3, 0x1.67a798p+1f},  {5, -0x1.997b5cp-3f}, {126335, 0x1.840592p+0f}};
  for (const auto& [token, noise] : tokens) EXPECT_EQ(ScalarGumbel(0x0123456789abcdef, 5, 77, token), noise) << token;
}

TEST(GumbelTest, IsTheSameOnEveryInstructionSetFromAnyFirstId) {
  const KernelTable* tables[kMostKernels];
  const int count = SupportedKernels(tables);
  for (int t = 0; t < count; ++t) {
    for (const int32_t first : {0, 1, 2, 3, 777, 126000}) {
      for (const int64_t n : {1, 3, 64, 333}) {
        std::vector<float> noise(n + 1, 99);
        tables[t]->gumbel(0xfedcba9876543210, 3, 41, first, n, noise.data());
        for (int64_t i = 0; i < n; ++i) {
          ASSERT_EQ(noise[i], ScalarGumbel(0xfedcba9876543210, 3, 41, first + static_cast<int32_t>(i)))
              << tables[t]->name << " id " << first + i;
        }
        EXPECT_EQ(noise[n], 99) << "wrote beyond the last id";
      }
    }
  }
}

TEST(GumbelTest, IsWithinAMillionthOfTheFormulaAndMonotone) {
  float last = -INFINITY;
  for (uint64_t word = 0; word < 0x100000000; word += 65521) {
    const double u = (static_cast<double>(word) + 0.5) * 0x1p-32;
    const double exact = u < 0.5 ? -std::log(-std::log(u)) : -std::log(-std::log1p(-(1 - u)));
    const float noise = Gumbel<ScalarMath>(static_cast<uint32_t>(word));
    ASSERT_NEAR(noise, exact, 1e-6) << word;
    ASSERT_GE(noise, last);
    last = noise;
  }
}

// The largest distance of the sorted sample's distribution from F(x) = e^(-e^-x), times sqrt(n): Kolmogorov's
// statistic, above 1.95 once in a thousand samples.
double Kolmogorov(std::vector<float> sample) {
  std::sort(sample.begin(), sample.end());
  const double n = static_cast<double>(sample.size());
  double worst = 0;
  for (size_t i = 0; i < sample.size(); ++i) {
    const double below = std::exp(-std::exp(-double{sample[i]}));
    worst = std::max(
        {worst, std::abs(below - static_cast<double>(i) / n), std::abs(below - static_cast<double>(i + 1) / n)});
  }
  return worst * std::sqrt(n);
}

TEST(GumbelTest, HasTheGumbelDistributionOverIdsPositionsStepsAndSeeds) {
  std::vector<float> ids, positions, steps, seeds, halved;
  for (int i = 0; i < 50000; ++i) {
    ids.push_back(ScalarGumbel(1, 2, 3, i));
    positions.push_back(ScalarGumbel(1, 2, i, 4));
    steps.push_back(ScalarGumbel(1, i, 3, 4));
    seeds.push_back(ScalarGumbel(i, 2, 3, 4));
    halved.push_back(Gumbel<ScalarMath>(Noise(1, NoiseStream::kGumbel, 2, 3, i)[0] / 2));  // Planted: u in [0, 1/2).
  }
  EXPECT_LT(Kolmogorov(ids), 1.95);
  EXPECT_LT(Kolmogorov(positions), 1.95);
  EXPECT_LT(Kolmogorov(steps), 1.95);
  EXPECT_LT(Kolmogorov(seeds), 1.95);
  EXPECT_GT(Kolmogorov(halved), 1.95);
}

// Adding Gumbel noise to logit / T and taking the largest is the reference's exp(logit) / (-ln u)^T, given the
// reference's u.
TEST(GumbelTest, GumbelMaxRanksAsTheReference) {
  int checked = 0, differing_without_noise = 0;
  const nlohmann::json golden = LoadGolden("gumbel");
  for (const auto& entry : golden.at("entries")) {
    const double temperature = entry.at("temperature");
    for (size_t row = 0; row < entry.at("logits").size(); ++row, ++checked) {
      const std::vector<double> logits = entry.at("logits")[row], uniform = entry.at("uniform")[row];
      std::vector<double> scores;
      for (size_t i = 0; i < logits.size(); ++i) {
        scores.push_back(logits[i] / temperature - std::log(-std::log(uniform[i])));
      }
      const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
      EXPECT_EQ(best, entry.at("argmax")[row].get<int>());
      const auto plain = std::max_element(logits.begin(), logits.end()) - logits.begin();
      differing_without_noise += plain != entry.at("argmax")[row].get<int>();
    }
  }
  EXPECT_EQ(checked, 20);
  EXPECT_GT(differing_without_noise, 0) << "the cases would pass without any noise";
}

}  // namespace
}  // namespace unmask::testing
