// The matrix product by AMX's tiles (simd/multiply_tiles.cc), bf16. It writes a panel's outputs where they belong, into
// a wider matrix too, where oneDNN's product needs a copy of each.
#include <vector>

#include "kernels/cpu/gemm.h"

namespace unmask {
namespace {

struct alignas(64) TileRow {
  uint16_t numbers[32];
};

class TilePanel : public GemmPanel {
 public:
  TilePanel(const KernelTable* kernels, const float* weights, int64_t outputs, int64_t inputs)
      : kernels_(*kernels), outputs_(outputs), inputs_(inputs), packed_(PackedTileNumbers(outputs, inputs) / 32) {
    kernels_.pack_tiles(weights, outputs, inputs, packed_.data()->numbers);
  }

  int64_t bytes() const override { return static_cast<int64_t>(packed_.size() * sizeof(TileRow)); }
  absl::Status Prepare(int64_t) override { return absl::OkStatus(); }

  absl::Status Multiply(const void* in, const Tensor& out, int) override {
    kernels_.multiply_tiles({.in = static_cast<const uint16_t*>(in),
                             .in_stride = inputs_,
                             .rows = out.rows,
                             .depth = inputs_,
                             .weights = packed_.data()->numbers,
                             .outputs = outputs_,
                             .out = out.f32(),
                             .out_stride = out.stride});
    return absl::OkStatus();
  }

 private:
  const KernelTable& kernels_;
  const int64_t outputs_;
  const int64_t inputs_;
  std::vector<TileRow> packed_;  // Tiles are read quickest from whole cache lines.
};

class TileGemm : public Gemm {
 public:
  explicit TileGemm(const KernelTable* kernels) : kernels_(kernels) {}
  std::string Name() const override { return "tiles"; }
  absl::StatusOr<std::unique_ptr<GemmPanel>> Pack(const float* weights, int64_t outputs, int64_t inputs) override {
    return std::make_unique<TilePanel>(kernels_, weights, outputs, inputs);
  }

 private:
  const KernelTable* const kernels_;
};

}  // namespace

std::unique_ptr<Gemm> MakeTileGemm(const KernelTable* kernels) { return std::make_unique<TileGemm>(kernels); }

}  // namespace unmask
