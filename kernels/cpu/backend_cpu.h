// The CPU backend: oneDNN's matrix products where they keep a row's bits, own kernels for everything else.
#ifndef UNMASK_KERNELS_CPU_BACKEND_CPU_H_
#define UNMASK_KERNELS_CPU_BACKEND_CPU_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/cpu/kernel_table.h"

namespace unmask {

// What the backend computes with; tests open others than the best.
struct CpuKind {
  const KernelTable* kernels = &BestKernels();
  bool onednn = true;  // Where it keeps a row's bits, else (and where false) the own product.
};

// INVALID_ARGUMENT for a compute dtype other than kF32 and kBf16 or threads outside [1, 1024]; RESOURCE_EXHAUSTED where
// the threads cannot be started.
absl::StatusOr<std::unique_ptr<Backend>> OpenCpuBackend(const BackendOptions& options, const CpuKind& kind = {});

}  // namespace unmask

#endif  // UNMASK_KERNELS_CPU_BACKEND_CPU_H_
