// Norm, rotary embedding, SwiGLU, sum, rows taken and embedded: each against double precision.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "gtest/gtest.h"
#include "tests/kernels/machines.h"
#include "tests/kernels/matrix.h"

namespace unmask::testing {
namespace {

class RowsTest : public ::testing::TestWithParam<Machine> {};
INSTANTIATE_TEST_SUITE_P(Machines, RowsTest, ::testing::ValuesIn(AllMachines()),
                         [](const auto& info) { return info.param.name; });

constexpr int kWidths[] = {1, 2, 7, 16, 31, 64, 80, 130};

TEST_P(RowsTest, RmsNormRoundsTwiceAsTheReference) {
  const auto backend = GetParam().Open();
  for (const int width : kWidths) {
    Matrix in(DType::kF32, 5, width, 2), weight(DType::kF32, 1, width), out(GetParam().dtype, 5, width, 3);
    in.FillNormal(1, 3);
    weight.FillNormal(2);
    backend->RmsNorm(in.tensor(), weight.tensor(), 1e-5f, out.tensor());
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    for (int r = 0; r < 5; ++r) {
      double squares = 0;
      for (int c = 0; c < width; ++c) squares += in.At(r, c) * in.At(r, c);
      const double scale = 1 / std::sqrt(squares / width + double{1e-5f});
      for (int c = 0; c < width; ++c) {
        const double expected = in.At(r, c) * scale * weight.At(0, c);
        // The sum of squares, a handful of operations, and both roundings to the compute dtype.
        const double unit = (width / 2.0 + 8) * kUnit + 2.01 * RoundingUnit(GetParam().dtype);
        EXPECT_NEAR(out.At(r, c), expected, unit * std::abs(expected)) << width << ": " << r << ", " << c;
      }
    }
    EXPECT_TRUE(std::isnan(out.At(0, width))) << "wrote beside its columns";
  }
}

TEST_P(RowsTest, RmsNormRoundsToBf16BeforeTheWeight) {
  if (GetParam().dtype != DType::kBf16) GTEST_SKIP() << "nothing is rounded";
  // The rms is 1, so the first element stays 1 + 0.45 * 2^-7, below half way between the bf16 1 and 1 + 2^-7: rounding
  // first gives 1, and 1 * 1.5 = 1.5. Rounding once, at the end, would give 1.5 + 2^-7.
  const auto backend = GetParam().Open();
  Matrix in(DType::kF32, 1, 2), weight(DType::kF32, 1, 2), out(DType::kBf16, 1, 2);
  const double first = 1 + 0.9 * 0x1p-8;
  in.Set(0, 0, static_cast<float>(first));
  in.Set(0, 1, static_cast<float>(std::sqrt(2 - first * first)));
  weight.Set(0, 0, 1.5f);
  weight.Set(0, 1, 1);
  backend->RmsNorm(in.tensor(), weight.tensor(), 0, out.tensor());
  ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
  EXPECT_EQ(out.At(0, 0), 1.5);
}

TEST_P(RowsTest, SwiGluIsSiluTimesUp) {
  const auto backend = GetParam().Open();
  for (const int width : kWidths) {
    Matrix gate_up(DType::kF32, 4, 2 * width), out(GetParam().dtype, 4, width, 1);
    gate_up.FillNormal(3, 8);
    gate_up.Set(0, 0, -200);  // e^200 overflows.
    gate_up.Set(1, 0, 200);
    backend->SwiGlu(gate_up.tensor(), out.tensor());
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    for (int r = 0; r < 4; ++r) {
      for (int c = 0; c < width; ++c) {
        const double gate = gate_up.At(r, c), up = gate_up.At(r, width + c);
        const double expected = gate / (1 + std::exp(-gate)) * up;
        const double unit = 8 * kUnit + 1.01 * RoundingUnit(GetParam().dtype);
        EXPECT_NEAR(out.At(r, c), expected, unit * std::abs(expected) + 1e-30) << width << ": " << r << ", " << c;
      }
    }
  }
}

TEST_P(RowsTest, RotateAndStoreTurnsHalvesAndFillsTheSlots) {
  const auto backend = GetParam().Open();
  const DType dtype = GetParam().dtype;
  constexpr float kTheta = 500000;
  for (const auto& [heads, kv_heads, head_dim] :
       std::vector<std::array<int, 3>>{{5, 1, 16}, {2, 2, 6}, {1, 1, 2}, {4, 2, 64}, {3, 3, 34}}) {
    const int width = (heads + 2 * kv_heads) * head_dim, layer = 1;
    Matrix keys1(dtype, 2 * 9, kv_heads * head_dim), values1(dtype, 2 * 9, kv_heads * head_dim);
    Matrix keys2(dtype, 2 * 700, kv_heads * head_dim), values2(dtype, 2 * 700, kv_heads * head_dim);
    const KvSlot slot1{9, keys1.tensor(), values1.tensor()}, slot2{700, keys2.tensor(), values2.tensor()};
    const RowLayout layout{{0, 3, 8, 5, 699}, {9, 9, 9, 6, 700}, {{0, 3, &slot1}, {3, 5, &slot2}}};
    Matrix qkv(DType::kF32, 5, width), before(DType::kF32, 5, width);
    qkv.FillNormal(4);
    before.FillNormal(4);
    backend->RotateAndStore(layout, layer, heads, kv_heads, head_dim, kTheta, qkv.tensor());
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    for (int r = 0; r < 5; ++r) {
      const KvSlot& slot = r < 3 ? slot1 : slot2;
      const Matrix& keys = r < 3 ? keys1 : keys2;
      const Matrix& values = r < 3 ? values1 : values2;
      const int64_t stored = layer * slot.length + layout.positions[r];
      for (int h = 0; h < heads + 2 * kv_heads; ++h) {
        for (int i = 0; i < head_dim; ++i) {
          const int pair = i % (head_dim / 2), base = h * head_dim;
          const float frequency = static_cast<float>(std::pow(double{kTheta}, -2.0 * pair / head_dim));
          const double angle = static_cast<float>(layout.positions[r]) * frequency;
          const double low = before.At(r, base + pair), high = before.At(r, base + pair + head_dim / 2);
          double expected = i < head_dim / 2 ? low * std::cos(angle) - high * std::sin(angle)
                                             : high * std::cos(angle) + low * std::sin(angle);
          double tolerance = 4 * kUnit * (std::abs(low) + std::abs(high));
          if (h < heads) {
            EXPECT_NEAR(qkv.At(r, base + i), expected, tolerance);
            continue;
          }
          const bool key = h < heads + kv_heads;
          if (!key) expected = before.At(r, base + i), tolerance = 0;
          const int column = (h - heads - (key ? 0 : kv_heads)) * head_dim + i;
          EXPECT_NEAR((key ? keys : values).At(stored, column), expected,
                      tolerance + (dtype == DType::kF32 ? 0 : 1.01 * RoundingUnit(dtype) * std::abs(expected)));
        }
      }
    }
    EXPECT_TRUE(std::isnan(keys1.At(0, 0))) << "wrote to another layer";
    EXPECT_TRUE(std::isnan(keys1.At(9 + 1, 0))) << "wrote to another position";
  }
}

TEST_P(RowsTest, AddIsOneRounding) {
  const auto backend = GetParam().Open();
  Matrix delta(DType::kF32, 6, 133, 1), sum(DType::kF32, 6, 133, 2), before(DType::kF32, 6, 133);
  delta.FillNormal(5);
  sum.FillNormal(6);
  before.FillNormal(6);
  backend->Add(delta.tensor(), sum.tensor());
  ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
  for (int r = 0; r < 6; ++r) {
    for (int c = 0; c < 133; ++c) EXPECT_EQ(sum.At(r, c), static_cast<float>(before.At(r, c) + delta.At(r, c)));
  }
}

TEST_P(RowsTest, EmbedTakesItsOwnRowsAndZerosTheRest) {
  const auto backend = GetParam().Open();
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16}) {
    Matrix table(dtype, 10, 37, 3), out(DType::kF32, 6, 37);
    table.FillNormal(7);
    const std::vector<int32_t> tokens = {100, 109, 110, 99, 105, -1};
    backend->Embed(table.tensor(), tokens, 100, out.tensor());
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    for (int r = 0; r < 6; ++r) {
      const bool own = tokens[r] >= 100 && tokens[r] < 110;
      for (int c = 0; c < 37; ++c) EXPECT_EQ(out.At(r, c), own ? table.At(tokens[r] - 100, c) : 0);
    }
  }
}

