// oneDNN's matrix products as panels need them: each weight packed once as the library likes it (format any), one
// primitive a row count, on the thread that calls. Only its "brgemm" kernels are taken (see gemm_onednn.cc).
#ifndef UNMASK_KERNELS_CPU_ONEDNN_H_
#define UNMASK_KERNELS_CPU_ONEDNN_H_

#include <cstdint>
#include <dnnl.hpp>
#include <map>
#include <new>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cpu/huge_pages.h"

namespace unmask {

// What the products of one kind compute in.
struct OneDnnTypes {
  dnnl::memory::data_type in, packed;
  dnnl::memory::data_type stored;  // Of weights before they are packed.
  dnnl::memory::data_type out;
};

// Runs `action`, turning what oneDNN and the allocator throw into a status.
template <typename Action>
absl::Status GuardOneDnn(const char* what, const Action& action) {
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

// "onednn-2.6.3/avx512_core_bf16": what decides bits.
std::string OneDnnName();

// Packed. For moves only: `memory` is a view of the storage.
struct OneDnnWeights {
  HugePageVector<char> storage;
  dnnl::memory memory;  // That storage.
};

// What all panels share: the engine, and each worker's primitives by shape. Throws dnnl::error; unimplemented where a
// product would not be brgemm's.
class OneDnnLibrary {
 public:
  OneDnnLibrary(const OneDnnTypes& types, int workers);

  // (outputs, inputs) row-major in the stored type, by any thread.
  OneDnnWeights Pack(const void* weights, int64_t outputs, int64_t inputs);

  // Throws unimplemented where a number of rows up to kGemmRows has no product with weights packed as `layout`.
  void CheckRows(int64_t inputs, int64_t outputs, const dnnl::memory::desc& layout);

  // out = in * weights^T; both without gaps. By worker `index`, which makes the primitive at the first use of a shape.
  void Multiply(int64_t rows, int64_t inputs, int64_t outputs, const void* in, const dnnl::memory& weights, void* out,
                int index);

 private:
  struct Product {
    dnnl::matmul primitive;
    dnnl::memory::desc in;
    dnnl::memory::desc out;
    dnnl::memory::desc scratch;
  };
  struct Worker {
    dnnl::stream stream;
    std::vector<char> scratch;
    // By rows, inputs and outputs. Few: at most kGemmRows row counts of a model's few shapes.
    std::map<std::tuple<int64_t, int64_t, int64_t>, Product> products;
  };

  const Product& ProductOf(Worker* worker, int64_t rows, int64_t inputs, int64_t outputs,
                           const dnnl::memory::desc& weights);
  dnnl::matmul::primitive_desc Describe(int64_t rows, int64_t inputs, int64_t outputs,
                                        const dnnl::memory::desc& weights);

  const OneDnnTypes types_;
  dnnl::engine engine_;
  std::vector<Worker> workers_;
};

}  // namespace unmask

#endif  // UNMASK_KERNELS_CPU_ONEDNN_H_
