// What each user of AMX's tiles needs.
#ifndef UNMASK_KERNELS_CPU_SIMD_TILE_CONFIG_H_
#define UNMASK_KERNELS_CPU_SIMD_TILE_CONFIG_H_

#include "kernels/cpu/simd/simd.h"

namespace unmask::UNMASK_ISA {
namespace {  // NOLINT: see simd.h.

// The operand of LDTILECFG: eight tiles, each 16 rows of 64 bytes until told otherwise.
struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// The compiler does not know what the tile instructions read.
UNMASK_INLINE void FinishStores() { __asm__ volatile("" ::: "memory"); }

}  // namespace
}  // namespace unmask::UNMASK_ISA

#endif  // UNMASK_KERNELS_CPU_SIMD_TILE_CONFIG_H_
