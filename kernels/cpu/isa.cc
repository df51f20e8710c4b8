// Chooses a kernel table by what the processor has (x86-64-v2, v3 and v4 as the psABI defines them).
#include "kernels/cpu/kernel_table.h"

namespace unmask {
namespace v2 {
extern const KernelTable kKernels;
}
namespace v3 {
extern const KernelTable kKernels;
}
namespace v4 {
extern const KernelTable kKernels;
}

int SupportedKernels(const KernelTable* tables[3]) {
  const bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  int count = 0;
  if (has_v4) tables[count++] = &v4::kKernels;
  if (has_v3) tables[count++] = &v3::kKernels;
  tables[count++] = &v2::kKernels;
  return count;
}

const KernelTable& BestKernels() {
  const KernelTable* tables[3];
  SupportedKernels(tables);
  return *tables[0];
}

}  // namespace unmask
