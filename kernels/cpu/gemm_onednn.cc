// oneDNN's matrix product: each panel packed once as the library likes it (format any), one primitive a row count.
//
// Its "brgemm" kernels keep a row's bits whatever the number of rows, but with AMX (measured: 2.6.3, fp32 and bf16, 1
// to 300 rows): there a single row takes AVX-512's instructions, which round otherwise, and long sums are cut by the
// number of rows. Machines with AMX have tiles of our own (gemm_tiles.cc); each shape is tried all the same. Its older
// "gemm:jit", which it takes on AVX2 and for bf16 without avx512_bf16, keeps nothing and is never used. Threads cannot
// matter: a primitive runs on the thread that calls it.
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/mutex.h"
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
  OneDnnPanel(Shared* shared, OneDnnWeights weights, int64_t outputs, int64_t inputs)
      : shared_(*shared), weights_(std::move(weights)), outputs_(outputs), inputs_(inputs) {}

  int64_t bytes() const override { return static_cast<int64_t>(weights_.memory.get_desc().get_size()); }

  absl::Status Multiply(const void* in, const Tensor& out, int worker) override {
    return GuardOneDnn("matrix product", [&] {
      // brgemm writes without gaps only; a panel of a wider matrix is copied from the cache.
      const bool dense = out.stride == out.columns;
      std::vector<float>& kept = shared_.dense[worker];
      if (!dense && static_cast<int64_t>(kept.size()) < out.rows * outputs_) kept.resize(out.rows * outputs_);
      float* to = dense ? out.f32() : kept.data();
      shared_.library.Multiply(out.rows, inputs_, outputs_, in, weights_.memory, to, worker);
      if (dense) return;
      for (int64_t r = 0; r < out.rows; ++r) {
        std::memcpy(out.f32() + r * out.stride, to + r * out.columns, out.columns * sizeof(float));
      }
    });
  }

 private:
  Shared& shared_;
  const OneDnnWeights weights_;
  const int64_t outputs_;
  const int64_t inputs_;
};

// A random panel of one shape: whether a row's bits depend on how many rows are computed with it.
class Trial {
 public:
  Trial(DType dtype, int64_t outputs, int64_t inputs)
      : dtype_(dtype), outputs_(outputs), inputs_(inputs), shared_(dtype, /*workers=*/1) {}

  // UNIMPLEMENTED where they do, or where this shape is not brgemm's.
  absl::Status Run() {
    UNMASK_RETURN_IF_ERROR(GuardOneDnn("trying a matrix product", [&] {
      const std::vector<float> weights = Random(0, outputs_ * inputs_);
      OneDnnWeights packed = shared_.library.Pack(weights.data(), outputs_, inputs_);
      shared_.library.CheckRows(inputs_, outputs_, packed.memory.get_desc());
      panel_ = std::make_unique<OneDnnPanel>(&shared_, std::move(packed), outputs_, inputs_);
      in_ = Random(1, kGemmRows * inputs_);
      narrow_.resize(in_.size());
      for (size_t i = 0; i < in_.size(); ++i) {  // Any bf16 numbers do: cut the floats.
        uint32_t bits;
        std::memcpy(&bits, &in_[i], sizeof(bits));
        narrow_[i] = static_cast<uint16_t>(bits >> 16);
      }
    }));
    UNMASK_ASSIGN_OR_RETURN(const std::vector<float> all, Product(kGemmRows));
    for (const int64_t rows : {1, 2, 3, 5, 13, 16, 33, 65, 99, 127}) {
      UNMASK_ASSIGN_OR_RETURN(const std::vector<float> some, Product(rows));
      if (std::memcmp(some.data(), all.data(), some.size() * sizeof(float)) != 0) {
        return absl::UnimplementedError("a row's bits depend on the number of rows");
      }
    }
    return absl::OkStatus();
  }

 private:
  static std::vector<float> Random(uint32_t key, int64_t count) {
    std::vector<float> numbers(count);
    for (int64_t i = 0; i < count; ++i) {
      numbers[i] = static_cast<float>(Philox4x32({static_cast<uint32_t>(i)}, key, 0)[0]) * 0x1p-32f - 0.5f;
    }
    return numbers;
  }

  absl::StatusOr<std::vector<float>> Product(int64_t rows) {
    std::vector<float> out(rows * outputs_);
    const void* in = dtype_ == DType::kF32 ? static_cast<const void*>(in_.data()) : narrow_.data();
    UNMASK_RETURN_IF_ERROR(panel_->Multiply(in, {DType::kF32, rows, outputs_, outputs_, out.data()}, /*worker=*/0));
    return out;
  }

  const DType dtype_;
  const int64_t outputs_;
  const int64_t inputs_;
  Shared shared_;
  std::unique_ptr<OneDnnPanel> panel_;
  std::vector<float> in_;
  std::vector<uint16_t> narrow_;
};

absl::Status RunTrial(DType dtype, int64_t outputs, int64_t inputs) {
  absl::Status status;
  UNMASK_RETURN_IF_ERROR(
      GuardOneDnn("opening oneDNN for a trial", [&] { status = Trial(dtype, outputs, inputs).Run(); }));
  return status;
}

class OneDnnGemm : public Gemm {
 public:
  OneDnnGemm(DType dtype, int workers) : dtype_(dtype), shared_(dtype, workers) {}

  std::string Name() const override { return OneDnnName(); }

  absl::StatusOr<std::unique_ptr<GemmPanel>> Pack(const float* weights, int64_t outputs, int64_t inputs) override {
    UNMASK_RETURN_IF_ERROR(Try(outputs, inputs));
    std::unique_ptr<GemmPanel> panel;
    UNMASK_RETURN_IF_ERROR(GuardOneDnn("packing a weight", [&] {
      panel = std::make_unique<OneDnnPanel>(&shared_, shared_.library.Pack(weights, outputs, inputs), outputs, inputs);
    }));
    return panel;
  }

 private:
  // Once for each of a model's few shapes; who packs the same shape meanwhile waits.
  absl::Status Try(int64_t outputs, int64_t inputs) {
    MutexLock lock(&mutex_);
    const auto known = tried_.find({outputs, inputs});
    if (known != tried_.end()) return known->second;
    return tried_[{outputs, inputs}] = RunTrial(dtype_, outputs, inputs);
  }

  const DType dtype_;
  Shared shared_;
  Mutex mutex_;
  std::map<std::pair<int64_t, int64_t>, absl::Status> tried_ ABSL_GUARDED_BY(mutex_);  // By outputs and inputs.
};

}  // namespace

absl::StatusOr<std::unique_ptr<Gemm>> MakeOneDnnGemm(DType compute_dtype, int workers) {
  KeepOneDnnToThisThread();
  std::unique_ptr<Gemm> gemm;
  UNMASK_RETURN_IF_ERROR(
      GuardOneDnn("opening oneDNN", [&] { gemm = std::make_unique<OneDnnGemm>(compute_dtype, workers); }));
  UNMASK_RETURN_IF_ERROR(RunTrial(compute_dtype, /*outputs=*/64, /*inputs=*/64));
  return gemm;
}

void KeepOneDnnToThisThread() { omp_set_num_threads(1); }

bool CpuComputesBf16() {
  // Each instruction set's code has the bits of those below it; AMX machines have avx512_bf16 too.
  constexpr int kBf16 = dnnl_cpu_isa_avx512_core_bf16;
  return (static_cast<int>(dnnl::get_effective_cpu_isa()) & kBf16) == kBf16;
}

}  // namespace unmask
