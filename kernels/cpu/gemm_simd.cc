// Our own matrix product: panels cut again into strips as wide as the micro-kernel (simd/multiply.cc). One sum an
// output, in ascending order of inputs, so that no row knows of another.
#include <algorithm>
#include <vector>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/huge_pages.h"

namespace unmask {
namespace {

// What all panels share.
struct Shared {
  const KernelTable* kernels;
  DType dtype;
  std::vector<std::vector<float>> scratch;  // Of each worker: a few rows, widened.
};

class SimdPanel : public GemmPanel {
 public:
  SimdPanel(Shared* shared, const float* weights, int64_t outputs, int64_t inputs)
      : shared_(*shared), outputs_(outputs), inputs_(inputs) {
    const int64_t strip = shared_.kernels->panel_columns;
    const int64_t strips = (outputs + strip - 1) / strip;
    data_.assign(strips * strip * inputs * ByteSize(shared_.dtype), 0);
    std::vector<float> column(strip);
    for (int64_t s = 0; s < strips; ++s) {
      const int64_t here = std::min(strip, outputs - s * strip);
      for (int64_t i = 0; i < inputs; ++i) {
        for (int64_t j = 0; j < here; ++j) column[j] = weights[(s * strip + j) * inputs + i];
        shared_.kernels->narrow(column.data(), here, shared_.dtype, Strip(s) + i * strip * ByteSize(shared_.dtype));
      }
    }
  }

  int64_t bytes() const override { return static_cast<int64_t>(data_.size()); }

  absl::Status Multiply(const void* in, const Tensor& out, int worker) override {
    std::vector<float>& scratch = shared_.scratch[worker];
    const int64_t wide = shared_.dtype == DType::kF32 ? 0 : kMultiplyRows * inputs_;
    if (static_cast<int64_t>(scratch.size()) < wide) scratch.resize(wide);
    const int64_t strip = shared_.kernels->panel_columns;
    for (int64_t first = 0; first < outputs_; first += strip) {
      shared_.kernels->multiply({.dtype = shared_.dtype,
                                 .in = in,
                                 .in_stride = inputs_,
                                 .rows = out.rows,
                                 .depth = inputs_,
                                 .panel = Strip(first / strip),
                                 .columns = std::min(strip, outputs_ - first),
                                 .out = out.f32() + first,
                                 .out_stride = out.stride,
                                 .scratch = scratch.data()});
    }
    return absl::OkStatus();
  }

 private:
  char* Strip(int64_t s) {
    return data_.data() + s * shared_.kernels->panel_columns * inputs_ * ByteSize(shared_.dtype);
  }

  Shared& shared_;
  const int64_t outputs_;
  const int64_t inputs_;
  HugePageVector<char> data_;  // [strip][inputs][panel_columns], outputs padded with 0.
};

class SimdGemm : public Gemm {
 public:
  SimdGemm(const KernelTable* kernels, DType dtype, int workers)
      : shared_{kernels, dtype, std::vector<std::vector<float>>(workers)} {}
  std::string Name() const override { return "own"; }
  absl::StatusOr<std::unique_ptr<GemmPanel>> Pack(const float* weights, int64_t outputs, int64_t inputs) override {
    return std::make_unique<SimdPanel>(&shared_, weights, outputs, inputs);
  }

 private:
  Shared shared_;
};

}  // namespace

std::unique_ptr<Gemm> MakeSimdGemm(const KernelTable* kernels, DType compute_dtype, int workers) {
  return std::make_unique<SimdGemm>(kernels, compute_dtype, workers);
}

}  // namespace unmask
