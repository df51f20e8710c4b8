// The int8 products: how far they may be from the exact ones, and that neither neighbours nor the implementation change
// a bit.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/int8_matmul.h"
#include "tests/kernels/cpu_machines.h"
#include "tests/kernels/matrix.h"

namespace unmask::testing {
namespace {

std::unique_ptr<Backend> OpenInt8(const CpuMachine& machine, int threads = 2) {
  return OpenCpuBackend({.compute_dtype = machine.dtype, .int8 = true, .threads = threads}, machine.kind).value();
}

class Int8Test : public ::testing::TestWithParam<CpuMachine> {};
INSTANTIATE_TEST_SUITE_P(Machines, Int8Test, ::testing::ValuesIn(CpuMachines()),
                         [](const auto& info) { return info.param.name(); });

double LargestOf(const Matrix& matrix, int64_t row, int64_t columns) {
  double largest = 0;
  for (int64_t i = 0; i < columns; ++i) largest = std::max(largest, std::abs(matrix.At(row, i)));
  return largest;
}

// Each factor is off by at most half a scale: |sum x w - sum x' w'| <= sum |x| sw/2 + |w| sx/2 + sx sw/4, and a few
// roundings of floats.
TEST_P(Int8Test, IsWithinHalfAScaleOfTheProduct) {
  const auto backend = OpenInt8(GetParam());
  for (const auto& [rows, outputs, inputs] :
       std::vector<std::array<int, 3>>{{1, 1, 1}, {3, 13, 5}, {2, 24, 64}, {130, 300, 80}, {17, 257, 1040}}) {
    Matrix in(GetParam().dtype, rows, inputs, 3), weight(DType::kF32, outputs, inputs),
        out(DType::kF32, rows, outputs, 5);
    in.FillNormal(1);
    weight.FillNormal(2, 0.1f);
    const auto packed = backend->Pack({weight.tensor()});
    ASSERT_TRUE(packed.ok()) << packed.status();
    backend->MatMul(in.tensor(), **packed, out.tensor());
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    double off = 0;  // Of the largest bound, to see that the bound is one: it is not missed by far.
    for (int64_t r = 0; r < rows; ++r) {
      const double row_scale = LargestOf(in, r, inputs) / 127;
      for (int64_t o = 0; o < outputs; ++o) {
        const double scale = LargestOf(weight, o, inputs) / 127;
        double exact = 0, bound = 0;
        for (int64_t i = 0; i < inputs; ++i) {
          exact += in.At(r, i) * weight.At(o, i);
          bound +=
              std::abs(in.At(r, i)) * scale / 2 + std::abs(weight.At(o, i)) * row_scale / 2 + row_scale * scale / 4;
        }
        const double error = std::abs(out.At(r, o) - exact);
        ASSERT_LE(error, bound * 1.001 + 1e-6 * std::abs(exact)) << r << ", " << o;
        off = std::max(off, error / bound);
      }
    }
    EXPECT_GT(off, inputs > 1 ? 0.01 : -1.0);
    EXPECT_TRUE(std::isnan(out.At(0, outputs))) << "wrote beside its columns";
  }
}

TEST_P(Int8Test, KeepsARowsBitsAmongAnyRowsAndThreads) {
  constexpr int kRows = 200, kOutputs = 300, kInputs = 1040;
  Matrix in(GetParam().dtype, kRows, kInputs), weight(DType::kF32, kOutputs, kInputs),
      all(DType::kF32, kRows, kOutputs);
  in.FillNormal(1);
  weight.FillNormal(2);
  const auto alone = OpenInt8(GetParam(), 1);
  alone->MatMul(in.tensor(), **alone->Pack({weight.tensor()}), all.tensor());
  for (const int threads : {1, 3}) {
    const auto backend = OpenInt8(GetParam(), threads);
    const auto packed = backend->Pack({weight.tensor()});
    for (const auto& [begin, rows] : std::vector<std::pair<int, int>>{{0, 1}, {7, 2}, {100, 3}, {60, 33}, {3, 129}}) {
      Matrix out(DType::kF32, rows, kOutputs);
      backend->MatMul(in.tensor().Rows(begin, begin + rows), **packed, out.tensor());
      ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
      for (int r = 0; r < rows; ++r) ASSERT_EQ(out.RowBytes(r), all.RowBytes(begin + r)) << begin + r << " of " << rows;
    }
  }
}

// Integer sums have no order: oneDNN's and our own are the same bits, on every instruction set.
TEST_P(Int8Test, IsTheSameBitsHoweverItIsComputed) {
  Matrix in(GetParam().dtype, 9, 1040), weight(DType::kF32, 300, 1040), ours(DType::kF32, 9, 300),
      theirs(DType::kF32, 9, 300);
  in.FillNormal(1);
  weight.FillNormal(2);
  const auto backend = OpenInt8(GetParam());
  backend->MatMul(in.tensor(), **backend->Pack({weight.tensor()}), ours.tensor());
  const auto other = OpenInt8(CpuMachines()[GetParam().dtype == DType::kF32 ? 0 : CpuMachines().size() / 2]);
  other->MatMul(in.tensor(), **other->Pack({weight.tensor()}), theirs.tensor());
  for (int r = 0; r < 9; ++r) ASSERT_EQ(ours.RowBytes(r), theirs.RowBytes(r));
}

// The extremes: sums as large as they get. Saturating pairs (vpmaddubsw) would show here.
TEST_P(Int8Test, LargestElementsDoNotSaturate) {
  constexpr int kInputs = 4096;
  Matrix in(GetParam().dtype, 2, kInputs), weight(DType::kF32, 2, kInputs), out(DType::kF32, 2, 2);
  for (int i = 0; i < kInputs; ++i) {
    in.Set(0, i, 1);
    in.Set(1, i, -1);
    weight.Set(0, i, 1);
    weight.Set(1, i, -1);
  }
  const auto backend = OpenInt8(GetParam());
  backend->MatMul(in.tensor(), **backend->Pack({weight.tensor()}), out.tensor());
  ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
  for (int r = 0; r < 2; ++r) {
    for (int o = 0; o < 2; ++o) EXPECT_NEAR(out.At(r, o), r == o ? kInputs : -kInputs, 1e-2);
  }
}

TEST_P(Int8Test, ARowThatIsNotFiniteShows) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Matrix in(GetParam().dtype, 3, 40), weight(DType::kF32, 2, 40), out(DType::kF32, 3, 2);
    in.FillNormal(1);
    weight.FillNormal(2);
    in.Set(1, 39, bad);
    for (int i = 0; i < 40; ++i) in.Set(2, i, 0);
    const auto backend = OpenInt8(GetParam());
    backend->MatMul(in.tensor(), **backend->Pack({weight.tensor()}), out.tensor());
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    EXPECT_TRUE(std::isfinite(out.At(0, 0)));
    EXPECT_TRUE(std::isnan(out.At(1, 0)) && std::isnan(out.At(1, 1)));
    EXPECT_EQ(out.At(2, 0), 0) << "a row of zeros";
  }
}

TEST_P(Int8Test, TheHeadKeepsItsPrecision) {
  Matrix in(GetParam().dtype, 3, 80), weight(DType::kF32, 20, 80), exact(DType::kF32, 3, 20), out(DType::kF32, 3, 20);
  in.FillNormal(1);
  weight.FillNormal(2);
  const auto plain = GetParam().Open();
  plain->MatMul(in.tensor(), **plain->Pack({weight.tensor()}), exact.tensor());
  const auto backend = OpenInt8(GetParam());
  backend->MatMul(in.tensor(), **backend->PackHead({weight.tensor()}), out.tensor());
  for (int r = 0; r < 3; ++r) ASSERT_EQ(out.RowBytes(r), exact.RowBytes(r));
}

TEST_P(Int8Test, RefusesSumsThatCouldOverflow) {
  Matrix weight(DType::kF32, 1, (1 << 16) + 1);
  weight.FillNormal(1);
  EXPECT_EQ(OpenInt8(GetParam())->Pack({weight.tensor()}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace unmask::testing
