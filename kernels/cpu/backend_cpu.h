// The CPU backend: oneDNN's matrix products where they keep a row's bits, own kernels for everything else.
#ifndef UNMASK_KERNELS_CPU_BACKEND_CPU_H_
#define UNMASK_KERNELS_CPU_BACKEND_CPU_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace unmask {

// INVALID_ARGUMENT for a compute dtype other than kF32 and kBf16 or threads outside [1, 1024].
absl::StatusOr<std::unique_ptr<Backend>> OpenCpuBackend(const BackendOptions& options);

}  // namespace unmask

#endif  // UNMASK_KERNELS_CPU_BACKEND_CPU_H_
