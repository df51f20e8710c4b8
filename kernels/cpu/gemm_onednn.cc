// oneDNN's matrix product: each panel packed once as the library likes it (format any), one primitive a row count.
//
// Its "brgemm" kernels keep a row's bits whatever the number of rows (measured: 2.6.3, fp32 and bf16, 1 to 300 rows);
// its older "gemm:jit", which it takes on AVX2 and for bf16 without avx512_bf16, does not. So only brgemm is used, and
// it is tried once when the backend opens. Threads cannot matter: a primitive runs on the thread that calls it.
#include <cstring>
#include <utility>
#include <vector>

#include "base/philox.h"
#include "base/status.h"
#include "kernels/backend.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/onednn.h"

// libgomp's, which Debian's oneDNN is linked against. (clang has no omp.h for it.)
extern "C" void omp_set_num_threads(int threads);

namespace unmask {
namespace {

using Type = dnnl::memory::data_type;

// What all panels share.
struct Shared {
  Shared(DType dtype, int workers) : library(TypesOf(dtype), workers), dense(workers) {}

  static OneDnnTypes TypesOf(DType dtype) {
    const Type type = dtype == DType::kF32 ? Type::f32 : Type::bf16;
    return {.in = type, .packed = type, .stored = Type::f32, .out = Type::f32};
  }

  OneDnnLibrary library;
  std::vector<std::vector<float>> dense;  // Of each worker: one product.
};

class OneDnnPanel : public GemmPanel {
 public:
  OneDnnPanel(Shared* shared, dnnl::memory weights, int64_t outputs, int64_t inputs)
      : shared_(*shared), weights_(std::move(weights)), outputs_(outputs), inputs_(inputs) {}

  int64_t bytes() const override { return static_cast<int64_t>(weights_.get_desc().get_size()); }

  absl::Status Prepare(int64_t rows) override {
    return GuardOneDnn("matrix product", [&] {
      shared_.library.Prepare(rows, inputs_, outputs_, weights_.get_desc());
      for (std::vector<float>& dense : shared_.dense) {
        if (static_cast<int64_t>(dense.size()) < rows * outputs_) dense.resize(rows * outputs_);
      }
    });
  }

  absl::Status Multiply(const Tensor& in, const Tensor& out, int worker) override {
    return GuardOneDnn("matrix product", [&] {
      // brgemm writes without gaps only; a panel of a wider matrix is copied from the cache.
      const bool dense = out.stride == out.columns;
      float* to = dense ? out.f32() : shared_.dense[worker].data();
      shared_.library.Multiply(in.rows, inputs_, outputs_, in.data, weights_, to, worker);
      if (dense) return;
      for (int64_t r = 0; r < out.rows; ++r) {
        std::memcpy(out.f32() + r * out.stride, to + r * out.columns, out.columns * sizeof(float));
      }
    });
  }

 private:
  Shared& shared_;
  const dnnl::memory weights_;
  const int64_t outputs_;
  const int64_t inputs_;
};

class OneDnnGemm : public Gemm {
 public:
  OneDnnGemm(DType dtype, int workers) : shared_(dtype, workers) {}

  std::string Name() const override { return OneDnnName(); }

  absl::StatusOr<std::unique_ptr<GemmPanel>> Pack(const float* weights, int64_t outputs, int64_t inputs) override {
    std::unique_ptr<GemmPanel> panel;
    UNMASK_RETURN_IF_ERROR(GuardOneDnn("packing a weight", [&] {
      panel = std::make_unique<OneDnnPanel>(&shared_, shared_.library.Pack(weights, outputs, inputs), outputs, inputs);
    }));
    return panel;
  }

 private:
  Shared shared_;
};

// Whether the first rows of a product are the same bits alone as among kGemmRows.
absl::Status TryRows(Gemm* gemm, DType dtype) {
  constexpr int64_t kInputs = 1040, kOutputs = 200;
  const auto random = [](int64_t i) {
    return static_cast<float>(Philox4x32({static_cast<uint32_t>(i)}, 0, 0)[0]) * 0x1p-32f - 0.5f;
  };
  std::vector<float> weights(kOutputs * kInputs), in(kGemmRows * kInputs);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = random(i);
  for (size_t i = 0; i < in.size(); ++i) in[i] = random(-1 - static_cast<int64_t>(i));
  std::vector<uint16_t> narrow(in.size());
  for (size_t i = 0; i < in.size(); ++i) {  // Any bf16 numbers do: cut the floats.
    uint32_t bits;
    std::memcpy(&bits, &in[i], sizeof(bits));
    narrow[i] = static_cast<uint16_t>(bits >> 16);
  }
  UNMASK_ASSIGN_OR_RETURN(const std::unique_ptr<GemmPanel> panel, gemm->Pack(weights.data(), kOutputs, kInputs));
  std::vector<float> all(kGemmRows * kOutputs), some(kGemmRows * kOutputs);
  for (const int64_t rows :
       {kGemmRows, int64_t{1}, int64_t{2}, int64_t{3}, int64_t{13}, int64_t{16}, int64_t{33}, int64_t{65}}) {
    float* to = rows == kGemmRows ? all.data() : some.data();
    void* from = dtype == DType::kF32 ? static_cast<void*>(in.data()) : narrow.data();
    UNMASK_RETURN_IF_ERROR(panel->Prepare(rows));
    UNMASK_RETURN_IF_ERROR(
        panel->Multiply({dtype, rows, kInputs, kInputs, from}, {DType::kF32, rows, kOutputs, kOutputs, to}, 0));
    if (std::memcmp(to, all.data(), rows * kOutputs * sizeof(float)) != 0) {
      return absl::UnimplementedError(
          absl::StrCat("oneDNN computes a row differently among ", rows, " rows than among ", kGemmRows));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Gemm>> MakeOneDnnGemm(DType compute_dtype, int workers) {
  KeepOneDnnToThisThread();
  std::unique_ptr<Gemm> gemm;
  UNMASK_RETURN_IF_ERROR(
      GuardOneDnn("opening oneDNN", [&] { gemm = std::make_unique<OneDnnGemm>(compute_dtype, workers); }));
  UNMASK_RETURN_IF_ERROR(TryRows(gemm.get(), compute_dtype));
  return gemm;
}

void KeepOneDnnToThisThread() { omp_set_num_threads(1); }

bool CpuComputesBf16() {
  // Each instruction set's code has the bits of those below it; AMX machines have avx512_bf16 too.
  constexpr int kBf16 = dnnl_cpu_isa_avx512_core_bf16;
  return (static_cast<int>(dnnl::get_effective_cpu_isa()) & kBf16) == kBf16;
}

}  // namespace unmask
