// Chooses a kernel table by what the processor has (x86-64-v2, v3 and v4 as the psABI defines them; AMX on top of v4).
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

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

namespace amx {
void Attend(const AttendTask& task);
void MultiplyTiles(const TileProductTask& task);
void PackTiles(const void* rows, int64_t outputs, int64_t row_bytes, void* packed);
}  // namespace amx

namespace {

// Whether there are tiles of bf16 and int8 and what fills them (AVX512_BF16), and the system lets this process use
// their registers.
bool MayUseTiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kBf16) == 0 || (d & kTile) == 0 || (d & kInt8) == 0) {
    return false;
  }
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  constexpr unsigned kBf16Vectors = 1u << 5;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) == 0 || (a & kBf16Vectors) == 0) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// v4's, with attention and products by tiles.
const KernelTable& TileKernels() {
  static const KernelTable table = [] {
    KernelTable kernels = v4::kKernels;
    kernels.name = "v4_amx";
    kernels.multiply_tiles = amx::MultiplyTiles;
    kernels.pack_tiles = amx::PackTiles;
    kernels.attend = [](const AttendTask& task) {
      task.dtype == DType::kBf16 ? amx::Attend(task) : v4::kKernels.attend(task);
    };
    return kernels;
  }();
  return table;
}

}  // namespace

int SupportedKernels(const KernelTable* tables[kMostKernels]) {
  const bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  static const bool has_tiles = has_v4 && MayUseTiles();
  int count = 0;
  if (has_tiles) tables[count++] = &TileKernels();
  if (has_v4) tables[count++] = &v4::kKernels;
  if (has_v3) tables[count++] = &v3::kKernels;
  tables[count++] = &v2::kKernels;
  return count;
}

const KernelTable& BestKernels() {
  const KernelTable* tables[kMostKernels];
  SupportedKernels(tables);
  return *tables[0];
}

}  // namespace unmask
