// oneDNN's matrix product: each panel packed once as the library likes it (format any), one primitive a row count.
//
// Its "brgemm" kernels keep a row's bits whatever the number of rows (measured: 2.6.3, fp32 and bf16, 1 to 300 rows);
// its older "gemm:jit", which it takes on AVX2 and for bf16 without avx512_bf16, does not. So only brgemm is used, and
// it is tried once when the backend opens. Threads cannot matter: a primitive runs on the thread that calls it.
#include <cstring>
#include <dnnl.hpp>
#include <map>
#include <new>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/philox.h"
#include "base/status.h"
#include "kernels/backend.h"
#include "kernels/cpu/gemm.h"

// libgomp's, which Debian's oneDNN is linked against. (clang has no omp.h for it.)
extern "C" void omp_set_num_threads(int threads);

namespace unmask {
namespace {

using Type = dnnl::memory::data_type;
using Description = dnnl::memory::desc;

// Runs `action`, turning what oneDNN and the allocator throw into a status.
template <typename Action>
absl::Status Guard(const char* what, const Action& action) {
  try {
    action();
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) return absl::ResourceExhaustedError(absl::StrCat(what, ": out of memory"));
    if (error.status == dnnl_unimplemented) return absl::UnimplementedError(absl::StrCat(what, ": ", error.what()));
    return absl::InternalError(absl::StrCat(what, ": oneDNN: ", error.what()));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(what, ": out of memory"));
  }
  return absl::OkStatus();
}

const char* IsaName() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "sse41";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx2_vnni:
      return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "avx512_core_amx";
    default:
      return "other";
  }
}

struct Product {
  dnnl::matmul primitive;
  Description in;
  Description out;
  Description scratch;
};

// What all panels share: the engine, and the primitives by shape.
class Library {
 public:
  Library(DType dtype, int workers)
      : type_(dtype == DType::kF32 ? Type::f32 : Type::bf16), engine_(dnnl::engine::kind::cpu, 0), workers_(workers) {
    for (Worker& worker : workers_) worker.stream = dnnl::stream(engine_);
  }

  dnnl::memory Pack(const float* weights, int64_t outputs, int64_t inputs) {
    const Description any({inputs, outputs}, type_, dnnl::memory::format_tag::any);
    dnnl::memory packed(Describe(kGemmRows, inputs, outputs, any).weights_desc(), engine_);
    // (outputs, inputs) row-major is (inputs, outputs) transposed.
    const Description plain({inputs, outputs}, Type::f32, dnnl::memory::format_tag::ba);
    dnnl::memory from(plain, engine_, const_cast<float*>(weights));
    dnnl::stream stream(engine_);  // Of its own: panels are packed by many threads at once.
    dnnl::reorder(from, packed).execute(stream, from, packed);
    stream.wait();
    return packed;
  }

  // Makes the product of `rows` rows with weights packed as `layout`, and room for it, at the first use.
  void Prepare(int64_t rows, int64_t inputs, int64_t outputs, const Description& layout) {
    const auto key = std::make_tuple(rows, inputs, outputs);
    if (products_.count(key) != 0) return;
    const auto description = Describe(rows, inputs, outputs, layout);
    const Product product{dnnl::matmul(description), description.src_desc(), description.dst_desc(),
                          description.scratchpad_desc()};
    for (Worker& worker : workers_) {
      const size_t bytes = product.scratch.get_size() + kAlignment;
      if (worker.scratch.size() < bytes) worker.scratch.resize(bytes);
      const size_t floats = rows * outputs;
      if (worker.dense.size() < floats) worker.dense.resize(floats);
    }
    products_.emplace(key, product);
  }

