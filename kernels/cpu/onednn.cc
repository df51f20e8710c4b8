#include "kernels/cpu/onednn.h"

#include <cstring>

#include "kernels/cpu/gemm.h"

namespace unmask {
namespace {

using Description = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;

constexpr size_t kAlignment = 64;

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

}  // namespace

std::string OneDnnName() {
  const dnnl_version_t* version = dnnl::version();
  return absl::StrCat("onednn-", version->major, ".", version->minor, ".", version->patch, "/", IsaName());
}

OneDnnLibrary::OneDnnLibrary(const OneDnnTypes& types, int workers)
    : types_(types), engine_(dnnl::engine::kind::cpu, 0), workers_(workers) {
  for (Worker& worker : workers_) worker.stream = dnnl::stream(engine_);
}

OneDnnWeights OneDnnLibrary::Pack(const void* weights, int64_t outputs, int64_t inputs) {
  const Description any({inputs, outputs}, types_.packed, Tag::any);
  const Description layout = Describe(kGemmRows, inputs, outputs, any).weights_desc();
  OneDnnWeights packed{.storage = HugePageVector<char>(layout.get_size())};
  packed.memory = dnnl::memory(layout, engine_, packed.storage.data());
  // (outputs, inputs) row-major is (inputs, outputs) transposed.
  const Description plain({inputs, outputs}, types_.stored, Tag::ba);
  dnnl::memory from(plain, engine_, const_cast<void*>(weights));
  dnnl::stream stream(engine_);  // Of its own: panels are packed by many threads at once.
  dnnl::reorder(from, packed.memory).execute(stream, from, packed.memory);
  stream.wait();
  return packed;
}

const OneDnnLibrary::Product& OneDnnLibrary::ProductOf(Worker* worker, int64_t rows, int64_t inputs, int64_t outputs,
                                                       const Description& weights) {
  const auto key = std::make_tuple(rows, inputs, outputs);
  const auto known = worker->products.find(key);
  if (known != worker->products.end()) return known->second;
  const auto description = Describe(rows, inputs, outputs, weights);
  const Product product{dnnl::matmul(description), description.src_desc(), description.dst_desc(),
                        description.scratchpad_desc()};
  const size_t bytes = product.scratch.get_size() + kAlignment;
  if (worker->scratch.size() < bytes) worker->scratch.resize(bytes);
  return worker->products.emplace(key, product).first->second;
}

void OneDnnLibrary::CheckRows(int64_t inputs, int64_t outputs, const Description& layout) {
  for (int64_t rows = 1; rows <= kGemmRows; ++rows) Describe(rows, inputs, outputs, layout);
}

void OneDnnLibrary::Multiply(int64_t rows, int64_t inputs, int64_t outputs, const void* in, const dnnl::memory& weights,
                             void* out, int index) {
  Worker& worker = workers_[index];
  const Product& product = ProductOf(&worker, rows, inputs, outputs, weights.get_desc());
  char* scratch = worker.scratch.data();
  scratch += (kAlignment - reinterpret_cast<uintptr_t>(scratch) % kAlignment) % kAlignment;
  product.primitive.execute(worker.stream, {{DNNL_ARG_SRC, dnnl::memory(product.in, engine_, const_cast<void*>(in))},
                                            {DNNL_ARG_WEIGHTS, weights},
                                            {DNNL_ARG_DST, dnnl::memory(product.out, engine_, out)},
                                            {DNNL_ARG_SCRATCHPAD, dnnl::memory(product.scratch, engine_, scratch)}});
  worker.stream.wait();
}

dnnl::matmul::primitive_desc OneDnnLibrary::Describe(int64_t rows, int64_t inputs, int64_t outputs,
                                                     const Description& weights) {
  const Description in({rows, inputs}, types_.in, Tag::ab);
  const Description out({rows, outputs}, types_.out, Tag::ab);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);  // Each thread its own.
  dnnl::matmul::primitive_desc description(dnnl::matmul::desc(in, weights, out), attributes, engine_);
  if (std::strncmp(description.impl_info_str(), "brg", 3) != 0) {
    throw dnnl::error(dnnl_unimplemented, description.impl_info_str());
  }
  return description;
}

}  // namespace unmask
