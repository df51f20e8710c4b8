#include <cuda_runtime_api.h>

#include "kernels/cuda/backend_cuda.h"
#include "tests/kernels/machines.h"

namespace unmask::testing {

// None where there is no device.
std::vector<Machine> AllMachines() {
  std::vector<Machine> machines;
  for (const DType dtype : {DType::kF32, DType::kBf16}) {
    const auto open = [dtype](int threads) { return OpenCudaBackend({.compute_dtype = dtype, .threads = threads}); };
    if (!open(1).ok()) continue;
    machines.push_back({.name = std::string(Name(dtype)) + "_cuda",
                        .dtype = dtype,
                        .open = [open](int threads) { return open(threads).value(); },
                        .threads = {1},  // They only load.
                        .attention_unit = dtype == DType::kBf16 ? 0x1p-8 : 0});
  }
  return machines;
}

void* TakeMemory(size_t bytes) {
  void* memory = nullptr;
  return cudaMallocManaged(&memory, bytes, cudaMemAttachGlobal) == cudaSuccess ? memory : nullptr;
}
void GiveMemory(void* memory) { cudaFree(memory); }

}  // namespace unmask::testing