TEST_P(RowsTest, TakeRowsCopiesBits) {
  const auto backend = GetParam().Open();
  Matrix in(GetParam().dtype, 5, 9, 2), out(GetParam().dtype, 4, 9);
  in.FillNormal(8);
  const std::vector<int32_t> rows = {4, 0, 0, 3};
  backend->TakeRows(in.tensor(), rows, out.tensor());
  ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(out.RowBytes(i), in.RowBytes(rows[i]));
}

TEST_P(RowsTest, UploadConvertsBetweenAllTypesRoundingToEven) {
  const auto backend = GetParam().Open();
  for (const DType from : {DType::kF32, DType::kF16, DType::kBf16}) {
    for (const DType to : {DType::kF32, DType::kF16, DType::kBf16}) {
      Matrix host(from, 3, 41, 1), device(to, 3, 41, 2);
      host.FillNormal(9, 100);
      host.Set(0, 0, 0);
      host.Set(0, 1, std::numeric_limits<float>::infinity());
      host.Set(0, 2, std::numeric_limits<float>::quiet_NaN());
      host.Set(0, 3, 0x1p-24f);      // A subnormal fp16.
      host.Set(0, 4, 1 + 0x1p-8f);   // Half way between two bf16: to the even one, 1.
      host.Set(0, 5, 1 + 0x1p-11f);  // Likewise of fp16.
      host.Set(0, 6, -65519.f);      // The last that fp16 does not round to infinity.
      backend->Upload(host.tensor(), device.tensor());
      ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
      for (int r = 0; r < 3; ++r) {
        for (int c = 0; c < 41; ++c) {
          const double value = host.At(r, c);
          if (std::isnan(value)) {
            EXPECT_TRUE(std::isnan(device.At(r, c)));
          } else if (std::abs(value) > 65519 && to == DType::kF16) {
            EXPECT_EQ(device.At(r, c), std::copysign(INFINITY, value));
          } else if (std::isinf(value)) {
            EXPECT_EQ(device.At(r, c), value);
          } else {
            EXPECT_NEAR(device.At(r, c), value,
                        std::max(RoundingUnit(to) * std::abs(value), to == DType::kF16 ? 0x1p-25 : 0));
          }
        }
      }
      if (from == DType::kF32 && to == DType::kBf16) {
        EXPECT_EQ(device.At(0, 4), 1);
      }
      if (from == DType::kF32 && to == DType::kF16) {
        EXPECT_EQ(device.At(0, 5), 1);
      }
      if (from == DType::kF32 && to == DType::kF16) {
        EXPECT_EQ(device.At(0, 6), -65504);
      }
    }
  }
}

TEST_P(RowsTest, NoRowsAreFine) {
  const auto backend = GetParam().Open();
  Matrix none(DType::kF32, 0, 8), weight(DType::kF32, 1, 8), out(GetParam().dtype, 0, 8), half(GetParam().dtype, 0, 4);
  backend->Upload(none.tensor(), none.tensor());
  backend->Embed(weight.tensor(), {}, 0, none.tensor());
  backend->RmsNorm(none.tensor(), weight.tensor(), 1e-5f, out.tensor());
  backend->RotateAndStore({}, 0, 2, 1, 2, 10000, none.tensor());
  backend->Attend({}, 0, 2, 4, {}, none.tensor(), out.tensor());
  backend->SwiGlu(none.tensor(), half.tensor());
  backend->Add(none.tensor(), none.tensor());
  backend->TakeRows(none.tensor(), {}, none.tensor());
  backend->Download(none.tensor(), {});
  EXPECT_EQ(backend->Synchronize(), absl::OkStatus());
}

}  // namespace
}  // namespace unmask::testing
