#include "tests/kernels/cpu_machines.h"

#include <cstdlib>

#include "tests/kernels/machines.h"
#include "tests/kernels/matrix.h"

namespace unmask::testing {

std::vector<Machine> AllMachines() {
  std::vector<Machine> machines;
  for (const CpuMachine& cpu : CpuMachines()) {
    machines.push_back({.name = cpu.name(),
                        .dtype = cpu.dtype,
                        .open = [cpu](int threads) { return cpu.Open(threads); },
                        .onednn = cpu.kind.onednn,
                        .attention_unit = cpu.rounds_in_attention() ? RoundingUnit(DType::kBf16) : 0});
  }
  return machines;
}

void* TakeMemory(size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64); }
void GiveMemory(void* memory) { std::free(memory); }

}  // namespace unmask::testing
