#include "kernels/backend.h"

#include "absl/strings/str_cat.h"
#include "kernels/cpu/backend_cpu.h"

namespace unmask {

absl::StatusOr<std::unique_ptr<Backend>> OpenBackend(absl::string_view device, const BackendOptions& options) {
  if (device == "cpu") return OpenCpuBackend(options);
  if (device == "cuda") return absl::NotFoundError("device cuda: this build has no CUDA backend");
  return absl::InvalidArgumentError(absl::StrCat("device \"", device, "\" is neither cpu nor cuda"));
}

}  // namespace unmask
