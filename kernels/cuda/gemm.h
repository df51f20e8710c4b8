// Matrix products by cuBLASLt, with algorithms pinned so that a row's bits do not depend on the number of rows.
//
// A product's bits follow from how its algorithm walks the sum: the family, the depth of a step, and whether the sum is
// split. For each (type, outputs, depth) one such class is chosen, once, without split sums; each number of rows then
// takes the fastest algorithm of that class, after a run of it has been found to give, bit for bit, what the first one
// gives. (That tiles of the output are neutral is an observation, not NVIDIA's promise: hence the check.)
#ifndef UNMASK_KERNELS_CUDA_GEMM_H_
#define UNMASK_KERNELS_CUDA_GEMM_H_

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/device_memory.h"
#include "kernels/tensor.h"

namespace unmask::cuda {

class Gemm;

// out = in weight^T; in (rows, depth), weight (outputs, depth) without gaps, out (rows, outputs) fp32.
struct MultiplyArgs {
  const Gemm* gemm;
  const cublasLtMatmulAlgo_t* algorithm;
  const void* in;
  const void* weight;
  float* out;
  int64_t in_stride, out_stride, rows, outputs, depth;
  DType dtype;  // Of in and weight.
  int32_t unused = 0;
};
cudaError_t LaunchMultiply(const MultiplyArgs& args, cudaStream_t stream);

class Gemm {
 public:
  static absl::StatusOr<std::unique_ptr<Gemm>> Open(cudaStream_t stream);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // "cublaslt-130002".
  std::string Name() const;

  // Sets the algorithm, which stays where it is. Waits for the stream the first time that a shape comes.
  absl::Status Plan(MultiplyArgs* args);

  cublasStatus_t Multiply(const MultiplyArgs& args, cudaStream_t stream) const;

 private:
  using Shape = std::tuple<DType, int64_t, int64_t, bool>;  // Outputs, depth, whether all is aligned to 16 bytes.
  struct Pinned {
    std::vector<int> walk;  // Of every algorithm used.
    std::map<int64_t, std::unique_ptr<cublasLtMatmulAlgo_t>> by_rows;
  };

  explicit Gemm(cudaStream_t stream) : stream_(stream) {}
  absl::StatusOr<std::vector<cublasLtMatmulAlgo_t>> Candidates(const MultiplyArgs& args, bool aligned) const;
  // Whether both give the same bits for args' shape, its weight and some numbers.
  absl::StatusOr<bool> SameBits(const MultiplyArgs& args, const cublasLtMatmulAlgo_t& a,
                                const cublasLtMatmulAlgo_t& b) const;
  absl::StatusOr<cublasLtMatmulAlgo_t> Choose(const MultiplyArgs& args, bool aligned, Pinned* pinned) const;

  const cudaStream_t stream_;
  cublasLtHandle_t handle_ = nullptr;
  DeviceMemory workspace_;
  std::map<Shape, Pinned> pinned_;
};

}  // namespace unmask::cuda

#endif  // UNMASK_KERNELS_CUDA_GEMM_H_
