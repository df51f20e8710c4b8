// Records of disjoint ranges of ids: what Merge keeps exactly, and what Figures makes of them.
#include "kernels/candidate.h"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace unmask::testing {
namespace {

constexpr float kNone = -INFINITY;

// The record of logits [begin, end), straight from its definition.
CandidateRecord Record(const std::vector<float>& logits, int begin, int end) {
  CandidateRecord record = EmptyCandidate();
  for (int i = begin; i < end; ++i) {
    if (logits[i] > record.score) record.score = record.logit = logits[i], record.token = i;
    if (logits[i] > record.max) {
      record.second = record.max, record.max = logits[i];
    } else if (logits[i] > record.second) {
      record.second = logits[i];
    }
  }
  for (int i = begin; i < end; ++i) {
    if (logits[i] == kNone) continue;
    record.sum += std::exp(logits[i] - record.max);
    record.weighted += (logits[i] - record.max) * std::exp(logits[i] - record.max);
  }
  return record;
}

std::vector<float> RandomLogits(unsigned seed, int n) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(n);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

TEST(CandidateTest, EmptyIsNeutralToTheBit) {
  const CandidateRecord record = Record(RandomLogits(1, 9), 0, 9);
  for (const CandidateRecord& merged : {Merge(EmptyCandidate(), record), Merge(record, EmptyCandidate())}) {
    EXPECT_EQ(std::memcmp(&merged, &record, sizeof(record)), 0);
  }
  const CandidateRecord nothing = Merge(EmptyCandidate(), EmptyCandidate());
  EXPECT_EQ(nothing.token, -1);
  EXPECT_EQ(nothing.sum, 0);
  EXPECT_EQ(nothing.max, kNone);
}

TEST(CandidateTest, MergingIsAssociativeInWhatDecidesTheToken) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    std::vector<float> logits = RandomLogits(seed, 40);
    for (float& logit : logits) logit = std::round(logit);  // Ties abound.
    const CandidateRecord a = Record(logits, 0, 7), b = Record(logits, 7, 8), c = Record(logits, 8, 40);
    const CandidateRecord left = Merge(Merge(a, b), c), right = Merge(a, Merge(b, c)), whole = Record(logits, 0, 40);
    for (const CandidateRecord& merged : {left, right}) {
      EXPECT_EQ(merged.token, whole.token);
      EXPECT_EQ(merged.score, whole.score);
      EXPECT_EQ(merged.logit, whole.logit);
      EXPECT_EQ(merged.max, whole.max);
      EXPECT_EQ(merged.second, whole.second);
      EXPECT_NEAR(merged.sum, whole.sum, 1e-5 * whole.sum);
    }
  }
}

TEST(CandidateTest, ATieGoesToTheLowerIds) {
  const std::vector<float> logits = {1, 5, 2, 5, 5};
  const CandidateRecord merged = Merge(Record(logits, 0, 3), Record(logits, 3, 5));
  EXPECT_EQ(merged.token, 1);
  EXPECT_EQ(merged.second, 5);
  // The other way round it would be another token: the order of the ranks matters.
  EXPECT_NE(Merge(Record(logits, 3, 5), Record(logits, 0, 3)).token, 1);
}

TEST(CandidateTest, NotFiniteIsKept) {
  CandidateRecord bad = Record({1, 2}, 0, 2);
  bad.not_finite = 1;
  EXPECT_TRUE(Figures(Merge(bad, EmptyCandidate())).not_finite);
  EXPECT_TRUE(Figures(Merge(Record({3}, 0, 1), bad)).not_finite);
  EXPECT_FALSE(Figures(Record({3}, 0, 1)).not_finite);
}

TEST(CandidateTest, FiguresAreTheSoftmaxs) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::vector<float> logits = RandomLogits(seed, 1000);
    logits[5] = kNone;
    if (seed == 3) logits[17] = 1000, logits[18] = 990;  // Far above the others.
    CandidateRecord record = EmptyCandidate();
    for (int begin = 0; begin < 1000; begin += 125) record = Merge(record, Record(logits, begin, begin + 125));
    double most = kNone, total = 0, entropy = 0, first = 0, second = 0;
    for (const float logit : logits) most = std::max<double>(most, logit);
    for (const float logit : logits) total += std::exp(logit - most);
    for (const float logit : logits) {
      const double p = std::exp(logit - most) / total;
      if (p > 0) entropy -= p * std::log(p);
      if (p > first) {
        second = first, first = p;
      } else {
        second = std::max(second, p);
      }
    }
    const CandidateFigures figures = Figures(record);
    // 1000 additions and 8 merges of numbers rounded to fp32; the entropy is a difference of two such.
    EXPECT_NEAR(figures.confidence, first, 1e-4 * first);
    EXPECT_NEAR(figures.margin, first - second, 1e-4 * first);
    EXPECT_NEAR(figures.entropy, entropy, 2e-4 * (1 + entropy));
  }
}

TEST(CandidateTest, TheOneRangeThatHasTheAskedIdTells) {
  const std::vector<float> logits = RandomLogits(4, 12);
  double total = 0;
  for (const float logit : logits) total += std::exp(logit);
  CandidateRecord low = Record(logits, 0, 5), high = Record(logits, 5, 12);
  EXPECT_EQ(Figures(Merge(low, high)).log_probability, kNone) << "none asked for";
  (logits[2] > logits[8] ? high : low).asked = logits[logits[2] > logits[8] ? 8 : 2];
  EXPECT_NEAR(Figures(Merge(low, high)).log_probability, std::min(logits[2], logits[8]) - std::log(total), 1e-5);
}

TEST(CandidateTest, FiguresOfNothingAreZero) {
  const CandidateFigures figures = Figures(EmptyCandidate());
  EXPECT_EQ(figures.token, -1);
  EXPECT_EQ(figures.confidence, 0);
  EXPECT_EQ(figures.margin, 0);
  EXPECT_EQ(figures.entropy, 0);
  EXPECT_EQ(figures.log_probability, kNone);
}

TEST(CandidateTest, AnUnconfidentProposalHasConfidenceZero) {
  CandidateRecord record = Record({1, 2, 3}, 0, 2);
  record.token = 2, record.score = 3, record.logit = kNone;
  EXPECT_EQ(Figures(record).confidence, 0);
  EXPECT_GT(Figures(record).margin, 0);
}

}  // namespace
}  // namespace unmask::testing
