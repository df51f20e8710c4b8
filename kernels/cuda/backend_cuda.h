// The CUDA backend: cuBLASLt's matrix products with pinned algorithms, own kernels for everything else. Which of
// backend_cuda.cc and absent.cc is compiled decides whether a build has it.
#ifndef UNMASK_KERNELS_CUDA_BACKEND_CUDA_H_
#define UNMASK_KERNELS_CUDA_BACKEND_CUDA_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace unmask {

// On the device of options.host_rank. NOT_FOUND where this build or machine has none; INVALID_ARGUMENT for int8 and
// compute dtypes other than kF32 and kBf16.
absl::StatusOr<std::unique_ptr<Backend>> OpenCudaBackend(const BackendOptions& options);

}  // namespace unmask

#endif  // UNMASK_KERNELS_CUDA_BACKEND_CUDA_H_
