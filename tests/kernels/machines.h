// Every way this machine can compute: each instruction set it has, both compute dtypes, oneDNN's products and our own.
#ifndef UNMASK_TESTS_KERNELS_MACHINES_H_
#define UNMASK_TESTS_KERNELS_MACHINES_H_

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/cpu/backend_cpu.h"

namespace unmask::testing {

struct Machine {
  DType dtype;
  CpuKind kind;

  std::string name() const {
    return std::string(Name(dtype)) + "_" + kind.kernels->name + (kind.onednn ? "_onednn" : "_own");
  }
  std::unique_ptr<Backend> Open(int threads = 2) const {
    return OpenCpuBackend({.compute_dtype = dtype, .threads = threads}, kind).value();
  }
};

inline std::ostream& operator<<(std::ostream& out, const Machine& machine) { return out << machine.name(); }

inline std::vector<Machine> AllMachines() {
  const KernelTable* tables[3];
  const int count = SupportedKernels(tables);
  std::vector<Machine> machines;
  for (const DType dtype : {DType::kF32, DType::kBf16}) {
    machines.push_back({dtype, {.kernels = tables[0], .onednn = true}});
    for (int i = 0; i < count; ++i) machines.push_back({dtype, {.kernels = tables[i], .onednn = false}});
  }
  return machines;
}

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_KERNELS_MACHINES_H_
