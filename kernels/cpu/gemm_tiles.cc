// Matrix products by AMX's tiles (simd/multiply_tiles.cc), bf16 and int8. They write a panel's outputs where they
// belong, into a wider matrix too, where oneDNN's product needs a copy of each, and keep a row's bits in any company.
#include <utility>
#include <vector>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/huge_pages.h"
#include "kernels/cpu/int8_matmul.h"

namespace unmask {
namespace {

// Some outputs' rows, packed.
class PackedTiles {
 public:
  PackedTiles(const KernelTable* kernels, const void* rows, int64_t outputs, int64_t row_bytes)
      : kernels_(*kernels), outputs_(outputs), row_bytes_(row_bytes), packed_(PackedTileBytes(outputs, row_bytes)) {
    kernels_.pack_tiles(rows, outputs, row_bytes, packed_.data());
  }

  int64_t bytes() const { return static_cast<int64_t>(packed_.size()); }

  void Multiply(bool int8, const void* in, int64_t rows, void* out, int64_t out_stride) const {
    kernels_.multiply_tiles({.int8 = int8,
                             .in = in,
                             .rows = rows,
                             .depth_bytes = row_bytes_,
                             .weights = packed_.data(),
                             .outputs = outputs_,
                             .out = out,
                             .out_stride = out_stride});
  }

  int64_t outputs() const { return outputs_; }

 private:
  const KernelTable& kernels_;
  const int64_t outputs_;
  const int64_t row_bytes_;
  HugePageVector<char> packed_;  // Tiles are read quickest from whole cache lines, as these are.
};

class TilePanel : public GemmPanel {
 public:
  explicit TilePanel(PackedTiles tiles) : tiles_(std::move(tiles)) {}
  int64_t bytes() const override { return tiles_.bytes(); }
  absl::Status Multiply(const void* in, const Tensor& out, int) override {
    tiles_.Multiply(/*int8=*/false, in, out.rows, out.data, out.stride);
    return absl::OkStatus();
  }

 private:
  const PackedTiles tiles_;
};

class TileGemm : public Gemm {
 public:
  explicit TileGemm(const KernelTable* kernels) : kernels_(kernels) {}
  std::string Name() const override { return "tiles"; }
  absl::StatusOr<std::unique_ptr<GemmPanel>> Pack(const float* weights, int64_t outputs, int64_t inputs) override {
    std::vector<uint16_t> narrow(outputs * inputs);
    kernels_->narrow(weights, outputs * inputs, DType::kBf16, narrow.data());
    return std::make_unique<TilePanel>(PackedTiles(kernels_, narrow.data(), outputs, 2 * inputs));
  }

 private:
  const KernelTable* const kernels_;
};

class TileInt8Panel : public Int8Panel {
 public:
  explicit TileInt8Panel(PackedTiles tiles) : tiles_(std::move(tiles)) {}
  int64_t bytes() const override { return tiles_.bytes(); }
  absl::Status Multiply(const int8_t* in, int64_t rows, int32_t* sums, int) override {
    tiles_.Multiply(/*int8=*/true, in, rows, sums, tiles_.outputs());
    return absl::OkStatus();
  }

 private:
  const PackedTiles tiles_;
};

class TileInt8Gemm : public Int8Gemm {
 public:
  explicit TileInt8Gemm(const KernelTable* kernels) : kernels_(kernels) {}
  absl::StatusOr<std::unique_ptr<Int8Panel>> Pack(const int8_t* weights, int64_t outputs, int64_t inputs) override {
    return std::make_unique<TileInt8Panel>(PackedTiles(kernels_, weights, outputs, inputs));
  }

 private:
  const KernelTable* const kernels_;
};

}  // namespace

std::unique_ptr<Gemm> MakeTileGemm(const KernelTable* kernels) { return std::make_unique<TileGemm>(kernels); }

std::unique_ptr<Int8Gemm> MakeTileInt8Gemm(const KernelTable* kernels) {
  return std::make_unique<TileInt8Gemm>(kernels);
}

}  // namespace unmask
