// Products against double precision. Tolerance: k + 2 roundings of at most sum |a_i b_i| each, whatever the order; bf16
// numbers have exact products.
#include <cmath>

#include "gtest/gtest.h"
#include "tests/kernels/machines.h"
#include "tests/kernels/matrix.h"

namespace unmask::testing {
namespace {

class MatMulTest : public ::testing::TestWithParam<Machine> {};
INSTANTIATE_TEST_SUITE_P(Machines, MatMulTest, ::testing::ValuesIn(AllMachines()),
                         [](const auto& info) { return info.param.name; });

// The largest error of out over its tolerance.
double WorstError(const Matrix& in, const Matrix& weight, DType rounded, const Matrix& out) {
  double worst = 0;
  const int64_t depth = in.tensor().columns;
  for (int64_t r = 0; r < out.tensor().rows; ++r) {
    for (int64_t c = 0; c < out.tensor().columns; ++c) {
      double sum = 0, magnitude = 0;
      for (int64_t i = 0; i < depth; ++i) {
        sum += in.At(r, i) * weight.At(c, i);
        magnitude += std::abs(in.At(r, i) * weight.At(c, i));
      }
      // Weights stored wider than the compute dtype are rounded to it.
      const double unit = static_cast<double>(depth + 2) * kUnit + (rounded == DType::kF32 ? 0 : RoundingUnit(rounded));
      const double error = std::abs(out.At(r, c) - sum) / (unit * magnitude + 1e-30);
      worst = std::isnan(error) ? INFINITY : std::max(worst, error);
    }
  }
  return worst;
}

TEST_P(MatMulTest, IsTheProductForOddShapes) {
  const auto backend = GetParam().Open();
  for (const auto& [rows, outputs, inputs] : std::vector<std::array<int, 3>>{
           {1, 1, 1}, {3, 13, 5}, {7, 777, 48}, {130, 80, 80}, {17, 300, 1040}, {2, 257, 130}}) {
    Matrix in(GetParam().dtype, rows, inputs, 3), weight(DType::kF32, outputs, inputs),
        out(DType::kF32, rows, outputs, 5);
    in.FillNormal(1);
    weight.FillNormal(2, 0.1f);
    const auto packed = backend->Pack({weight.tensor()});
    ASSERT_TRUE(packed.ok()) << packed.status();
    EXPECT_EQ((*packed)->rows(), outputs);
    EXPECT_EQ((*packed)->columns(), inputs);
    EXPECT_GE((*packed)->bytes(), outputs * inputs * static_cast<int64_t>(ByteSize(GetParam().dtype)));
    backend->MatMul(in.tensor(), **packed, out.tensor());
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    EXPECT_LE(WorstError(in, weight, GetParam().dtype, out), 1) << rows << " x " << inputs << " x " << outputs;
    EXPECT_TRUE(std::isnan(out.At(0, outputs))) << "wrote beside its columns";
    // The tolerance tells a neighbouring weight from the right one.
    weight.Set(outputs - 1, inputs - 1, static_cast<float>(weight.At(outputs - 1, inputs - 1)) + 0.5f);
    EXPECT_GT(WorstError(in, weight, GetParam().dtype, out), 1);
  }
}

TEST_P(MatMulTest, StacksSlicesOfEveryDTypeAndStride) {
  const auto backend = GetParam().Open();
  constexpr int64_t kInputs = 48;
  // Column slices of wider matrices, as row-parallel weights are.
  Matrix first(DType::kF32, 80, kInputs, 16), second(DType::kF16, 1, kInputs, 5), third(DType::kBf16, 301, kInputs, 0);
  first.FillIntegers(1, 3);
  second.FillIntegers(2, 3);
  third.FillIntegers(3, 3);
  Matrix in(GetParam().dtype, 9, kInputs), out(DType::kF32, 9, 382);
  in.FillIntegers(4, 3);
  const auto packed = backend->Pack({first.tensor(), second.tensor(), third.tensor()});
  ASSERT_TRUE(packed.ok()) << packed.status();
  backend->MatMul(in.tensor(), **packed, out.tensor());
  ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
  for (int64_t c = 0; c < 382; ++c) {
    const Matrix& slice = c < 80 ? first : c < 81 ? second : third;
    const int64_t row = c < 80 ? c : c < 81 ? 0 : c - 81;
    for (int64_t r = 0; r < 9; ++r) {
      double sum = 0;
      for (int64_t i = 0; i < kInputs; ++i) sum += in.At(r, i) * slice.At(row, i);
      ASSERT_EQ(out.At(r, c), sum) << r << ", " << c;
    }
  }
}

TEST_P(MatMulTest, OfNoRowsDoesNothing) {
  const auto backend = GetParam().Open();
  Matrix weight(DType::kF32, 4, 8), in(GetParam().dtype, 0, 8), out(DType::kF32, 0, 4);
  weight.FillNormal(1);
  const auto packed = backend->Pack({weight.tensor()});
  ASSERT_TRUE(packed.ok());
  backend->MatMul(in.tensor(), **packed, out.tensor());
  EXPECT_EQ(backend->Synchronize(), absl::OkStatus());
}

}  // namespace
}  // namespace unmask::testing
