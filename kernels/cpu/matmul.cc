#include "kernels/cpu/matmul.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/checks.h"

namespace unmask {
namespace {

constexpr int64_t kCachedWeight = 1 << 20;  // Bytes: half of a second-level cache today.

// The same rows without gaps, in `gathered` where they have some.
const char* DenseRows(const Tensor& in, std::vector<char>* gathered) {
  if (in.stride == in.columns) return static_cast<const char*>(in.data);
  const int64_t row_bytes = in.columns * ByteSize(in.dtype);
  gathered->resize(in.rows * row_bytes);
  for (int64_t r = 0; r < in.rows; ++r) {
    std::memcpy(gathered->data() + r * row_bytes, in.Rows(r, r + 1).data, row_bytes);
  }
  return gathered->data();
}

}  // namespace

CpuMatrix::CpuMatrix(int64_t rows, int64_t columns, std::vector<std::unique_ptr<GemmPanel>> panels)
    : rows_(rows), columns_(columns), panels_(std::move(panels)) {
  for (const auto& panel : panels_) bytes_ += panel->bytes();
}

MatrixMultiplier::MatrixMultiplier(const KernelTable* kernels, DType compute_dtype, bool onednn, Workers* workers)
    : kernels_(kernels), workers_(workers), fallback_(MakeSimdGemm(kernels, compute_dtype, workers->threads())) {
  if (compute_dtype == DType::kBf16 && kernels->multiply_tiles != nullptr) {
    fallback_ = MakeTileGemm(kernels);
    return;
  }
  if (!onednn) return;
  auto preferred = MakeOneDnnGemm(compute_dtype, workers->threads());
  if (preferred.ok()) preferred_ = *std::move(preferred);
}

absl::Status ForPanels(const KernelTable& kernels, Workers* workers, absl::Span<const Tensor> slices, int64_t rows,
                       absl::FunctionRef<absl::Status(int64_t, const float*, int64_t)> pack) {
  const int64_t count = (rows + kPanelOutputs - 1) / kPanelOutputs;
  const int64_t columns = slices[0].columns;
  std::vector<absl::Status> errors(count);
  std::vector<std::vector<float>> scratch(workers->threads());
  workers->Run(count, [&](int64_t p, int worker) {
    const int64_t begin = p * kPanelOutputs, end = std::min(rows, begin + kPanelOutputs);
    try {
      scratch[worker].resize(kPanelOutputs * columns);
      int64_t first = 0;  // The stacked row with which a slice begins.
      for (const Tensor& slice : slices) {
        for (int64_t row = std::max(begin, first); row < std::min(end, first + slice.rows); ++row) {
          kernels.widen(slice.dtype, slice.Rows(row - first, row - first + 1).data, columns,
                        scratch[worker].data() + (row - begin) * columns);
        }
        first += slice.rows;
      }
      errors[p] = pack(p, scratch[worker].data(), end - begin);
    } catch (const std::bad_alloc&) {
      errors[p] = absl::ResourceExhaustedError(absl::StrCat("no memory to pack a matrix of ", rows, " rows"));
    }
  });
  for (absl::Status& error : errors) UNMASK_RETURN_IF_ERROR(error);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<GemmPanel>> MatrixMultiplier::PackPanel(const float* weights, int64_t outputs,
                                                                       int64_t inputs) {
  if (preferred_ != nullptr) {
    auto panel = preferred_->Pack(weights, outputs, inputs);
    if (!absl::IsUnimplemented(panel.status())) return panel;
  }
  return fallback_->Pack(weights, outputs, inputs);
}

absl::StatusOr<std::unique_ptr<CpuMatrix>> MatrixMultiplier::Pack(absl::Span<const Tensor> slices) {
  UNMASK_ASSIGN_OR_RETURN(const int64_t rows, StackedRows(slices));
  const int64_t columns = slices[0].columns;
  std::vector<std::unique_ptr<GemmPanel>> panels((rows + kPanelOutputs - 1) / kPanelOutputs);
  UNMASK_RETURN_IF_ERROR(ForPanels(*kernels_, workers_, slices, rows,
                                   [&](int64_t p, const float* weights, int64_t outputs) -> absl::Status {
                                     UNMASK_ASSIGN_OR_RETURN(panels[p], PackPanel(weights, outputs, columns));
                                     return absl::OkStatus();
                                   }));
  return std::make_unique<CpuMatrix>(rows, columns, std::move(panels));
}

absl::Status MatrixMultiplier::Multiply(const Tensor& in, const CpuMatrix& weight, const Tensor& out) {
  return ForBlocks(in, weight, weight.panels(),
                   [&](int64_t p, const char* rows, int64_t begin, int64_t end, int worker) {
                     return weight.panel(p)->Multiply(
                         rows, out.Rows(begin, end).Columns(p * kPanelOutputs, weight.PanelEnd(p)), worker);
                   });
}

absl::Status MatrixMultiplier::MultiplySwiGlu(const Tensor& in, const CpuMatrix& weight, const Tensor& out) {
  constexpr int64_t kBlock = kGemmRows * kPanelOutputs;
  const int64_t half = weight.panels() / 2;
  return ForBlocks(in, weight, half, [&](int64_t p, const char* rows, int64_t begin, int64_t end, int worker) {
    thread_local std::vector<float> outputs;  // A block's, of a panel of gate's, then of up's; kept by its thread.
    outputs.resize(2 * kBlock);
    float* const gate = outputs.data();
    float* const up = gate + kBlock;
    const auto multiply = [&](int64_t panel, float* to) {
      return weight.panel(panel)->Multiply(rows, {DType::kF32, end - begin, kPanelOutputs, kPanelOutputs, to}, worker);
    };
    UNMASK_RETURN_IF_ERROR(multiply(p, gate));
    UNMASK_RETURN_IF_ERROR(multiply(half + p, up));
    const Tensor to = out.Rows(begin, end).Columns(p * kPanelOutputs, (p + 1) * kPanelOutputs);
    for (int64_t r = 0; r < to.rows; ++r) {
      kernels_->swiglu(gate + r * kPanelOutputs, up + r * kPanelOutputs, kPanelOutputs, to.dtype,
                       to.Rows(r, r + 1).data);
    }
    return absl::OkStatus();
  });
}

absl::Status MatrixMultiplier::ForBlocks(
    const Tensor& in, const CpuMatrix& weight, int64_t panels,
    absl::FunctionRef<absl::Status(int64_t, const char*, int64_t, int64_t, int)> task) {
  if (in.rows == 0) return absl::OkStatus();
  std::vector<char> gathered;
  const char* const dense = DenseRows(in, &gathered);
  const int64_t row_bytes = in.columns * ByteSize(in.dtype);
  const RowBlocks blocks(in.rows);
  std::vector<absl::Status> errors(workers_->threads());
  // Each worker keeps to its rows where all of the weight stays in its cache beside them, else to its panels.
  const bool by_rows = weight.bytes() <= kCachedWeight;
  workers_->Run(panels * blocks.count, [&](int64_t index, int worker) {
    const int64_t p = by_rows ? index % panels : index / blocks.count;
    const int64_t begin = blocks.Begin(by_rows ? index / panels : index % blocks.count);
    const int64_t end = std::min(in.rows, begin + blocks.rows);
    const absl::Status status = task(p, dense + begin * row_bytes, begin, end, worker);
    if (!status.ok()) errors[worker] = status;
  });
  for (absl::Status& error : errors) UNMASK_RETURN_IF_ERROR(error);
  return absl::OkStatus();
}

}  // namespace unmask
