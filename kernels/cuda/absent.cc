#include "absl/status/status.h"
#include "kernels/cuda/backend_cuda.h"

namespace unmask {

absl::StatusOr<std::unique_ptr<Backend>> OpenCudaBackend(const BackendOptions&) {
  return absl::NotFoundError("device cuda: this build has no CUDA backend (`make cuda` makes one that has)");
}

}  // namespace unmask
