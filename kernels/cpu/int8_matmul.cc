#include "kernels/cpu/int8_matmul.h"

#include <algorithm>
#include <new>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/checks.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/matmul.h"

namespace unmask {
namespace {

constexpr int64_t kLongestSum = 1 << 16;  // 127 * 255 * 2^16 < 2^31: with oneDNN's shift by 128 too.

class SimdPanel : public Int8Panel {
 public:
  SimdPanel(const KernelTable* kernels, const int8_t* weights, int64_t outputs, int64_t inputs)
      : kernels_(*kernels), weights_(weights, weights + outputs * inputs), outputs_(outputs), inputs_(inputs) {}
  int64_t bytes() const override { return static_cast<int64_t>(weights_.size()); }
  absl::Status Multiply(const int8_t* in, int64_t rows, int32_t* sums, int) override {
    kernels_.multiply_int8(in, rows, inputs_, weights_.data(), outputs_, sums);
    return absl::OkStatus();
  }

 private:
  const KernelTable& kernels_;
  const std::vector<int8_t> weights_;
  const int64_t outputs_;
  const int64_t inputs_;
};

class SimdInt8Gemm : public Int8Gemm {
 public:
  explicit SimdInt8Gemm(const KernelTable* kernels) : kernels_(kernels) {}
  absl::StatusOr<std::unique_ptr<Int8Panel>> Pack(const int8_t* weights, int64_t outputs, int64_t inputs) override {
    return std::make_unique<SimdPanel>(kernels_, weights, outputs, inputs);
  }

 private:
  const KernelTable* const kernels_;
};

}  // namespace

std::unique_ptr<Int8Gemm> MakeSimdInt8Gemm(const KernelTable* kernels) {
  return std::make_unique<SimdInt8Gemm>(kernels);
}

int64_t Int8Matrix::bytes() const {
  int64_t total = 0;
  for (const Part& part : parts_) total += part.panel->bytes() + part.scales.size() * sizeof(float);
  return total;
}

Int8Multiplier::Int8Multiplier(const KernelTable* kernels, bool onednn, Workers* workers)
    : kernels_(kernels),
      workers_(workers),
      fallback_(MakeSimdInt8Gemm(kernels)),
      sums_(workers->threads() * kGemmRows * kPanelOutputs) {
  if (kernels->multiply_tiles != nullptr) {
    fallback_ = MakeTileInt8Gemm(kernels);
    return;
  }
  if (!onednn) return;
  auto preferred = MakeOneDnnInt8Gemm(workers->threads());
  if (preferred.ok()) preferred_ = *std::move(preferred);
}

absl::StatusOr<Int8Matrix::Part> Int8Multiplier::PackPart(const float* weights, int64_t outputs, int64_t inputs) {
  std::vector<int8_t> quantised(outputs * inputs);
  Int8Matrix::Part part;
  for (int64_t o = 0; o < outputs; ++o) {
    part.scales.push_back(kernels_->quantize(DType::kF32, weights + o * inputs, inputs, quantised.data() + o * inputs));
  }
  absl::StatusOr<std::unique_ptr<Int8Panel>> panel = absl::UnimplementedError("");
  if (preferred_ != nullptr) panel = preferred_->Pack(quantised.data(), outputs, inputs);
  if (absl::IsUnimplemented(panel.status())) panel = fallback_->Pack(quantised.data(), outputs, inputs);
  UNMASK_RETURN_IF_ERROR(panel.status());
  part.panel = *std::move(panel);
  return part;
}

absl::StatusOr<std::unique_ptr<Int8Matrix>> Int8Multiplier::Pack(absl::Span<const Tensor> slices) {
  UNMASK_ASSIGN_OR_RETURN(const int64_t rows, StackedRows(slices));
  const int64_t columns = slices[0].columns;
  if (columns > kLongestSum) {
    return absl::InvalidArgumentError(
        absl::StrCat("a matrix of ", columns, " columns: int8 sums hold at most ", kLongestSum));
  }
  std::vector<Int8Matrix::Part> parts((rows + kPanelOutputs - 1) / kPanelOutputs);
  UNMASK_RETURN_IF_ERROR(ForPanels(*kernels_, workers_, slices, rows,
                                   [&](int64_t p, const float* weights, int64_t outputs) -> absl::Status {
                                     UNMASK_ASSIGN_OR_RETURN(parts[p], PackPart(weights, outputs, columns));
                                     return absl::OkStatus();
                                   }));
  return std::make_unique<Int8Matrix>(rows, columns, std::move(parts));
}

absl::Status Int8Multiplier::Multiply(const Tensor& in, const Int8Matrix& weight, const Tensor& out) {
  if (in.rows == 0) return absl::OkStatus();
  thread_local std::vector<int8_t> kept_rows;  // By the thread that issues: mapped anew they would be cleared anew.
  thread_local std::vector<float> kept_scales;
  kept_rows.resize(in.rows * in.columns);
  kept_scales.resize(in.rows);
  int8_t* const rows = kept_rows.data();
  float* const row_scales = kept_scales.data();
  workers_->RunRows(in.rows, in.columns, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      row_scales[r] = kernels_->quantize(in.dtype, in.Rows(r, r + 1).data, in.columns, rows + r * in.columns);
    }
  });
  const RowBlocks blocks(in.rows);
  std::vector<absl::Status> errors(workers_->threads());
  const int64_t parts = weight.parts().size();
  workers_->Run(parts * blocks.count, [&](int64_t index, int worker) {
    const int64_t p = index / blocks.count, begin = blocks.Begin(index % blocks.count);
    const int64_t end = std::min(in.rows, begin + blocks.rows);
    const Int8Matrix::Part& part = weight.parts()[p];
    const int64_t outputs = part.scales.size();
    int32_t* to = sums_.data() + worker * kGemmRows * kPanelOutputs;
    const absl::Status status = part.panel->Multiply(rows + begin * in.columns, end - begin, to, worker);
    if (!status.ok()) {
      errors[worker] = status;
      return;
    }
    for (int64_t r = begin; r < end; ++r) {
      kernels_->dequantize(to + (r - begin) * outputs, part.scales.data(), row_scales[r], outputs,
                           out.f32() + r * out.stride + p * kPanelOutputs);
    }
  });
  for (absl::Status& error : errors) UNMASK_RETURN_IF_ERROR(error);
  return absl::OkStatus();
}

}  // namespace unmask
