// CUDA's errors as Status.
#ifndef UNMASK_KERNELS_CUDA_ERRORS_H_
#define UNMASK_KERNELS_CUDA_ERRORS_H_

#include <cuda_runtime_api.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace unmask::cuda {

// "what: CUDA's words". RESOURCE_EXHAUSTED where memory is what lacks, else INTERNAL.
inline absl::Status ToStatus(cudaError_t error, absl::string_view what) {
  if (error == cudaSuccess) return absl::OkStatus();
  const std::string message = absl::StrCat(what, ": ", cudaGetErrorString(error));
  return error == cudaErrorMemoryAllocation ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
}

}  // namespace unmask::cuda

#endif  // UNMASK_KERNELS_CUDA_ERRORS_H_
