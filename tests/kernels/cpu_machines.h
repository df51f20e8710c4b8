// The CPU's ways to compute, for tests that ask for more than a Machine can.
#ifndef UNMASK_TESTS_KERNELS_CPU_MACHINES_H_
#define UNMASK_TESTS_KERNELS_CPU_MACHINES_H_

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/cpu/backend_cpu.h"

namespace unmask::testing {

struct CpuMachine {
  DType dtype;
  CpuKind kind;

  std::string name() const {
    return std::string(Name(dtype)) + "_" + kind.kernels->name + (kind.onednn ? "_onednn" : "_own");
  }
  // Attention by tiles rounds queries and weights to bf16.
  bool rounds_in_attention() const { return dtype == DType::kBf16 && kind.kernels->multiply_tiles != nullptr; }
  std::unique_ptr<Backend> Open(int threads = 2) const {
    return OpenCpuBackend({.compute_dtype = dtype, .threads = threads}, kind).value();
  }
};
inline std::ostream& operator<<(std::ostream& out, const CpuMachine& machine) { return out << machine.name(); }

inline std::vector<CpuMachine> CpuMachines() {
  const KernelTable* tables[kMostKernels];
  const int count = SupportedKernels(tables);
  const int plain =
      tables[0]->multiply_tiles != nullptr ? 1 : 0;  // The best without tiles: with them there is no oneDNN.
  std::vector<CpuMachine> machines;
  for (const DType dtype : {DType::kF32, DType::kBf16}) {
    machines.push_back({dtype, {.kernels = tables[plain], .onednn = true}});
    const int first = dtype == DType::kF32 ? plain : 0;  // Tiles change nothing in fp32.
    for (int i = first; i < count; ++i) machines.push_back({dtype, {.kernels = tables[i], .onednn = false}});
  }
  return machines;
}

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_KERNELS_CPU_MACHINES_H_
