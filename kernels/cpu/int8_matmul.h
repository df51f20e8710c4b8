// Products in int8: each output of a weight has a scale, each row of the input another, both so that the largest
// element becomes 127; the sums between are exact integers. So a row's bits depend on neither its neighbours nor on
// who computes the sums: AMX's tiles, oneDNN where it has VNNI, else our own loop.
#ifndef UNMASK_KERNELS_CPU_INT8_MATMUL_H_
#define UNMASK_KERNELS_CPU_INT8_MATMUL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/backend.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/workers.h"

namespace unmask {

// Some outputs of a quantised weight, packed.
class Int8Panel {
 public:
  virtual ~Int8Panel() = default;
  virtual int64_t bytes() const = 0;
  // sums = in * panel^T, both without gaps; as GemmPanel::Multiply.
  virtual absl::Status Multiply(const int8_t* in, int64_t rows, int32_t* sums, int worker) = 0;
};

class Int8Gemm {
 public:
  virtual ~Int8Gemm() = default;
  // (outputs <= kPanelOutputs, inputs) row-major, by any thread. UNIMPLEMENTED where this shape is not for this Gemm.
  virtual absl::StatusOr<std::unique_ptr<Int8Panel>> Pack(const int8_t* weights, int64_t outputs, int64_t inputs) = 0;
};

std::unique_ptr<Int8Gemm> MakeSimdInt8Gemm(const KernelTable* kernels);
// `kernels` has multiply_tiles.
std::unique_ptr<Int8Gemm> MakeTileInt8Gemm(const KernelTable* kernels);
// UNIMPLEMENTED where the machine has no VNNI: oneDNN's sums would saturate.
absl::StatusOr<std::unique_ptr<Int8Gemm>> MakeOneDnnInt8Gemm(int workers);

class Int8Matrix : public PackedMatrix {
 public:
  struct Part {
    std::unique_ptr<Int8Panel> panel;
    std::vector<float> scales;  // Of each output.
  };

  Int8Matrix(int64_t rows, int64_t columns, std::vector<Part> parts)
      : rows_(rows), columns_(columns), parts_(std::move(parts)) {}
  int64_t rows() const override { return rows_; }
  int64_t columns() const override { return columns_; }
  int64_t bytes() const override;
  // Part p makes outputs [p * kPanelOutputs, ...).
  absl::Span<const Part> parts() const { return parts_; }

 private:
  const int64_t rows_;
  const int64_t columns_;
  const std::vector<Part> parts_;
};

class Int8Multiplier {
 public:
  Int8Multiplier(const KernelTable* kernels, bool onednn, Workers* workers);

  // As MatrixMultiplier's.
  absl::StatusOr<std::unique_ptr<Int8Matrix>> Pack(absl::Span<const Tensor> slices);
  absl::Status Multiply(const Tensor& in, const Int8Matrix& weight, const Tensor& out);

 private:
  absl::StatusOr<Int8Matrix::Part> PackPart(const float* weights, int64_t outputs, int64_t inputs);

  const KernelTable* const kernels_;
  Workers* const workers_;
  std::unique_ptr<Int8Gemm> preferred_;  // Null where only ours will do.
  std::unique_ptr<Int8Gemm> fallback_;
  std::vector<int32_t> sums_;  // Of each worker: one product.
};

}  // namespace unmask

#endif  // UNMASK_KERNELS_CPU_INT8_MATMUL_H_
