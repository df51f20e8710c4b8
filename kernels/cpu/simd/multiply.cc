// Matrix product for machines on which oneDNN's is slow, missing or does not keep a row's bits (matmul.cc decides).
// A panel of weights is [depth][kTileVectors * kLanes], read once for each six rows.
#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/tile.h"

namespace unmask::UNMASK_ISA {
namespace {

template <typename T>
void MultiplyAs(const MultiplyTask& task) {
  constexpr int64_t kColumns = kTileVectors * kLanes;
  const T* panel = static_cast<const T*>(task.panel);
  for (int64_t first = 0; first < task.rows; first += kTileRows) {
    const int64_t rows = task.rows - first < kTileRows ? task.rows - first : kTileRows;
    // bf16 rows are widened beside, so that the tile broadcasts floats.
    const float* in = static_cast<const float*>(task.in) + first * task.in_stride;
    int64_t in_stride = task.in_stride;
    if constexpr (sizeof(T) == 2) {
      for (int64_t r = 0; r < rows; ++r) {
        Widen(DType::kBf16, static_cast<const T*>(task.in) + (first + r) * task.in_stride, task.depth,
              task.scratch + r * task.depth);
      }
      in = task.scratch;
      in_stride = task.depth;
    }
    WithRows(rows, [&]<int kRows>() {
      F32 tile[kRows][kTileVectors] = {};
      MultiplyTile(in, in_stride, panel, kColumns, task.depth, tile);
      for (int r = 0; r < kRows; ++r) {
        float* out = task.out + (first + r) * task.out_stride;
        for (int v = 0; v < kTileVectors; ++v) {
          const int64_t left = task.columns - v * kLanes;
          if (left >= kLanes) {
            Store(tile[r][v], out + v * kLanes);
          } else if (left > 0) {
            StorePart(tile[r][v], out + v * kLanes, left);
          }
        }
      }
    });
  }
}

}  // namespace

void Multiply(const MultiplyTask& task) {
  if (task.dtype == DType::kF32) return MultiplyAs<float>(task);
  MultiplyAs<uint16_t>(task);
}

}  // namespace unmask::UNMASK_ISA
