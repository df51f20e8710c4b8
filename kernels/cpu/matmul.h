// A packed weight of the CPU backend and products with it: panels of outputs by blocks of rows, spread over the
// workers.
#ifndef UNMASK_KERNELS_CPU_MATMUL_H_
#define UNMASK_KERNELS_CPU_MATMUL_H_

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/backend.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/workers.h"

namespace unmask {

class CpuMatrix : public PackedMatrix {
 public:
  CpuMatrix(int64_t rows, int64_t columns, std::vector<std::unique_ptr<GemmPanel>> panels);
  int64_t rows() const override { return rows_; }
  int64_t columns() const override { return columns_; }
  int64_t bytes() const override { return bytes_; }

  // Panel p makes outputs [p * kPanelOutputs, ...).
  int64_t panels() const { return static_cast<int64_t>(panels_.size()); }
  int64_t PanelEnd(int64_t panel) const { return std::min(rows_, (panel + 1) * kPanelOutputs); }
  GemmPanel* panel(int64_t p) const { return panels_[p].get(); }

 private:
  const int64_t rows_;
  const int64_t columns_;
  const std::vector<std::unique_ptr<GemmPanel>> panels_;
  int64_t bytes_ = 0;  // Of all panels; asked for by each product.
};

// pack(panel, weights, outputs) for each panel of the stacked slices, by all workers: `weights` is (outputs, inputs)
// fp32 for the call's time. Returns the first error. Temporaries are one panel a worker.
absl::Status ForPanels(const KernelTable& kernels, Workers* workers, absl::Span<const Tensor> slices, int64_t rows,
                       absl::FunctionRef<absl::Status(int64_t panel, const float* weights, int64_t outputs)> pack);

class MatrixMultiplier {
 public:
  MatrixMultiplier(const KernelTable* kernels, DType compute_dtype, bool onednn, Workers* workers);

  // What decides bits.
  std::string Name() const { return preferred_ != nullptr ? preferred_->Name() : fallback_->Name(); }

  // See Backend::Pack.
  absl::StatusOr<std::unique_ptr<CpuMatrix>> Pack(absl::Span<const Tensor> slices);

  // See Backend::MatMul.
  absl::Status Multiply(const Tensor& in, const CpuMatrix& weight, const Tensor& out);

  // See Backend::MatMulSwiGlu. What a panel of gate's and its counterpart of up's make never leaves the cache of the
  // worker that multiplies both. For weights that HasPairs(): both halves end with a panel.
  absl::Status MultiplySwiGlu(const Tensor& in, const CpuMatrix& weight, const Tensor& out);
  static bool HasPairs(const CpuMatrix& weight) { return weight.rows() % (2 * kPanelOutputs) == 0; }

 private:
  // task(panel < panels, begin, end, worker) for blocks of `in`'s rows; as Multiply wants it for that many panels.
  absl::Status ForBlocks(const Tensor& in, const CpuMatrix& weight, int64_t panels,
                         absl::FunctionRef<absl::Status(int64_t, const char* rows, int64_t, int64_t, int)> task);
  absl::StatusOr<std::unique_ptr<GemmPanel>> PackPanel(const float* weights, int64_t outputs, int64_t inputs);

  const KernelTable* const kernels_;
  Workers* const workers_;
  std::unique_ptr<Gemm> preferred_;  // Null where only ours will do.
  std::unique_ptr<Gemm> fallback_;
};

}  // namespace unmask

#endif  // UNMASK_KERNELS_CPU_MATMUL_H_
