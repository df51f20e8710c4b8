// A host matrix of any dtype with room beside its rows, filled with seeded numbers that the dtype holds exactly.
#ifndef UNMASK_TESTS_KERNELS_MATRIX_H_
#define UNMASK_TESTS_KERNELS_MATRIX_H_

#include <cstring>
#include <functional>
#include <random>
#include <string>

#include "kernels/cpu/kernel_table.h"
#include "kernels/tensor.h"
#include "tests/kernels/machines.h"

namespace unmask::testing {

// The relative error of one rounding.
constexpr double kUnit = 0x1p-24;
constexpr double RoundingUnit(DType dtype) {
  return dtype == DType::kF32 ? 0x1p-24 : dtype == DType::kF16 ? 0x1p-11 : 0x1p-8;
}

class Matrix {
 public:
  // Uninitialised elements are NaN in every dtype: what an operation leaves out, or reads too much, shows.
  Matrix(DType dtype, int64_t rows, int64_t columns, int64_t beside = 0)
      : bytes_(rows * (columns + beside) * ByteSize(dtype) + 64),
        tensor_{dtype, rows, columns, columns + beside, std::memset(TakeMemory(bytes_), 0xff, bytes_)} {}
  ~Matrix() { GiveMemory(tensor_.data); }
  Matrix(const Matrix&) = delete;
  Matrix& operator=(const Matrix&) = delete;

  const Tensor& tensor() const { return tensor_; }

  double At(int64_t row, int64_t column) const {
    float value;
    BestKernels().widen(tensor_.dtype, Element(row, column), 1, &value);
    return value;
  }
  void Set(int64_t row, int64_t column, float value) {
    BestKernels().narrow(&value, 1, tensor_.dtype, Element(row, column));
  }

  Matrix& Fill(const std::function<float(int64_t, int64_t)>& value) {
    for (int64_t r = 0; r < tensor_.rows; ++r) {
      for (int64_t c = 0; c < tensor_.columns; ++c) Set(r, c, value(r, c));
    }
    return *this;
  }
  Matrix& FillNormal(unsigned seed, float scale = 1) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, scale);
    return Fill([&](int64_t, int64_t) { return normal(random); });
  }
  // Small integers: every product and sum of them is exact, so ties are ties.
  Matrix& FillIntegers(unsigned seed, int bound) {
    std::mt19937 random(seed);
    return Fill(
        [&](int64_t, int64_t) { return static_cast<float>(static_cast<int>(random() % (2 * bound + 1)) - bound); });
  }

  // Row `row` as bits, to compare.
  std::string RowBytes(int64_t row) const {
    return std::string(static_cast<const char*>(tensor_.Rows(row, row + 1).data),
                       tensor_.columns * ByteSize(tensor_.dtype));
  }

 private:
  void* Element(int64_t row, int64_t column) const {
    return tensor_.Rows(row, row + 1).Columns(column, column + 1).data;
  }

  const size_t bytes_;
  Tensor tensor_;
};

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_KERNELS_MATRIX_H_