  void Multiply(const Tensor& in, const dnnl::memory& weights, const Tensor& out, int index) {
    const Product& product = products_.at(std::make_tuple(in.rows, in.columns, out.columns));
    Worker& worker = workers_[index];
    char* scratch = worker.scratch.data();
    scratch += (kAlignment - reinterpret_cast<uintptr_t>(scratch) % kAlignment) % kAlignment;
    // brgemm writes without gaps only; a panel of a wider matrix is copied from the cache.
    const bool dense = out.stride == out.columns;
    float* to = dense ? out.f32() : worker.dense.data();
    product.primitive.execute(worker.stream, {{DNNL_ARG_SRC, dnnl::memory(product.in, engine_, in.data)},
                                              {DNNL_ARG_WEIGHTS, weights},
                                              {DNNL_ARG_DST, dnnl::memory(product.out, engine_, to)},
                                              {DNNL_ARG_SCRATCHPAD, dnnl::memory(product.scratch, engine_, scratch)}});
    worker.stream.wait();
    if (dense) return;
    for (int64_t r = 0; r < out.rows; ++r) {
      std::memcpy(out.f32() + r * out.stride, to + r * out.columns, out.columns * sizeof(float));
    }
  }

 private:
  static constexpr size_t kAlignment = 64;

  struct Worker {
    dnnl::stream stream;
    std::vector<char> scratch;
    std::vector<float> dense;
  };

  // Throws dnnl::error (unimplemented) where it would not be brgemm's.
  dnnl::matmul::primitive_desc Describe(int64_t rows, int64_t inputs, int64_t outputs, const Description& weights) {
    const Description in({rows, inputs}, type_, dnnl::memory::format_tag::ab);
    const Description out({rows, outputs}, Type::f32, dnnl::memory::format_tag::ab);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);  // Each thread its own.
    dnnl::matmul::primitive_desc description(dnnl::matmul::desc(in, weights, out), attributes, engine_);
    if (std::strncmp(description.impl_info_str(), "brg", 3) != 0) {
      throw dnnl::error(dnnl_unimplemented, description.impl_info_str());
    }
    return description;
  }

  const Type type_;
  dnnl::engine engine_;
  std::vector<Worker> workers_;
  // By rows, inputs and outputs. Few: at most kGemmRows row counts of a model's few shapes.
  std::map<std::tuple<int64_t, int64_t, int64_t>, Product> products_;
};

class OneDnnPanel : public GemmPanel {
 public:
  OneDnnPanel(Library* library, dnnl::memory weights, int64_t outputs, int64_t inputs)
      : library_(*library), weights_(std::move(weights)), outputs_(outputs), inputs_(inputs) {}

  int64_t bytes() const override { return static_cast<int64_t>(weights_.get_desc().get_size()); }

  absl::Status Prepare(int64_t rows) override {
    return Guard("matrix product", [&] { library_.Prepare(rows, inputs_, outputs_, weights_.get_desc()); });
  }

  absl::Status Multiply(const Tensor& in, const Tensor& out, int worker) override {
    return Guard("matrix product", [&] { library_.Multiply(in, weights_, out, worker); });
  }

 private:
  Library& library_;
  const dnnl::memory weights_;
  const int64_t outputs_;
  const int64_t inputs_;
};

class OneDnnGemm : public Gemm {
 public:
  OneDnnGemm(DType dtype, int workers) : library_(dtype, workers) {}

  std::string Name() const override {
    const dnnl_version_t* version = dnnl::version();
    return absl::StrCat("onednn-", version->major, ".", version->minor, ".", version->patch, "/", IsaName());
  }

  absl::StatusOr<std::unique_ptr<GemmPanel>> Pack(const float* weights, int64_t outputs, int64_t inputs) override {
    std::unique_ptr<GemmPanel> panel;
    UNMASK_RETURN_IF_ERROR(Guard("packing a weight", [&] {
      panel = std::make_unique<OneDnnPanel>(&library_, library_.Pack(weights, outputs, inputs), outputs, inputs);
    }));
    return panel;
  }

 private:
  Library library_;
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
  UNMASK_RETURN_IF_ERROR(Guard("opening oneDNN", [&] { gemm = std::make_unique<OneDnnGemm>(compute_dtype, workers); }));
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
