// oneDNN's int8 product. Its kernels add a compensation to the weights, because vpdpbusd takes unsigned rows; without
// VNNI it would sum pairs in 16 bits and saturate, so only machines with VNNI take it. Those
// with AMX have tiles of our own (gemm_tiles.cc).
#include <utility>

#include "base/status.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/int8_matmul.h"
#include "kernels/cpu/onednn.h"

namespace unmask {
namespace {

using Type = dnnl::memory::data_type;

class OneDnnInt8Panel : public Int8Panel {
 public:
  OneDnnInt8Panel(OneDnnLibrary* library, OneDnnWeights weights, int64_t outputs, int64_t inputs)
      : library_(*library), weights_(std::move(weights)), outputs_(outputs), inputs_(inputs) {
    library_.CheckRows(inputs, outputs, weights_.memory.get_desc());
  }

  int64_t bytes() const override { return static_cast<int64_t>(weights_.memory.get_desc().get_size()); }

  absl::Status Multiply(const int8_t* in, int64_t rows, int32_t* sums, int worker) override {
    return GuardOneDnn("int8 product",
                       [&] { library_.Multiply(rows, inputs_, outputs_, in, weights_.memory, sums, worker); });
  }

 private:
  OneDnnLibrary& library_;
  const OneDnnWeights weights_;
  const int64_t outputs_;
  const int64_t inputs_;
};

class OneDnnInt8Gemm : public Int8Gemm {
 public:
  explicit OneDnnInt8Gemm(int workers)
      : library_({.in = Type::s8, .packed = Type::s8, .stored = Type::s8, .out = Type::s32}, workers) {}

  absl::StatusOr<std::unique_ptr<Int8Panel>> Pack(const int8_t* weights, int64_t outputs, int64_t inputs) override {
    std::unique_ptr<Int8Panel> panel;
    UNMASK_RETURN_IF_ERROR(GuardOneDnn("packing an int8 weight", [&] {
      panel = std::make_unique<OneDnnInt8Panel>(&library_, library_.Pack(weights, outputs, inputs), outputs, inputs);
    }));
    return panel;
  }

 private:
  OneDnnLibrary library_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Int8Gemm>> MakeOneDnnInt8Gemm(int workers) {
  constexpr int kVnni = dnnl_cpu_isa_avx512_core_vnni;
  if ((static_cast<int>(dnnl::get_effective_cpu_isa()) & kVnni) != kVnni) {
    return absl::UnimplementedError("this machine has no AVX-512 VNNI");
  }
  KeepOneDnnToThisThread();
  std::unique_ptr<Int8Gemm> gemm;
  UNMASK_RETURN_IF_ERROR(GuardOneDnn("opening oneDNN", [&] { gemm = std::make_unique<OneDnnInt8Gemm>(workers); }));
  return gemm;
}

}  // namespace unmask
