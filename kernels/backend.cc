#include "kernels/backend.h"

#include "absl/strings/str_cat.h"
#include "kernels/cpu/backend_cpu.h"
#include "kernels/cuda/backend_cuda.h"

namespace unmask {

absl::StatusOr<std::unique_ptr<Backend>> OpenBackend(absl::string_view device, const BackendOptions& options) {
  if (device == "cpu") return OpenCpuBackend(options);
  if (device == "cuda") return OpenCudaBackend(options);
  return absl::InvalidArgumentError(absl::StrCat("device \"", device, "\" is neither cpu nor cuda"));
}

bool ComputesBf16(absl::string_view device) { return device == "cuda" || CpuComputesBf16(); }

}  // namespace unmask
