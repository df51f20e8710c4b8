// Attention against double precision over ragged groups, horizons and grouped heads; and the check that keeps it in its
// slots.
#include <cmath>
#include <numeric>

#include "gtest/gtest.h"
#include "tests/kernels/machines.h"
#include "tests/kernels/matrix.h"

namespace unmask::testing {
namespace {

class AttentionTest : public ::testing::TestWithParam<Machine> {};
INSTANTIATE_TEST_SUITE_P(Machines, AttentionTest, ::testing::ValuesIn(AllMachines()),
                         [](const auto& info) { return info.param.name; });

// A slot of two layers, filled up to `horizon` and NaN beyond: what lies beyond may be anything.
struct Slot {
  Slot(DType dtype, int64_t length, int64_t width, int64_t horizon, unsigned seed)
      : keys(dtype, 2 * length, width, 8),
        values(dtype, 2 * length, width, 8),
        slot{length, keys.tensor(), values.tensor()} {
    Matrix some(DType::kF32, length, width), others(DType::kF32, length, width);
    some.FillNormal(seed);
    others.FillNormal(seed + 1);
    for (int64_t p = 0; p < horizon; ++p) {
      for (int64_t c = 0; c < width; ++c) {
        keys.Set(length + p, c, static_cast<float>(some.At(p, c)));  // Layer 1.
        values.Set(length + p, c, static_cast<float>(others.At(p, c)));
      }
    }
  }
  Matrix keys, values;
  KvSlot slot;
};

TEST_P(AttentionTest, IsTheSoftmaxOfItsHorizon) {
  const auto backend = GetParam().Open();
  const DType dtype = GetParam().dtype;
  for (const auto& [heads, kv_heads, head_dim] :
       std::vector<std::array<int, 3>>{{5, 1, 16}, {2, 2, 6}, {6, 2, 80}, {1, 1, 128}, {3, 3, 34}, {4, 2, 64}}) {
    Slot a(dtype, 150, kv_heads * head_dim, 150, 1), b(dtype, 40, kv_heads * head_dim, 33, 3);
    RowLayout layout;
    for (int r = 0; r < 70; ++r) layout.horizons.push_back(r < 40 ? 150 : r < 60 ? 64 : r);
    for (int r = 0; r < 11; ++r) layout.horizons.push_back(r == 0 ? 0 : r == 5 ? 1 : 33);
    layout.positions.assign(81, 0);
    layout.groups = {{0, 70, &a.slot}, {70, 81, &b.slot}};
    Matrix q(DType::kF32, 81, heads * head_dim, 7), out(dtype, 81, heads * head_dim, 2);
    q.FillNormal(5);
    backend->Attend(layout, 1, heads, head_dim, {}, q.tensor(), out.tensor());
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    double worst = 0;
    for (int r = 0; r < 81; ++r) {
      const Slot& slot = r < 70 ? a : b;
      const int horizon = layout.horizons[r];
      for (int h = 0; h < heads; ++h) {
        const int kv = h / (heads / kv_heads) * head_dim;
        std::vector<double> weights;
        double most = -INFINITY, total = 0, score_error = 0;
        for (int p = 0; p < horizon; ++p) {
          double score = 0, magnitude = 0;
          for (int i = 0; i < head_dim; ++i) {
            const double product = q.At(r, h * head_dim + i) * slot.keys.At(slot.slot.length + p, kv + i);
            score += product;
            magnitude += std::abs(product);
          }
          weights.push_back(score / std::sqrt(head_dim));
          most = std::max(most, weights.back());
          const double unit = (head_dim + 3) * kUnit + GetParam().attention_unit;
          score_error = std::max(score_error, unit * magnitude / std::sqrt(head_dim));
        }
        for (double& weight : weights) total += weight = std::exp(weight - most);
        for (int i = 0; i < head_dim; ++i) {
          double expected = 0, magnitude = 0;
          for (int p = 0; p < horizon; ++p) {
            const double value = slot.values.At(slot.slot.length + p, kv + i);
            expected += weights[p] / total * value;
            magnitude += weights[p] / total * std::abs(value);
          }
          // Scores move every weight by their error, twice (sum and share); then sums over the horizon and the
          // exponentials.
          const double unit = 2 * score_error + (2 * horizon + 40) * kUnit + GetParam().attention_unit;
          const double tolerance = unit * magnitude + 1.01 * RoundingUnit(dtype) * std::abs(expected) + 1e-30;
          const double error = std::abs(out.At(r, h * head_dim + i) - expected) / tolerance;
          worst = std::isnan(error) ? INFINITY : std::max(worst, error);
        }
      }
    }
    EXPECT_LE(worst, 1) << heads << " heads of " << head_dim;
  }
}

TEST_P(AttentionTest, FollowsTheMapOfRaggedHeads) {
  const auto backend = GetParam().Open();
  constexpr int kHeadDim = 16;
  Slot kv(GetParam().dtype, 20, 2 * kHeadDim, 20, 1);
  // Heads 1..3 of six over two K/V heads: the first reads K/V head 0, the others 1.
  const RowLayout layout{{0, 1}, {20, 20}, {{0, 2, &kv.slot}}};
  Matrix q(DType::kF32, 2, 3 * kHeadDim), mapped(GetParam().dtype, 2, 3 * kHeadDim), one(GetParam().dtype, 2, kHeadDim);
  q.FillNormal(2);
  backend->Attend(layout, 1, 3, kHeadDim, {0, 1, 1}, q.tensor(), mapped.tensor());
  const int expected[] = {0, 1, 1};
  for (int h = 0; h < 3; ++h) {
    backend->Attend(layout, 1, 1, kHeadDim, {expected[h]}, q.tensor().Columns(h * kHeadDim, (h + 1) * kHeadDim),
                    one.tensor());
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    for (int r = 0; r < 2; ++r) {
      for (int i = 0; i < kHeadDim; ++i) EXPECT_EQ(mapped.At(r, h * kHeadDim + i), one.At(r, i));
    }
  }
}

TEST_P(AttentionTest, SurvivesScoresThatWouldOverflow) {
  const auto backend = GetParam().Open();
  Slot kv(GetParam().dtype, 3, 2, 0, 1);
  for (int p = 0; p < 3; ++p) {
    kv.keys.Set(3 + p, 0, p == 1 ? 1000.0f : -1000.0f);
    kv.keys.Set(3 + p, 1, 0);
    kv.values.Set(3 + p, 0, static_cast<float>(p));
    kv.values.Set(3 + p, 1, 5);
  }
  const RowLayout layout{{0}, {3}, {{0, 1, &kv.slot}}};
  Matrix q(DType::kF32, 1, 2), out(GetParam().dtype, 1, 2);
  q.Fill([](int64_t, int64_t) { return 1000.0f; });
  backend->Attend(layout, 1, 1, 2, {}, q.tensor(), out.tensor());
  ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
  EXPECT_EQ(out.At(0, 0), 1);
  EXPECT_EQ(out.At(0, 1), 5);
}

TEST_P(AttentionTest, NothingOutsideASlotIsTouched) {
  const auto backend = GetParam().Open();
  Slot kv(GetParam().dtype, 8, 4, 8, 1);
  Matrix q(DType::kF32, 1, 4), out(GetParam().dtype, 1, 4);
  q.FillNormal(1);
  const auto attend = [&](int layer, int position, int horizon, absl::Span<const int32_t> map, int end = 1) {
    const RowLayout layout{{position}, {horizon}, {{0, end, &kv.slot}}};
    backend->Attend(layout, layer, 1, 4, map, q.tensor(), out.tensor());
    return backend->Synchronize();
  };
  EXPECT_TRUE(attend(1, 7, 8, {}).ok());
  EXPECT_EQ(attend(2, 7, 8, {}).code(), absl::StatusCode::kInternal) << "layer";
  EXPECT_EQ(attend(-1, 7, 8, {}).code(), absl::StatusCode::kInternal) << "layer";
  EXPECT_EQ(attend(1, 8, 8, {}).code(), absl::StatusCode::kInternal) << "position";
  EXPECT_EQ(attend(1, -1, 8, {}).code(), absl::StatusCode::kInternal) << "position";
  EXPECT_EQ(attend(1, 7, 9, {}).code(), absl::StatusCode::kInternal) << "horizon";
  EXPECT_EQ(attend(1, 7, 8, {1}).code(), absl::StatusCode::kInternal) << "map";
  EXPECT_EQ(attend(1, 7, 8, {}, 2).code(), absl::StatusCode::kInternal) << "group";
}

}  // namespace
}  // namespace unmask::testing
